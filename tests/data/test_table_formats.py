"""Tables that are no plain text give the same cells as the CSV file of the same rows."""

import bz2
import gzip
import json
import lzma
import sqlite3
import zipfile

import pandas as pd
import pytest
from damage import damaged, tries
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.data.tables import csv_text, read_table
from bioautoml_nni.utils.errors import DataError

ROWS = pd.DataFrame(
    {"id": ["007", "NA", "12"], "mass": ["1.5", None, "3"], "note": ["Käfer, groß", None, '12" net']}, dtype="str"
)
TEXT = csv_text(ROWS).encode()

SHEET = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0">
<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body></office:document-content>"""
"""What an .ods file holds, as the format's specification has it."""


MANIFEST = """<?xml version="1.0" encoding="UTF-8"?>
<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">
<manifest:file-entry manifest:full-path="/" manifest:media-type="application/vnd.oasis.opendocument.spreadsheet"/>
<manifest:file-entry manifest:full-path="content.xml" manifest:media-type="text/xml"/></manifest:manifest>"""


def write_ods(path, **sheets):
    """Write sheets, each a list of rows of texts and numbers."""

    def cell(value):
        if value is None:
            return "<table:table-cell/>"
        if isinstance(value, float):
            kind = f'office:value-type="float" office:value="{value}"'
        else:
            kind = 'office:value-type="string"'
        return f"<table:table-cell {kind}><text:p>{value}</text:p></table:table-cell>"

    tables = "".join(
        f'<table:table table:name="{name}">'
        + "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
        + "</table:table>"
        for name, rows in sheets.items()
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("META-INF/manifest.xml", MANIFEST)
        archive.writestr("content.xml", SHEET.format(tables=tables))


def write(path):
    suffix = "".join(path.suffixes)
    if suffix == ".csv.zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("__MACOSX/._t.csv", "x")
            archive.writestr("t.csv", TEXT)
    elif suffix.startswith(".csv"):
        path.write_bytes({".csv.gz": gzip.compress, ".csv.bz2": bz2.compress, ".csv.xz": lzma.compress}[suffix](TEXT))
    elif suffix == ".parquet":
        ROWS.to_parquet(path)
    elif suffix == ".feather":
        ROWS.to_feather(path)
    elif suffix in (".jsonl", ".jsonl.gz"):
        records = [{k: v for k, v in row.items() if isinstance(v, str)} for row in ROWS.to_dict("records")]
        lines = "".join(json.dumps(record) + "\n" for record in records).encode()
        path.write_bytes(gzip.compress(lines) if suffix.endswith("gz") else lines)
    elif suffix == ".sqlite":
        with sqlite3.connect(path) as base:
            ROWS.to_sql("specimens", base, index=False)
    else:
        write_ods(path, first=[list(ROWS), ["007", 1.5, "Käfer, groß"], ["NA", None, None], [12.0, 3.0, '12" net']])


KINDS = ["csv.gz", "csv.bz2", "csv.xz", "csv.zip", "parquet", "feather", "jsonl", "jsonl.gz", "sqlite", "ods"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_cells(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    write(path)
    pd.testing.assert_frame_equal(read_table(path)[list(ROWS)], ROWS)


@pytest.mark.parametrize("kind", KINDS)
@tries(20)
@given(st.data())
def test_a_damaged_table_of_any_kind_is_one_sentence_or_a_table(tmp_path_factory, kind, data):
    path = tmp_path_factory.mktemp("damaged") / f"t.{kind}"
    write(path)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    try:
        assert len(read_table(path))
    except DataError as error:
        assert str(error) and "Traceback" not in str(error)


def test_sheets_and_tables_are_chosen_by_name(tmp_path):
    write_ods(tmp_path / "t.ods", one=[["a"], ["1"]], two=[["b"], ["2"]])
    notes = []
    assert read_table(tmp_path / "t.ods", notes=notes)["a"].tolist() == ["1"] and "first sheet 'one'" in notes[0]
    assert read_table(tmp_path / "t.ods", sheet="two")["b"].tolist() == ["2"]
    with pytest.raises(DataError, match="no sheet 'three'; its sheets are one, two"):
        read_table(tmp_path / "t.ods", sheet="three")
    with sqlite3.connect(tmp_path / "t.sqlite") as base:
        ROWS.to_sql("one", base, index=False)
        ROWS.to_sql("two", base, index=False)
    with pytest.raises(DataError, match=r"has 2 tables; name one as data\.sheet: one, two"):
        read_table(tmp_path / "t.sqlite")
    assert len(read_table(tmp_path / "t.sqlite", sheet="two")) == 3


def test_what_is_no_table_is_named(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n[1]\n')
    with pytest.raises(DataError, match="line 2 is no object"):
        read_table(tmp_path / "t.jsonl")
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("b.csv", "a\n1\n")
    with pytest.raises(DataError, match="holds 2 files"):
        read_table(tmp_path / "t.csv.zip")
