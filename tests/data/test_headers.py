"""Titles above the header, and what spreadsheets hide."""

import openpyxl
import pandas as pd
import pytest

from bioautoml_nni.data.tables import TableFile, read_table
from bioautoml_nni.sources.guess import guess
from bioautoml_nni.utils.errors import DataError

ROWS = [["id", "img", "Art"], ["001", "a.jpg", "x"], ["002", "b.jpg", "y"]]


def workbook(path, rows, *merged):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cells in merged:
        book.active.merge_cells(cells)
    book.save(path)
    return path


@pytest.mark.parametrize(
    ("titles", "merged", "row"),
    [
        ([["Collection X, exported 2024-05-01"], []], (), 3),
        ([["Collection X"]], ("A1:C1",), 2),
        ([["Museum"], ["Collection X"], []], (), 4),
    ],
)
def test_a_title_of_a_workbook_is_passed_over_and_said(tmp_path, titles, merged, row):
    path = workbook(tmp_path / "t.xlsx", [*titles, *ROWS], *merged)
    notes = []
    found = read_table(path, notes=notes)
    assert list(found) == ROWS[0] and found["id"].tolist() == ["001", "002"]
    assert f"row {row} holds the names of the columns" in notes[0] and titles[0][0] in notes[0]


def test_pairs_above_an_empty_row_are_a_title(tmp_path):
    header = ["id", "img", "Art", "Ort"]
    rows = [["Exported", "2024"], ["By", "A. Nonymous"], [], header, ["1", "a.jpg", "x", "o"], ["2", "b.jpg", "y", "p"]]
    assert list(read_table(workbook(tmp_path / "t.xlsx", rows))) == header


@pytest.mark.parametrize(
    "text",
    [
        "Collection X, exported 2024-05-01\n\nid,img,Art\n001,a.jpg,x\n002,b.jpg,y\n",
        "Collection X;;\n;;\nid;img;Art\n001;a.jpg;x\n002;b.jpg;y\n",
        "Collection X\nid;img;Art\n001;a.jpg;x\n002;b.jpg;y\n",
        "# made at home, in 2024\n# by me; alone\nid;img;Art\n001;a.jpg;x\n002;b.jpg;y\n",
        '"A, title, of, five, commas"\n\nid\timg\tArt\n001\ta.jpg\tx\n002\tb.jpg\ty\n',
    ],
)
def test_a_title_of_a_text_is_passed_over_and_said(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    file = TableFile(tmp_path / "t.csv")
    found = pd.concat(list(file.blocks(10)))
    assert found.to_numpy().tolist() == ROWS[1:] and list(found) == ROWS[0]
    assert file.header.titles and "what stands above it is not read" in " ".join(file.notes)
    assert list(file.lines) == [file.header.row + 1, file.header.row + 2]


@pytest.mark.parametrize(
    "text",
    [
        "note\na, b\nc, d\n", "image\na.jpg\nb.jpg\n", ",species\na.jpg,Apis\nb.jpg,Bombus\n",
        "image,\na.jpg,Apis\nb.jpg,Vespa\n",
        "#name,label\nfoo,ant\nbar,bee\n", "name,label\n\nfoo,ant\nbar,bee\n", "id,label\n\n1,ant\n2,bee\n",
        "x\n1;2;3\n4;5;6\n", "site,\nA,\nB,\n",
    ],
)  # fmt: skip
def test_a_header_is_no_title_because_it_is_short(tmp_path, text):
    (tmp_path / "t.csv").write_text(text)
    file = TableFile(tmp_path / "t.csv")
    try:
        list(file.blocks(10))
        assert not file.header.titles and file.header.row == 1
    except DataError as error:
        assert "if line 1 is a title, write data.header_row" in str(error)


def test_the_row_of_the_header_may_be_told(tmp_path):
    path = workbook(tmp_path / "t.xlsx", [["a", "b", "c"], [], *ROWS])
    assert list(next(TableFile(path, header_row=3).blocks(10))) == ROWS[0]
    with pytest.raises(DataError, match="row 2 is empty; the next that holds something is 3"):
        list(TableFile(path, header_row=2).blocks(10))
    with pytest.raises(DataError, match="it has no row 99"):
        list(TableFile(path, header_row=99).blocks(10))
    (tmp_path / "t.csv").write_text('x,y\nfoo,"bar\n\nid,lab\n1,2\n')
    assert next(TableFile(tmp_path / "t.csv", header_row=4).blocks(10)).to_numpy().tolist() == [["1", "2"]]


def test_groups_of_columns_above_the_header_are_refused_with_the_way_out(tmp_path):
    path = workbook(tmp_path / "t.xlsx", [[None, "place", None], ["id", "lat", "lon"], ["1", "2", "3"]], "B1:C1")
    with pytest.raises(DataError, match=r"merged cells.*data\.header_row"):
        read_table(path)
    assert list(next(TableFile(path, header_row=2).blocks(10))) == ["id", "lat", "lon"]


def test_init_writes_down_where_the_header_is(tmp_path):
    rows = [["img", "Art", "Falle"], *[[f"{n}.jpg", "xy"[n % 2], f"F{n % 6}"] for n in range(24)]]
    path = workbook(tmp_path / "t.xlsx", [["Traps of 2024"], [], *rows])
    found = guess(path)
    assert found.values["header_row"] == 3 and "Traps of 2024" in found.reasons["header_row"]
    assert found.values["label"] == "Art"


def test_what_a_workbook_hides_is_said(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["old"])
    book.active.append(["1"])
    book.active.sheet_state = "hidden"
    shown = book.create_sheet("specimens")
    for row in ROWS:
        shown.append(row)
    shown.row_dimensions[3].hidden = True
    book.active = 1
    book.save(tmp_path / "t.xlsx")
    notes = []
    assert read_table(tmp_path / "t.xlsx", notes=notes)["id"].tolist() == ["001", "002"]
    said = " ".join(notes)
    assert "its first sheet 'specimens' is read, of Sheet, specimens (Sheet hidden)" in said
    assert "1 rows or columns are hidden" in said
    assert read_table(tmp_path / "t.xlsx", sheet="Sheet")["old"].tolist() == ["1"]


@pytest.mark.parametrize(
    "text",
    [
        '"image" "label" "size"\n"1" "a.jpg" "Apis mellifera" 3.5\n"2" "b.jpg" "Bombus" NA\n',
        "image\tlabel\tsize\n1\ta.jpg\tApis mellifera\t3.5\n2\tb.jpg\tBombus\tNA\n",
    ],
)
def test_row_names_of_r_shift_no_column(tmp_path, text):
    (tmp_path / "t.txt").write_text(text)
    notes = []
    found = read_table(tmp_path / "t.txt", notes=notes)
    assert found["image"].tolist() == ["a.jpg", "b.jpg"] and found["label"].tolist() == ["Apis mellifera", "Bombus"]
    assert found["size"].tolist() == ["3.5", "NA"] and "begin with their number" in " ".join(notes)


def test_rows_that_are_longer_for_another_reason_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("image,label\na.jpg,Apis mellifera, Linnaeus\nb.jpg,Apis cerana, Fabricius\n")
    with pytest.raises(DataError, match="line 2 has 3 fields"):
        read_table(tmp_path / "t.csv")


def test_spaces_separate_columns_that_are_aligned_and_no_names_of_two_words(tmp_path):
    (tmp_path / "t.txt").write_text("image   label  size\na.jpg   ant    3.5\nb.jpg   bee    4.5\n")
    assert read_table(tmp_path / "t.txt").to_numpy().tolist() == [["a.jpg", "ant", "3.5"], ["b.jpg", "bee", "4.5"]]
    (tmp_path / "t.txt").write_text("scientific name\nApis mellifera\nBombus terrestris\n")
    assert read_table(tmp_path / "t.txt")["scientific name"].tolist() == ["Apis mellifera", "Bombus terrestris"]
