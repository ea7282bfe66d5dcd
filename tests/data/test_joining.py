"""Files with ids fit a table by them, in whatever order their rows stand."""

import re

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bioautoml_nni.data.joining import read_by_id
from bioautoml_nni.utils.atomic import write_text
from bioautoml_nni.utils.errors import DataError

IDS = st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=12, unique=True)


@given(ids=IDS, data=st.data())
@example(ids=["a\rb", "a\nb", "a\r\nb", ' "', ",", "#"], data=None)
@settings(max_examples=200)
def test_rows_come_in_the_order_asked_for_whatever_the_ids_are(tmp_path_factory, ids, data):
    file = tmp_path_factory.mktemp("joined") / "splits.csv"
    order = data.draw(st.permutations(range(len(ids)))) if data else range(len(ids))[::-1]
    written = pd.DataFrame({"id": [ids[place] for place in order], "part": [str(place) for place in order]})
    write_text(file, written.to_csv(index=False))
    found = read_by_id(file, pd.Series(ids), "")
    assert found["id"].tolist() == ids
    assert found["part"].tolist() == [str(place) for place in range(len(ids))]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["id,part", "a,test", "c,test"], "id 'b' is missing there"),
        (["id,part", "a,test"], "id 'b' (and 1 more) is missing there"),
        (["id,part", "a,1", "b,1", "c,1", "d,1"], "id 'd' is there but none of the run's own"),
        (["id,part", "a,1", "b,1", "c,1", "b,2"], "id 'b' stands there more than once"),
        (["id,part", "a,1", "b,1", "b,1"], "id 'b' stands there more than once"),
        (["name,part", "a,1", "b,1", "c,1"], "has no column 'id'"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence_with_file_and_id(tmp_path, lines, words):
    file = tmp_path / "splits.csv"
    file.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=rf"^{re.escape(str(file))}: {re.escape(words)}; restore it\.$"):
        read_by_id(file, pd.Series(["a", "b", "c"]), "restore it")


def test_a_file_that_was_saved_on_windows_fits(tmp_path):
    file = tmp_path / "splits.csv"
    file.write_bytes(b"id,part\r\nb,x\r\na,y\r\n")
    assert read_by_id(file, pd.Series(["a", "b"]), "")["part"].tolist() == ["y", "x"]


def test_ids_that_look_like_numbers_or_gaps_are_text(tmp_path):
    file = tmp_path / "splits.csv"
    file.write_text("id,part\n1.0,x\n001,y\nNA,z\n,w\n")
    assert read_by_id(file, pd.Series(["", "NA", "001", "1.0"]), "")["part"].tolist() == ["w", "z", "y", "x"]
