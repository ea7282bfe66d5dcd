"""Tables that are no plain text give the same cells as the CSV file of the same rows."""

import bz2
import gzip
import json
import lzma
import sqlite3
import zipfile
from datetime import date
from decimal import Decimal

import openpyxl
import pandas as pd
import pytest
import xlwt
from damage import damaged, tries
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.data.own_csv import csv_text
from bioautoml_nni.data.tables import read_table
from bioautoml_nni.data.typed import with_types
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
    with pytest.raises(DataError, match="line 2 is not an object"):
        read_table(tmp_path / "t.jsonl")
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("b.csv", "a\n1\n")
    with pytest.raises(DataError, match="holds 2 files"):
        read_table(tmp_path / "t.csv.zip")


def write_workbook(path, rows, merged=None, second=None):
    """Write rows as .xlsx or .xls; `merged` names cells such as B1:C1."""
    if path.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in rows:
            book.active.append(row)
        if merged:
            book.active.merge_cells(merged)
        for name, own in (second or {}).items():
            sheet = book.create_sheet(name)
            for row in own:
                sheet.append(row)
        book.save(path)
        return
    old = xlwt.Workbook()
    day = xlwt.easyxf(num_format_str="DD.MM.YYYY")
    for name, own in {"Sheet": rows, **(second or {})}.items():
        sheet = old.add_sheet(name)
        for place, row in enumerate(own):
            for column, value in enumerate(row):
                if value is not None:
                    sheet.write(place, column, value, *([day] if isinstance(value, date) else []))
        if merged and name == "Sheet":
            sheet.merge(0, 0, 1, 2)
    old.save(str(path))


@pytest.mark.parametrize("kind", ["xlsx", "xls"])
def test_workbooks_keep_texts_days_and_numbers(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    rows = [
        ["id", "", "day", "mass", "id", None, None],
        ["007", "NA", date(2016, 6, 1), 1.5, "x", None, None],
        [None, None, None, None, None, None, None],
        ["12345678901234567", "1e3", date(1969, 12, 31), 3, "", None, None],
    ]
    write_workbook(path, rows, second={"Größen": [["a"], ["1.234,5"]]})
    notes = []
    table = read_table(path, notes=notes)
    assert list(table) == ["id", "column 2", "day", "mass", "id.1"]
    assert table["id"].tolist() == ["007", "12345678901234567"] and table["column 2"].tolist() == ["NA", "1e3"]
    assert table["day"].str.startswith(("2016-06-01", "1969-12-31")).all()
    assert not table["day"].str.contains("T").any() and table["mass"].tolist() == ["1.5", "3"]
    assert "write data.sheet: Größen" in " ".join(notes) and "comes more than once" in " ".join(notes)
    assert read_table(path, sheet="Größen")["a"].tolist() == ["1.234,5"]


@pytest.mark.parametrize("kind", ["xlsx", "xls"])
def test_a_header_of_merged_cells_is_refused_with_the_reason(tmp_path, kind):
    path = tmp_path / f"t.{kind}"
    write_workbook(path, [["id", "place", None], ["1", "a", "b"]], merged="B1:C1")
    with pytest.raises(DataError, match="its header in row 1 has merged cells"):
        read_table(path)


def test_nested_columns_are_named_in_every_kind_that_has_them(tmp_path):
    table = pd.DataFrame({"id": ["007", "NA"], "points": [[1, 2], [3]], "mass": [Decimal("1.50"), Decimal("2.25")]})
    table.to_parquet(tmp_path / "t.parquet")
    table.to_feather(tmp_path / "t.feather")
    lines = [{"id": "007", "points": [1, 2], "mass": 1.5}, {"id": "NA", "points": {"x": 1}, "mass": 2.25}]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for kind in ("parquet", "feather", "jsonl"):
        notes = []
        found = read_table(tmp_path / f"t.{kind}", notes=notes)
        assert found["id"].tolist() == ["007", "NA"] and [float(mass) for mass in found["mass"]] == [1.5, 2.25]
        assert "nested columns left out: points" in " ".join(notes)


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1.234,5", "12.345.678,25", "7,5"], [1234.5, 12345678.25, 7.5]),
        (["1,234.5", "12,345,678.25", "7.5"], [1234.5, 12345678.25, 7.5]),
        (["1 234,5", "12\u00a0345\u202f678,25", "7,5"], [1234.5, 12345678.25, 7.5]),
        (["1'234.5", "12’345’678.25", "7.5"], [1234.5, 12345678.25, 7.5]),
        (["−1,5", "2,25", "1,5e3"], [-1.5, 2.25, 1500]),
    ],
)
def test_thousands_and_decimal_signs_are_read_alike(tmp_path, texts, numbers):
    (tmp_path / "t.csv").write_text("x;y\n" + "".join(f'"{text}";a\n' for text in texts), encoding="utf-8")
    typed = with_types(read_table(tmp_path / "t.csv")).table
    assert typed["x"].tolist() == numbers
