import pandas as pd
import pytest
from damage import tries
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.data.own_csv import csv_text, read_own
from bioautoml_nni.data.tables import TableFile, read_names, read_table
from bioautoml_nni.utils.errors import DataError


def read(folder, content, name="table.csv", encoding="utf-8", **options):
    (folder / name).write_bytes(content.encode(encoding))
    notes = []
    table = read_table(folder / name, notes=notes, **options)
    return table.astype(object).where(table.notna(), None).to_dict("list"), " ".join(notes)


def test_every_text_stays_what_it_is(tmp_path):
    words = ["NA", "nan", "None", "null", "N/A", "007", "7", "7.0", "1e3", "0x10", "no", "12345678901234567", "TRUE"]
    found, _ = read(tmp_path, "label,x\n" + "".join(f"{word},\n" for word in words))
    assert found == {"label": words, "x": [None] * len(words)}


def test_missing_is_what_the_caller_names(tmp_path):
    found, _ = read(tmp_path, "label\nNA\n-\nant\n", missing={"NA", "-"})
    assert found == {"label": [None, None, "ant"]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_any_separator_and_encoding_give_the_same_table(tmp_path, separator, encoding):
    rows = [("image", "label", "place"), ("a.png", "Käfer", "Dürrenstein, Au"), ("b.png", "Mücke", "")]
    content = "\r\n".join(separator.join(f'"{cell}"' for cell in row) for row in rows) + "\r\n"
    found, notes = read(tmp_path, content, encoding=encoding)
    assert found == {"image": ["a.png", "b.png"], "label": ["Käfer", "Mücke"], "place": ["Dürrenstein, Au", None]}
    assert ("cp1252" in notes) == (encoding == "cp1252")


def test_rows_may_end_in_separators_and_be_short_but_not_be_longer(tmp_path):
    found, notes = read(tmp_path, "id,image\n1,a.png,\n2,b.png,,\n3\n")
    assert found == {"id": ["1", "2", "3"], "image": ["a.png", "b.png", None]}
    assert "2 rows end in separators" in notes and "1 rows have fewer fields" in notes and "line 4" in notes
    with pytest.raises(DataError, match="line 3 has 3 fields, the header 2"):
        read(tmp_path, "id,image\n1,a.png\n2,b.png,c\n")


def test_headers_that_repeat_or_are_empty_get_names(tmp_path):
    found, notes = read(tmp_path, "a,,a,\n1,2,3,\n")
    assert found == {"a": ["1"], "column 2": ["2"], "a.1": ["3"]}
    assert "column 'a' comes more than once" in notes


def test_quotes_that_do_not_pair_are_letters_where_rows_fit(tmp_path):
    found, notes = read(tmp_path, 'id\tnote\n1\t12" net\n2\t"big" one\n', "table.tsv")
    assert found["note"] == ['12" net', '"big" one'] and "quotes do not pair" in notes
    with pytest.raises(DataError, match="quotes do not pair"):
        read(tmp_path, 'id,note\n1,"a, b\n2,c\n')


def test_blocks_are_those_of_the_whole_table(tmp_path):
    (tmp_path / "t.csv").write_text("id,x\n" + "".join(f"{n:03d},{n}\n" for n in range(25)))
    parts = list(TableFile(tmp_path / "t.csv").blocks(7))
    assert [len(part) for part in parts] == [7, 7, 7, 4]
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), read_table(tmp_path / "t.csv"))


def test_nested_columns_of_parquet_are_named_and_left_out(tmp_path):
    table = pd.DataFrame({"id": [1, 2], "points": [[1, 2], [3]], "day": pd.to_datetime(["2016-06-01", None])})
    table.to_parquet(tmp_path / "t.parquet")
    notes = []
    found = read_table(tmp_path / "t.parquet", notes=notes)
    assert list(found) == ["id", "day"] and found["day"].iloc[0].startswith("2016-06-01") and "points" in notes[0]


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)


@tries(60)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=5))
def test_what_we_write_we_read(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("own") / "own.csv"
    table = pd.DataFrame(rows, columns=["name", "NA"], dtype="str")
    path.write_text(csv_text(table), encoding="utf-8", newline="")
    pd.testing.assert_frame_equal(read_own(path), table)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_lists_of_names_may_be_saved_in_any_encoding(tmp_path, encoding):
    (tmp_path / "names.txt").write_bytes("Käfer\r\n\r\n Mücke \r\n".encode(encoding))
    assert read_names(tmp_path / "names.txt") == ["Käfer", "Mücke"]
