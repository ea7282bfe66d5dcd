"""What spares memory and time on many rows changes nothing on few: each shortcut against the long way."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from damage import tries
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.config.schema import DataConfig
from bioautoml_nni.data import specimens, splits, tables
from bioautoml_nni.data.manifest import LABEL
from bioautoml_nni.data.numerals import FORMS, _pattern, clean, decide_numbers
from bioautoml_nni.data.own_csv import csv_text
from bioautoml_nni.data.tables import read_table
from bioautoml_nni.data.times import SHARE, decide_form
from bioautoml_nni.data.typed import with_types

texts = st.text("0123456789.,-+eE infINF\u0130\u0131\u0663'x\r\n\"", max_size=6)
cells = st.one_of(
    st.none(), texts, st.sampled_from(["03/04/2016", "2016-06-01", "NA", "1,234", "007", "inf", "\u0663"])
)


@tries(150)
@given(st.lists(cells, min_size=1, max_size=8))
def test_numbers_are_decided_as_by_trying_every_form_on_every_text(values: list[str | None]) -> None:
    report = decide_numbers(pd.Series(values, dtype="str"))
    kept = [clean(value) for value in values if value is not None and clean(value)]
    words = [text for text in kept if report_word(text)]
    others = [text for text in kept if not report_word(text)]
    readings = {form: sum(_pattern(form).match(text) is not None for text in others) for form in FORMS}
    best = max(FORMS, key=lambda form: readings[form])
    assert report.form == best and report.read == readings[best]
    assert report.gaps == len(words) and report.unreadable == len(others) - readings[best]


def report_word(text: str) -> bool:
    from bioautoml_nni.data.numerals import GAP_WORDS

    return text.lower() in GAP_WORDS


@tries(150)
@given(st.lists(cells, min_size=1, max_size=30))
def test_a_column_that_is_given_up_early_is_no_column_of_dates(values: list[str | None]) -> None:
    column = pd.Series(values, dtype="str")
    whole = decide_form(column)
    limit = (1 - SHARE) * max(1, int(column.notna().sum()))
    few = decide_form(column, limit)
    assert few == whole if whole.unreadable <= limit else few.unreadable > limit


@tries(60)
@given(st.lists(st.tuples(cells, cells, st.floats(allow_nan=True)), max_size=9), st.integers(1, 4))
def test_the_digest_of_blocks_is_that_of_the_whole_text(rows: list[tuple], block: int) -> None:
    table = pd.DataFrame(rows, columns=["a", "b", "c"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(specimens, "DIGESTED", block)
        digest = specimens.csv_digest(table).hexdigest()
    assert digest == hashlib.sha256(csv_text(table).encode()).hexdigest()


@pytest.mark.parametrize("block", [1, 2, 7])
def test_a_table_read_in_small_blocks_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "id": [f"{n:03d}" for n in range(40)],
            "mass": [f"{value:.3f}" if value > 0.2 else "" for value in rng.random(40)],
            "day": rng.choice(["2016-06-01", "13/06/2016", ""], 40),
            "note": rng.choice(["on, bark", 'a "leaf"', " NA ", ""], 40),
        }
    )
    (tmp_path / "t.csv").write_text(csv_text(table))
    whole = read_table(tmp_path / "t.csv", ["NA"])
    monkeypatch.setattr(tables, "READ", block)
    small = read_table(tmp_path / "t.csv", ["NA"])
    pd.testing.assert_frame_equal(small, whole)
    before = whole.copy(deep=True)
    typed = with_types(whole, {"id"})
    pd.testing.assert_frame_equal(whole, before)  # what is given is only read
    pd.testing.assert_frame_equal(typed.table, with_types(small, {"id"}).table)


@pytest.mark.parametrize("method", ["stratified", "group", "column"])
def test_a_split_asks_for_no_other_columns(method: str) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            LABEL: rng.choice(["ant", "bee", "new"], 90), "event": rng.integers(0, 15, 90).astype(str),
            "part": rng.choice(["train", "test"], 90), "more": rng.random(90),
        }
    )  # fmt: skip
    split = {"method": method, "group": "event"} if method == "group" else {"method": method}
    split |= {"column": "part", "train": ["train"], "test": ["test"]} if method == "column" else {}
    settings = DataConfig.model_validate({"source": "csv", "hold_out": ["new"], "split": split})
    found = splits.divide(table, settings, 3)
    learned = table[table[LABEL] != "new"]
    expected = splits.assign(learned, settings.split, 3).reindex(table.index, fill_value=splits.UNKNOWN)
    pd.testing.assert_series_equal(found, expected)
