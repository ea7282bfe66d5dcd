"""Every source on an archive in its genuine layout, warts included."""

from __future__ import annotations

import json
import zipfile

import archives
import numpy as np
import pandas as pd
import pytest

from bioautoml_nni.data.decoding import ImageReference, decode, read_bytes
from bioautoml_nni.data.image_files import list_images
from bioautoml_nni.data.manifest import ID, IMAGE, LABEL, SPLIT
from bioautoml_nni.sources.bioscan1m import Bioscan1MSource
from bioautoml_nni.sources.bioscan5m import Bioscan5MSource
from bioautoml_nni.sources.coco import CocoSource
from bioautoml_nni.sources.darwin_core import GROUP, DarwinCoreSource
from bioautoml_nni.sources.imagefolder import ImageFolderSource
from bioautoml_nni.sources.insect1m import Insect1MSource
from bioautoml_nni.sources.webdataset import WebDatasetSource
from bioautoml_nni.testing import check_manifest
from bioautoml_nni.utils.errors import DataError


def require_sound(manifest):
    """What every manifest promises, and images that are there."""
    check_manifest(manifest, "this source")
    for reference in map(ImageReference.parse, manifest.table[IMAGE]):
        assert decode(read_bytes(manifest.image_root, reference), 8, reference.box).square.shape == (8, 8, 3)


# BIOSCAN


def test_bioscan5m_reads_parts_ranks_and_features(tmp_path):
    table = archives.write_bioscan5m(tmp_path)
    manifest = Bioscan5MSource(tmp_path, rank="order", subset="pretrain+train").load()
    require_sound(manifest)
    assert set(manifest.table[SPLIT]) == {"pretrain", "train"}
    assert len(manifest.table) == table["split"].isin(["pretrain", "train"]).sum()
    features = "country province_state coord-lat coord-lon image_measurement_value area_fraction scale_factor"
    assert set(manifest.features()) == set(features.split())
    assert manifest.roles["family"] == "taxonomy" and "order" not in manifest.table
    assert not {"dna_bin", "dna_barcode", "inferred_ranks", "taxon_index"} & set(manifest.table)


def test_bioscan5m_leaves_out_what_is_not_labelled_at_the_rank(tmp_path):
    table = archives.write_bioscan5m(tmp_path)
    manifest = Bioscan5MSource(tmp_path, rank="species", subset="seen").load()
    seen = table[table["split"].isin(["train", "val", "test"])]
    assert len(manifest.table) == seen["species"].notna().sum() < len(seen)
    assert manifest.notes == [f"{seen['species'].isna().sum()} specimens without a species left out."]
    assert set(Bioscan5MSource(tmp_path, rank="order", subset="unseen").load().table[SPLIT]) == {"key_unseen"}


def test_bioscan5m_takes_dna_only_when_it_is_declared(tmp_path):
    archives.write_bioscan5m(tmp_path)
    manifest = Bioscan5MSource(tmp_path, rank="order", columns={"dna_bin": "categorical"}).load()
    assert manifest.declared == {"dna_bin"} and "dna_bin" in manifest.features()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subset": "tarin"}, "Invalid split name"),
        ({"rank": "subfamily"}, "labelled at rank 'subfamily'"),
        ({"columns": {"mass": "size"}}, "no column mass"),
    ],
)
def test_bioscan5m_names_mistakes(tmp_path, change, message):
    archives.write_bioscan5m(tmp_path)
    with pytest.raises(DataError, match=message):
        Bioscan5MSource(tmp_path, **{"rank": "order", **change}).load()


@pytest.mark.parametrize("source", [Bioscan5MSource, Bioscan1MSource])
def test_an_absent_release_says_what_to_download_from_where_to_where(tmp_path, source):
    with pytest.raises(DataError, match=r"github\.com/bioscan-ml.*below data\.root") as error:
        source(tmp_path).load()
    assert "data.download: true" in str(error.value) and "images/cropped_256" in str(error.value)


@pytest.mark.parametrize(("source", "package"), [(Bioscan5MSource, "BIOSCAN5M"), (Bioscan1MSource, "BIOSCAN1M")])
def test_download_is_passed_on_and_a_failure_is_one_sentence(tmp_path, monkeypatch, source, package):
    seen = {}

    def refuse(**arguments):
        seen.update(arguments)
        raise OSError("no route to host")

    monkeypatch.setattr(f"bioscan_dataset.{package}", refuse)
    with pytest.raises(DataError, match="the download failed .no route to host."):
        source(tmp_path, download=True).load()
    assert seen["download"] is True and seen["root"] == str(tmp_path) and seen["image_package"] == "cropped_256"


def test_bioscan1m_reads_its_own_partitioning(tmp_path):
    archives.write_bioscan1m(tmp_path)
    manifest = Bioscan1MSource(tmp_path, rank="order").load()
    require_sound(manifest)
    assert set(manifest.table[SPLIT]) == {"train", "validation", "test"} and not manifest.features()
    families = Bioscan1MSource(tmp_path, rank="family").load()
    assert "not_classified" not in set(families.table[LABEL]) and len(families.table) == 16
    with pytest.raises(DataError, match="there are no_split"):
        Bioscan1MSource(tmp_path, partitioning="large_diptera_family").load()


# Darwin Core


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1"])
def test_darwin_core_with_its_warts(tmp_path, encoding, ending, packed):
    archives.write_darwin_core(tmp_path, encoding, ending, packed)
    manifest = DarwinCoreSource(tmp_path, archive="archive.zip" if packed else "archive").load()
    require_sound(manifest)
    table = manifest.table.set_index(ID)
    assert list(table.index) == ["1#1", "1#2", "2", "3", "4#1", "4#2"]
    assert table[GROUP].tolist() == ["1", "1", "2", "3", "4", "4"] and manifest.roles[GROUP] == "group"
    assert table[IMAGE].tolist() == ["A-1.JPG", "a-2.jpg", "b.jpg", "c.jpg", "4_1.jpg", "4_2.jpg"]
    assert table.loc["1#1", "samplingProtocol"] == 'net 12" wide'
    assert table.loc["2", "decimalLatitude"] == 0.0 and np.isnan(table.loc["3", "decimalLatitude"])
    assert table["countryCode"].tolist() == ["DE"] * 6
    assert manifest.roles["eventDate"] == "date" and manifest.roles["scientificName"] == "taxonomy"
    notes = " ".join(manifest.notes)
    for part in ("1 occurrences that repeat", "1 of 6 listed images", "1 occurrences without a order", "(0, 0) of 1"):
        assert part in notes


def test_darwin_core_text_is_read_in_the_declared_encoding(tmp_path):
    archives.write_darwin_core(tmp_path, "ISO-8859-1")
    manifest = DarwinCoreSource(tmp_path, columns={"occurrenceRemarks": "text"}).load()
    remarks = manifest.table.set_index(ID)["occurrenceRemarks"]
    assert remarks.dropna().to_dict() == {"1#1": 'said "rare', "1#2": 'said "rare', "3": "Bäume"}


def test_darwin_core_counts_lines_that_cannot_be_read(tmp_path):
    archives.write_darwin_core(tmp_path, packed=False)
    occurrences = tmp_path / "archive/occurrence.txt"
    lines = occurrences.read_text().splitlines(keepends=True)
    sound = DarwinCoreSource(tmp_path, archive="archive").load()
    occurrences.write_text("".join([*lines[:2], "torn\tline" * 40 + "\n", *lines[2:]]))
    manifest = DarwinCoreSource(tmp_path, archive="archive").load()
    assert [note for note in manifest.notes if "occurrence.txt: 1 lines with too many fields left out" in note]
    assert manifest.table.equals(sound.table) and not any("too many" in note for note in sound.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"archive": "none.zip"}, "there is no such archive"),
        ({"media": "none"}, "no such media folder. An archive lists images as URLs"),
        ({"rank": "tribe"}, "data.rank: the archive has no term tribe"),
        ({"columns": {"mood": "categorical"}}, "data.columns: the archive has no term mood"),
        ({"archive": "broken.zip"}, "cannot be read as a Darwin Core archive"),
        ({"archive": "slip.zip"}, "leads outside of the archive"),
    ],
)
def test_darwin_core_names_mistakes(tmp_path, change, message):
    archives.write_darwin_core(tmp_path)
    (tmp_path / "broken.zip").write_bytes(b"no zip file")
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
        archive.writestr("../../evil.txt", "x")
    with pytest.raises(DataError, match=message):
        DarwinCoreSource(tmp_path, **change).load()
    assert not (tmp_path.parent / "evil.txt").exists()


# Insect-1M


@pytest.mark.parametrize("misspelt", [False, True])
def test_insect1m_descriptions_come_without_names(tmp_path, misspelt):
    archives.write_insect1m(tmp_path, misspelt)
    manifest = Insect1MSource(tmp_path).load()
    require_sound(manifest)
    table = manifest.table.set_index(ID)
    assert list(table.index) == ["0", "1", "2", "3", "4", "5", "7", "8"]
    text = " ".join(table["description"].dropna()).lower()
    assert "grooved wing cases" in text and "grey fly" in text
    assert not any(name in text for name in ("musca", "domestica", "muscidae", "diptera", "carabus"))
    assert pd.isna(table.loc["4", "description"])
    assert manifest.features() == {"description": "text"} and manifest.roles["species"] == "taxonomy"
    assert any("1 records without a downloaded image" in note for note in manifest.notes)


def test_insect1m_names_mistakes(tmp_path):
    with pytest.raises(DataError, match="lists images as URLs"):
        Insect1MSource(tmp_path).load()
    archives.write_insect1m(tmp_path)
    with pytest.raises(DataError, match=r"no rank 'tribe'; data\.rank may be kingdom, class, order"):
        Insect1MSource(tmp_path, rank="tribe").load()
    (tmp_path / "other.json").write_text(json.dumps({"insects": []}))
    with pytest.raises(DataError, match="holds 2 JSON files"):
        Insect1MSource(tmp_path).load()
    with pytest.raises(DataError, match="is not Insect-1M's JSON"):
        Insect1MSource(tmp_path, annotations="other.json").load()


# Folders and COCO


def test_folders_are_classes_and_paths_are_no_features(tmp_path):
    for name in ("ant/1.jpg", "ant/deep/2.PNG", "bee/1.jpg", "bee/notes.txt", ".cache/x.jpg", "loose.jpg"):
        if name.endswith("txt"):
            (tmp_path / name).write_text("x")
        else:
            archives.image(tmp_path / name)
    manifest = ImageFolderSource(tmp_path).load()
    require_sound(manifest)
    assert manifest.table[LABEL].tolist() == ["ant", "ant", "bee"] and SPLIT not in manifest.table
    assert not manifest.features() and list(manifest.table) == [ID, IMAGE, LABEL]
    assert manifest.notes == [
        "1 files that are no images, or lie in no class folder, left out.",
        "1 images beside the class folders have no class and are left out, such as loose.jpg.",
    ]


def test_classes_that_are_called_like_folders_of_systems_are_named(tmp_path):
    for name in ("ant/1.jpg", "bee/1.jpg", "Thumbnails/1.jpg", "ant/@eaDir/1.jpg", ".cache/thumbnails/x.jpg"):
        archives.image(tmp_path / name)
    manifest = ImageFolderSource(tmp_path).load()
    assert manifest.table[LABEL].tolist() == ["ant", "bee"]
    expected = "2 images left out, since folders of this name hold no specimens: @eaDir, Thumbnails."
    assert manifest.notes == [expected]


def test_folders_of_parts_are_an_official_split(tmp_path):
    for name in ("train/ant/1.jpg", "val/ant/1.jpg", "test/bee/1.jpg"):
        archives.image(tmp_path / name)
    manifest = ImageFolderSource(tmp_path).load()
    assert dict(zip(manifest.table[SPLIT], manifest.table[LABEL], strict=True)) == {
        "train": "ant", "val": "ant", "test": "bee",
    }  # fmt: skip
    with pytest.raises(DataError, match="holds no class folder"):
        ImageFolderSource(tmp_path / "train" / "ant").load()


def test_a_run_beside_the_folders_is_no_class_and_ends_no_split(tmp_path):
    for name in ("train/ant/1.jpg", "val/ant/1.jpg", "test/bee/1.jpg", "runs/moths/evaluation/roc.png"):
        archives.image(tmp_path / name)
    for name in ("experiment.yml", "provenance.json"):
        (tmp_path / "runs/moths" / name).write_text("{}")
    manifest = ImageFolderSource(tmp_path).load()
    assert sorted(manifest.table[SPLIT]) == ["test", "train", "val"]
    assert "1 folders of runs not looked into, such as runs/moths." in manifest.notes
    assert list_images(tmp_path / "runs/moths").files == ["evaluation/roc.png"], "unless it is what was asked for"


def test_camera_trap_boxes_are_specimens_and_sequences_are_groups(tmp_path):
    archives.write_camera_traps(tmp_path)
    manifest = CocoSource(tmp_path, leave_out=["empty"], margin=0).load()
    require_sound(manifest)
    table = manifest.table.set_index(ID)
    assert table[LABEL].to_dict() == {"i0": "moth", "i1": "moth", "i3/a3": "moth", "i3/a4": "beetle"}
    assert table.loc["i0", IMAGE] == "cam0/0.jpg#5,5,20,10"
    assert manifest.roles["seq_id"] == "group" and manifest.roles["datetime"] == "date"
    whole = CocoSource(tmp_path, leave_out=["empty"], crop=False).load()
    assert whole.table[ID].tolist() == ["i0", "i1"] and "#" not in whole.table[IMAGE].iloc[0]
    assert any("several categories" in note for note in whole.notes)
    assert any("1 annotations of images that the file does not list" in note for note in whole.notes)


def test_a_margin_widens_a_box_inside_the_image(tmp_path):
    archives.write_camera_traps(tmp_path)
    table = CocoSource(tmp_path, margin=0.1).load().table.set_index(ID)
    assert table.loc["i0", IMAGE].endswith("#3,3,24,14")
    assert table.loc["i1", IMAGE].endswith("#0,0,13,33")


def test_inaturalist_files_are_parts_with_ranks(tmp_path):
    archives.write_inaturalist(tmp_path)
    manifest = CocoSource(tmp_path, annotations={"train": "train.json", "val": "val.json"}, rank="order").load()
    require_sound(manifest)
    assert manifest.table[SPLIT].value_counts().to_dict() == {"train": 6, "val": 4}
    assert set(manifest.table[LABEL]) == {"Diptera", "Coleoptera"}
    assert manifest.roles["family"] == manifest.roles["supercategory"] == "taxonomy" and "order" not in manifest.roles
    assert manifest.roles["latitude"] == "latitude" and "rights_holder" not in manifest.table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "has no list of images, annotations, categories"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "no entry of images has id and file_name"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1, "label": "x"}]}', "may be one of id, label"),
    ],
)
def test_coco_names_mistakes(tmp_path, content, message):
    (tmp_path / "annotations.json").write_text(content)
    with pytest.raises(DataError, match=message):
        CocoSource(tmp_path).load()


# Shards


def test_shards_are_read_in_place(tmp_path):
    archives.write_shards(tmp_path)
    manifest = WebDatasetSource(tmp_path, shards="train-{0000..0001}.tar", classes=["ant", "bee"]).load()
    require_sound(manifest)
    assert len(manifest.table) == 8 and manifest.table[LABEL].tolist() == ["ant", "bee"] * 4
    assert manifest.table["length_mm"].tolist() == [0.5, 1.5, 2.5, 3.5] * 2 and "tags" not in manifest.table
    reference = ImageReference.parse(manifest.table[IMAGE].iloc[5])
    square = decode(read_bytes(tmp_path, reference), 8).square
    assert square[4, 4].tolist() == [21, 21, 21]


def test_shards_name_mistakes(tmp_path):
    with pytest.raises(DataError, match="holds no shard"):
        WebDatasetSource(tmp_path).load()
    archives.write_shards(tmp_path, shards=1)
    with pytest.raises(DataError, match="has class 1, but data.classes names 1"):
        WebDatasetSource(tmp_path, classes=["ant"]).load()
    (tmp_path / "train-0000.tar").write_bytes(b"\x1f\x8b compressed")
    with pytest.raises(DataError, match="is not an uncompressed tar file"):
        WebDatasetSource(tmp_path).load()
