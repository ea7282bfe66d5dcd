"""Tables as people keep them: nothing of a cell, a column or a row is lost without a word."""

import gzip
import io
import json
import sqlite3
import zipfile

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from bioautoml_nni.data.own_csv import csv_text
from bioautoml_nni.data.tables import is_table, read_names, read_table
from bioautoml_nni.sources.csv import CsvSource
from bioautoml_nni.utils.errors import DataError

LARGE = [20241129000000017, None, 20241129000000019]


def read(path):
    """The cells of a table as texts, with empty ones for gaps, and what is said of it."""
    notes = []
    table = read_table(path, notes=notes)
    cells = pd.read_csv(io.StringIO(csv_text(table)), dtype=str, keep_default_na=False)
    return {name: cells[name].tolist() for name in cells}, " ".join(notes)


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_whole_numbers_with_gaps_keep_all_their_digits(tmp_path, kind):
    table = pa.table({"id": pa.array(LARGE, pa.int64()), "large": pa.array([2**64 - 1, None, 3], pa.uint64())})
    path = tmp_path / f"t.{kind}"
    pq.write_table(table, path) if kind == "parquet" else feather.write_feather(table, path)
    cells, _ = read(path)
    assert cells["id"] == ["20241129000000017", "", "20241129000000019"]
    assert cells["large"] == ["18446744073709551615", "", "3"]


def test_digits_do_not_depend_on_gaps_in_other_blocks(tmp_path):
    count = 70_000
    ids = [9007199254740993 + number for number in range(count)] + [None, 1]
    pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet")["id"]
    assert found[1] == "9007199254740994" and found[count - 1] == str(ids[count - 1]) and found[count + 1] == "1"


def test_parquet_keeps_columns_of_one_name_and_a_named_index(tmp_path):
    columns = [pa.array([1, 2]), pa.array([3, 4]), pa.array(["x", "y"])]
    pq.write_table(pa.table(columns, names=["a", "a", " b "]), tmp_path / "t.parquet")
    cells, said = read(tmp_path / "t.parquet")
    assert cells == {"a": ["1", "2"], "a.1": ["3", "4"], "b": ["x", "y"]} and "'a' comes more than once" in said
    pd.DataFrame({"id": ["007", "8"], "label": ["ant", "bee"]}).set_index("id").to_parquet(tmp_path / "i.parquet")
    assert read(tmp_path / "i.parquet")[0]["id"] == ["007", "8"]
    pd.DataFrame({"label": ["ant", "bee"]}, index=["x", "y"]).to_parquet(tmp_path / "u.parquet")
    assert "index, which has no name, is left out" in read(tmp_path / "u.parquet")[1]


def packed_tables(folder):
    """The same rows in files of kinds that are no text."""
    rows = pd.DataFrame({"id": ["007", "NA"], "label": ["ant", "bee"]})
    rows.to_parquet(folder / "t.parquet")
    rows.to_excel(folder / "t.xlsx", index=False)
    with sqlite3.connect(folder / "t.sqlite") as base:
        rows.to_sql("rows", base, index=False)
    (folder / "t.csv").write_text(csv_text(rows))
    return [folder / f"t.{kind}" for kind in ("parquet", "xlsx", "sqlite", "csv")]


@pytest.mark.parametrize("packing", ["gz", "zip", "a name of its own"])
def test_any_kind_of_table_may_be_packed(tmp_path, packing):
    for path in packed_tables(tmp_path):
        place = path.with_name(f"{path.name}.{packing}" if packing in ("gz", "zip") else f"as {path.suffix[1:]}.zip")
        if packing == "gz":
            place.write_bytes(gzip.compress(path.read_bytes()))
        else:
            with zipfile.ZipFile(place, "w") as archive:
                archive.write(path, path.name)
                archive.writestr("__MACOSX/._t", b"")
        assert is_table(place) and read(place)[0] == {"id": ["007", "NA"], "label": ["ant", "bee"]}, place


def test_a_locked_zip_file_has_its_sentence(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("t.csv", "id\n1\n")
    data = bytearray((tmp_path / "t.csv.zip").read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the bit that says that it is encrypted, in both places
    (tmp_path / "t.csv.zip").write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        read_table(tmp_path / "t.csv.zip")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"PAR1xxxx", "Parquet"), ("t.csv", b"PK\x03\x04xxxx", "a spreadsheet or a ZIP"),
        ("t.tsv", b"\x1f\x8bxxxx", "packed"), ("t.csv", b"<!DOCTYPE html><html>", "a web page"),
        ("t.txt", b"%PDF-1.4", "PDF"), ("t.xlsx", b"id,label\n1,ant\n", "suffix .csv"),
        ("t.xls", b"<html><table></table></html>", "HTML"), ("t.csv", b"i\0d,la\0bel\n1,2\n", "zero bytes"),
        ("t.csv", b"", "it is empty"), ("t.xlsx", b"", "it is empty"),
        ("t.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "protected by a password"),
        ("t.csv", b"Insects of 2016\nid,label\n1,ant\n", r"line 1 is a title, write data\.header_row"),
    ],
)  # fmt: skip
def test_what_a_file_is_not_is_said(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_table(tmp_path / name)


def test_an_archive_of_several_tables_names_them(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.csv", "id\n1\n")
        archive.writestr("b.csv", "id\n1\n")
    with pytest.raises(DataError, match=r"holds 2 files \(a.csv, b.csv\); unpack it"):
        read_table(tmp_path / "t.zip")


def test_a_value_below_no_name_is_told_by_its_place(tmp_path):
    book(tmp_path / "t.xlsx", [["id", "", "x", ""], [1, 2, 3, 4]])
    with pytest.raises(DataError, match="row 2 has a value in column 4, above which there is no name"):
        read_table(tmp_path / "t.xlsx")
    assert read(book(tmp_path / "u.xlsx", [["id", "", "x", ""], [1, 2, 3, None]]))[0] == {
        "id": ["1"], "column 2": ["2"], "x": ["3"],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["id\tplace, day\n1\toak, 3\n2\tash, 4\n", "id\tx;y\n1\t2;3\n4\t5;6\n"])
def test_tabs_separate_where_all_lines_have_them_whatever_else_stands_between(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    assert read(tmp_path / "t.csv")[0]["id"] == [line.split("\t")[0] for line in text.splitlines()[1:]]


def book(path, rows, change=lambda sheet: None):
    """Write a spreadsheet."""
    made = openpyxl.Workbook()
    for row in rows:
        made.active.append(row)
    change(made.active)
    made.save(path)
    return path


def test_merged_cells_have_one_value(tmp_path):
    rows = [["id", "site"], ["1", "oak"], ["2", None], ["3", None], ["4", "ash"]]
    cells, said = read(book(tmp_path / "t.xlsx", rows, lambda sheet: sheet.merge_cells("B2:B4")))
    assert cells["site"] == ["oak", "oak", "oak", "ash"] and "2 cells that are merged" in said


def test_what_a_spreadsheet_shows_and_does_not_hold_is_said(tmp_path):
    def change(sheet):
        sheet["B2"].value, sheet["B2"].data_type = "#N/A", "e"
        sheet["A2"].number_format = "0000"
        sheet["B3"].value = "=1+1"

    cells, said = read(book(tmp_path / "t.xlsx", [["id", "x"], [7, 1], [12345678901234567, 2]], change))
    assert cells == {"id": ["7", "12345678901234570"], "x": ["", ""]}
    for words in ("1 cells hold an error", "1 formulas have no value", "zeros in front (0000)", "more than 15 digits"):
        assert words in said
    assert read(book(tmp_path / "u.xlsx", [["id", "x"], [7, 1]]))[1] == ""


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "~", "^", "#", ":", "\x1f"])
def test_any_separator_is_found(tmp_path, separator):
    (tmp_path / "t.txt").write_text("\n".join(separator.join(row) for row in (["id", "x"], ["007", "1"], ["8", "2"])))
    assert read(tmp_path / "t.txt")[0] == {"id": ["007", "8"], "x": ["1", "2"]}


@pytest.mark.parametrize("text", ["species: list\nant\nbee: x\n", "a # b\nx\ny\n"])
def test_a_sign_in_some_lines_is_no_separator(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    assert len(read(tmp_path / "t.csv")[0]) == 1


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('id,x\n1,"say ""a, b"""\n', 'say "a, b"'), ('id, x\n1, "a, b"\n', "a, b"),
        ('id,x\n1,"say \\"a, b\\""\n', 'say "a, b"'), ("id,x\n1,'a, b'\n", "a, b"),
        ('id,x\n1,5" trap\n', '5" trap'), ("id,x\n1,l'été\n", "l'été"), ('id,x\n1,"5" trap"\n', '"5" trap"'),
    ],
)  # fmt: skip
def test_texts_are_quoted_in_many_ways(tmp_path, text, cell):
    (tmp_path / "t.csv").write_text(text)
    assert read(tmp_path / "t.csv")[0]["x"] == [cell]


def test_the_end_of_a_file_that_was_never_written_is_no_row(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"id,x\n1,a\n2,b\n" + b"\0" * 4096)
    cells, said = read(tmp_path / "t.csv")
    assert cells["id"] == ["1", "2"] and "1 rows of zero bytes" in said
    (tmp_path / "t.csv").write_bytes(b"id,x\n1,a\n\x1a")
    assert read(tmp_path / "t.csv")[0]["id"] == ["1"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "cp1252"])
def test_json_lines_of_other_encodings_are_read(tmp_path, encoding):
    text = '{"id": "007", "label": "Käfer"}\n{"id": 8}\n'
    (tmp_path / "t.jsonl").write_bytes(text.encode(encoding))
    assert read(tmp_path / "t.jsonl")[0] == {"id": ["007", "8"], "label": ["Käfer", ""]}


@pytest.mark.parametrize(
    ("line", "words"), [('{"a": 1, "a": 2}', "'a' twice"), ('{"a": ' + "[" * 100_000, "nested too deep")]
)
def test_a_line_that_says_two_things_or_none_is_named(tmp_path, line, words):
    (tmp_path / "t.jsonl").write_text('{"a": 1}\n' + line + "\n")
    with pytest.raises(DataError, match=f"line 2.*{words}"):
        read_table(tmp_path / "t.jsonl")


def test_half_a_letter_loses_no_row(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"a": "\\ud800 x"}\n' + json.dumps({"a": "\U0001f41c"}) + "\n")
    assert read(tmp_path / "t.jsonl")[0]["a"] == ["\ufffd x", "\U0001f41c"]


def test_a_text_in_another_encoding_than_its_database_loses_no_row(tmp_path):
    with sqlite3.connect(tmp_path / "t.sqlite") as base:
        base.execute("create table t (a text)")
        base.execute("insert into t values (cast(x'4be4666572' as text)), ('ant')")
    assert read(tmp_path / "t.sqlite")[0]["a"] == ["Käfer", "ant"]


def test_a_list_of_names_is_text(tmp_path):
    (tmp_path / "names.txt").write_bytes("NA\r\n007\r\na\u2028b\n".encode())
    assert read_names(tmp_path / "names.txt") == ["NA", "007", "a\u2028b"]
    book(tmp_path / "names.txt.xlsx", [["NA"]]).rename(tmp_path / "names.txt")
    with pytest.raises(DataError, match="list of names .its content is a spreadsheet"):
        read_names(tmp_path / "names.txt")


@pytest.mark.parametrize("layout", ["a line each", "a list", "a list over many lines"])
def test_objects_in_json_stand_in_lines_or_in_a_list_and_one_nested_value_takes_no_column_along(tmp_path, layout):
    rows = [{"label": "ant", "mass": 1}, {"label": ["x", "y"], "mass": {"value": 2}, "parts": [1]}, {"label": "NA"}]
    lines = "\n".join(map(json.dumps, rows))
    text = lines if layout == "a line each" else json.dumps(rows, indent=1 if "many" in layout else None)
    (tmp_path / "t.jsonl").write_text(text)
    cells, notes = read(tmp_path / "t.jsonl")
    assert cells == {"label": ["ant", "", "NA"], "mass": ["1", "", ""]}
    assert "nested columns left out: parts" in notes and "1 values of 'label' are lists or objects" in notes


def test_a_table_may_be_packed_by_zstandard(tmp_path):
    (tmp_path / "t.csv.zst").write_bytes(pa.compress(b"id,label\n007,ant\n", codec="zstd", asbytes=True))
    assert read(tmp_path / "t.csv.zst")[0] == {"id": ["007"], "label": ["ant"]}
    (tmp_path / "bad.csv.zst").write_bytes(b"id,label\n007,ant\n")
    with pytest.raises(DataError, match="bad.csv.zst: cannot be read as a table"):
        read(tmp_path / "bad.csv.zst")


def test_bytes_that_are_no_text_stay_apart(tmp_path):
    pq.write_table(pa.table({"label": [b"M\xfcller", b"M\xf6ller", "Müller".encode()]}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet")[0]["label"] == ["Müller", "Möller", "Müller"]


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("t.csv", b"image,label\n\n1.png,ant\n\n2.png,\n", "line 5"),
        ("t.tsv", b'image\tlabel\n"1\n.png"\t\n2.png\tant\n', "line 3"),
        ("t.jsonl", b'{"image": "1.png", "label": "ant"}\n{"image": "2.png"}\n', "line 2"),
    ],
)  # fmt: skip
def test_a_row_that_is_left_out_is_named_by_its_place_in_the_file(tmp_path, name, content, place):
    (tmp_path / name).write_bytes(content)
    notes = CsvSource(tmp_path, name).load().notes
    assert [note for note in notes if f"the first is {place})" in note]


def test_a_row_of_a_table_without_lines_is_named_by_its_number(tmp_path):
    pq.write_table(pa.table({"image": ["1.png", "2.png"], "label": ["ant", None]}), tmp_path / "t.parquet")
    assert [note for note in CsvSource(tmp_path, "t.parquet").load().notes if "the first is row 2)" in note]


def test_a_column_that_is_not_there_may_be_on_another_sheet_or_lost_its_digits(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["key", "meaning"])
    book.active.append([1, "ant"])
    sheet = book.create_sheet("catch")
    sheet.append(["id", "image", "label"])
    for n in range(3):
        sheet.append([12345678901234567 + n, f"{n}.png", "ant"])
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(DataError, match=r"no column 'label'.*write data\.sheet: catch"):
        CsvSource(tmp_path, "t.xlsx").load()
    with pytest.raises(DataError, match="repeats or lacks an id.*more than 15 digits"):
        CsvSource(tmp_path, "t.xlsx", sheet="catch", id="id").load()


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("id,file,label\n1,a\rb,ant\n2,c,bee\n", ["a\rb", "c"]),  # as pandas writes it
        ("id;file;label\r\n1;a\rb;ant\r\n2;c\nd;bee\r\n", ["a\rb", "c\nd"]),
        ("id\tfile\tlabel\r1\ta\nb\tant\r2\tc\tbee\r", ["a\nb", "c"]),
        ("id,file,label\r1,a,ant\r2,b,bee\n3,c,fly\n", ["a", "b", "c"]),  # put together from two files
        ("id,file,label\r\r\n1,a,ant\r\r\n2,b,bee\r\r\n", ["a", "b"]),
        ('id,file,label\n1,"a\rb",ant\n2,"c\nd",bee\n', ["a\rb", "c\nd"]),
    ],
)
def test_a_line_end_within_a_cell_divides_no_row(tmp_path, text, cells):
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode())
    table = read_table(path)
    assert list(table["file"]) == cells and not table["label"].isna().any()
