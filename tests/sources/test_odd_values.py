"""One odd value of an archive takes no other along, and is told: the kinds that `test_warts.py` found, one by one."""

import json

import archives
import pytest

from bioautoml_nni.data.manifest import ID, IMAGE, LABEL
from bioautoml_nni.sources.bioscan1m import METADATA as TABLE_1M
from bioautoml_nni.sources.bioscan1m import Bioscan1MSource
from bioautoml_nni.sources.bioscan5m import METADATA as TABLE_5M
from bioautoml_nni.sources.bioscan5m import Bioscan5MSource
from bioautoml_nni.sources.coco import CocoSource
from bioautoml_nni.sources.darwin_core import DarwinCoreSource
from bioautoml_nni.sources.insect1m import Insect1MSource
from bioautoml_nni.utils.errors import DataError


def with_cell(path, row, column, text, separator):
    """Write a text into a cell of a table, whose first line holds the names."""
    lines = path.read_text(encoding="utf-8").split("\n")
    cells = lines[row].split(separator)
    cells[lines[0].split(separator).index(column)] = text
    lines[row] = separator.join(cells)
    path.write_text("\n".join(lines), encoding="utf-8")


def with_json(path, change):
    """Change what a file of JSON holds."""
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.parametrize("text", ["inf", "x", "9" * 30])
def test_a_number_of_a_release_that_cannot_be_read_is_missing_for_its_row_alone(tmp_path, text):
    archives.write_bioscan5m(tmp_path, 12)
    before = Bioscan5MSource(tmp_path, rank="order", subset="all").load().table
    with_cell(tmp_path / TABLE_5M, 2, "index_bioscan_1M_insect", text, ",")
    with_cell(tmp_path / TABLE_5M, 3, "coord-lat", "north", ",")
    manifest = Bioscan5MSource(tmp_path, rank="order", subset="all").load()
    assert list(manifest.table[ID]) == list(before[ID]) and manifest.unread["coord-lat"].examples == ("north",)
    assert manifest.table["coord-lat"].isna().sum() == before["coord-lat"].isna().sum() + 1
    assert manifest.table["area_fraction"].tolist() == before["area_fraction"].tolist()


def test_words_for_a_gap_in_a_release_stay_texts_unless_they_are_named(tmp_path):
    archives.write_bioscan5m(tmp_path, 12)
    with_cell(tmp_path / TABLE_5M, 2, "country", "NA", ",")
    with_cell(tmp_path / TABLE_5M, 3, "order", "None", ",")
    manifest = Bioscan5MSource(tmp_path, rank="order", subset="all").load()
    assert "NA" in set(manifest.table["country"]) and "None" in set(manifest.table[LABEL])
    assert any("'order' holds 'None' (1 times)" in note and "data.missing" in note for note in manifest.notes)
    named = Bioscan5MSource(tmp_path, rank="order", subset="all", missing=["NA", "None"]).load()
    assert len(named.table) == len(manifest.table) - 1 and "NA" not in set(named.table["country"])


def test_rows_of_no_part_of_a_release_are_counted(tmp_path):
    archives.write_bioscan1m(tmp_path, 12)
    before = len(Bioscan1MSource(tmp_path).load().table)
    with_cell(tmp_path / TABLE_1M, 1, "large_insect_order", "trian", "\t")
    with_cell(tmp_path / TABLE_1M, 2, "chunk_number", "", "\t")
    manifest = Bioscan1MSource(tmp_path).load()
    assert len(manifest.table) == before - 2
    assert "1 specimens of no part of the release ('trian') left out." in manifest.notes
    assert any("without what says where their image is left out" in note for note in manifest.notes)


def test_a_first_row_with_a_field_too_many_is_refused_and_shifts_no_column(tmp_path):
    archives.write_bioscan5m(tmp_path, 12)
    lines = (tmp_path / TABLE_5M).read_text(encoding="utf-8").split("\n")
    (tmp_path / TABLE_5M).write_text("\n".join([lines[0], lines[1] + ",x", *lines[2:]]), encoding="utf-8")
    with pytest.raises(DataError, match="does not match length of data"):
        Bioscan5MSource(tmp_path, rank="order").load()


def test_odd_entries_of_insect1m_are_left_out_by_themselves(tmp_path):
    archives.write_insect1m(tmp_path)
    before = Insect1MSource(tmp_path).load().table

    def change(content):
        records = content["insect_records"]
        records[0]["Order"], records[1]["Family"], records[2]["description_ids"] = [], {"a": 1}, 1
        records += [5, {"id": None}]
        content["description_records"].append({"id": 2, "description": "Found in woods."})

    with_json(tmp_path / "insect1m.json", change)
    manifest = Insect1MSource(tmp_path).load()
    assert list(manifest.table[ID]) == list(before[ID])[1:]
    told = " ".join(manifest.notes)
    for part in (
        "2 entries of insect_records without an id", "records without a order (the first has the id 0)",
        "1 values of ranks that are lists or objects", "ids (2) that stand for more than one description",
    ):  # fmt: skip
        assert part in told
    assert "beetle" in manifest.table.set_index(ID).loc["2", "description"]


def test_a_file_that_several_urls_of_insect1m_claim_is_nobodys(tmp_path):
    archives.write_insect1m(tmp_path)

    def change(content):
        for record in content["insect_records"]:
            record["image_url"] = f"https://example.org/photos/{record['id']}/medium.jpeg"

    with_json(tmp_path / "insect1m.json", change)
    (tmp_path / "images/large_0.jpeg").rename(tmp_path / "images/medium.jpeg")
    manifest = Insect1MSource(tmp_path).load()
    assert set(manifest.table[IMAGE]) == {f"{n}.jpg" for n in (1, 3, 5, 7)}
    assert any("several URLs or files have the same name" in note for note in manifest.notes)


def test_ranks_of_coco_that_are_no_texts_are_gaps_and_counted(tmp_path):
    archives.write_inaturalist(tmp_path)

    def change(content):
        content["categories"][0]["family"] = []
        content["categories"][1]["order"] = {"a": 1}
        content["images"][2]["_note"] = "x"
        content["images"][0]["file_name"] = " "

    with_json(tmp_path / "train.json", change)
    manifest = CocoSource(tmp_path, annotations="train.json", rank="order").load()
    assert set(manifest.table[LABEL]) == {"Diptera"} and manifest.table["family"].isna().all()
    told = " ".join(manifest.notes)
    assert "2 lists and objects among the ranks of categories" in told and "not read of images: _note" in told
    assert "1 entries of images without id and file_name" in told


def test_ids_of_coco_may_have_any_number_of_digits(tmp_path):
    archives.write_inaturalist(tmp_path)
    long = "7" * 5000

    def change(content):
        content["images"][0]["id"] = content["annotations"][0]["image_id"] = long

    with_json(tmp_path / "train.json", change)
    manifest = CocoSource(tmp_path, annotations="train.json", rank="order").load()
    assert manifest.table[ID].iloc[-1] == long and list(manifest.table[ID])[:2] == ["1", "2"]


def test_images_of_an_archive_that_belong_to_no_occurrence_are_counted(tmp_path):
    archives.write_darwin_core(tmp_path, packed=False)
    path = tmp_path / "archive/multimedia.txt"
    lines = path.read_text(encoding="utf-8").split("\n")
    before = DarwinCoreSource(tmp_path, archive="archive").load()
    path.write_text("\n".join([lines[0], "\t" + lines[1].partition("\t")[2], *lines[2:]]), encoding="utf-8")
    manifest = DarwinCoreSource(tmp_path, archive="archive").load()
    assert len(manifest.table) <= len(before.table)
    assert any("1 listed images are left out, since their occurrence is not" in note for note in manifest.notes)
    assert any("occurrences without an image left out" in note for note in manifest.notes)
