import pandas as pd
import pytest

from bioautoml_nni.data.manifest import ID, IMAGE, LABEL
from bioautoml_nni.sources.csv import CsvSource
from bioautoml_nni.utils.errors import DataError


def test_a_table_is_read_with_given_and_inferred_roles(table_root):
    manifest = CsvSource(table_root, columns={"event": "group"}).load()
    assert len(manifest.table) == 72
    assert manifest.rank == "label"
    assert dict(manifest.roles) == {"event": "group"}
    assert manifest.declared == {"event"} and manifest.infer
    assert list(manifest.table.columns[3:]) == ["length_mm", "site", "event"]


@pytest.mark.parametrize("suffix", [".tsv", ".parquet", ".csv"])
def test_every_kind_of_table_gives_the_same_manifest(table_root, suffix):
    frame = pd.read_csv(table_root / "metadata.csv")
    target = table_root / f"again{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(target)
    elif suffix == ".tsv":
        frame.to_csv(target, sep="\t", index=False)
    else:
        frame.to_csv(target, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    expected = CsvSource(table_root).load().table
    pd.testing.assert_frame_equal(CsvSource(table_root, table=target.name).load().table, expected)


def test_latin_1_is_read(table_root):
    frame = pd.read_csv(table_root / "metadata.csv")
    frame["site"] = "Dürrenstein"
    frame.to_csv(table_root / "latin.csv", index=False, encoding="latin-1")
    assert set(CsvSource(table_root, table="latin.csv").load().table["site"]) == {"Dürrenstein"}


def test_columns_may_have_the_names_of_our_own(table_root):
    frame = pd.read_csv(table_root / "metadata.csv").assign(specimen_id=range(100, 172), split="x", target=1)
    frame.to_csv(table_root / "own.csv", index=False)
    manifest = CsvSource(table_root, table="own.csv", id="specimen_id").load()
    assert manifest.table[ID].tolist()[:2] == ["100", "101"]


def test_rows_without_label_or_image_are_left_out_and_counted(table_root):
    frame = pd.read_csv(table_root / "metadata.csv")
    frame.loc[2, "label"] = None
    frame.loc[5, "image"] = " "
    frame.to_csv(table_root / "gaps.csv", index=False)
    manifest = CsvSource(table_root, table="gaps.csv").load()
    assert len(manifest.table) == 70
    assert manifest.table[[LABEL, IMAGE]].notna().all(axis=None)
    assert any("2 rows without image or label" in note and "line 4" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": "none.csv"}, r"none\.csv: there is no such table"),
        ({"image_root": "none"}, "no such image folder"),
        ({"image": "imge"}, r"data\.image: no column 'imge' .did you mean 'image'\?"),
        ({"label": "species"}, r"data\.label: no column 'species'"),
        ({"columns": {"lenght_mm": "size"}}, "did you mean 'length_mm'"),
        ({"id": "site"}, "repeats or lacks an id in"),
        ({"columns": {"length_mm": "latitude"}, "infer_columns": False}, "they go in one pair"),
    ],
)
def test_bad_input_is_named(table_root, arguments, message):
    with pytest.raises(DataError, match=message):
        CsvSource(table_root, **arguments).load()


def test_empty_and_unusable_tables_are_named(table_root):
    (table_root / "empty.csv").write_text("")
    with pytest.raises(DataError, match="cannot be read as a table"):
        CsvSource(table_root, table="empty.csv").load()
    (table_root / "head.csv").write_text("image,label\n")
    with pytest.raises(DataError, match="the table has no rows"):
        CsvSource(table_root, table="head.csv").load()
    (table_root / "blank.csv").write_text("image,label\n,ant\na.png,\n")
    with pytest.raises(DataError, match="no row has both an image"):
        CsvSource(table_root, table="blank.csv").load()
