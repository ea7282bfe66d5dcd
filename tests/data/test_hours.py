"""Times of day in plain numbers: what a column means is decided from all of it, and asked where it does not say."""

import numpy as np
import pandas as pd
import pytest

from bioautoml_nni.data.hours import decide_hours, parse_hours
from bioautoml_nni.data.metadata import MetadataPreprocessor
from bioautoml_nni.data.moments import DateForm, restore_form
from bioautoml_nni.data.roles import infer_role
from bioautoml_nni.data.typed import with_types
from bioautoml_nni.sources.csv import CsvSource

MINUTES = [f"21.{minute:02d}" for minute in range(1, 59, 4)]


@pytest.mark.parametrize(
    ("texts", "clock", "hour"),
    [
        (["21.5", "6.25", "7.75"], "", 21.5),
        (["21.50", "6.00"], "", 21.5),
        (["21", "6", "24"], "", 21),
        (["21.30", "6.15", "7.45"], "clock", 21.5),
        (["21,30", "6,15"], "clock", 21.5),
        (["21.30", "22.00"], "clock", 21.5),
        (["21.30", *MINUTES], "clock", 21.5),
        (["2130", "930", "5", "1445"], "compact", 21.5),
        (["0930", "1045"], "compact", 9.5),
        (["930", "945", "1000", "1015", "1030", "1045", "1100", "1115"], "compact", 9.5),
        (["0.5", "0.8958", "0.25"], "day_part", 12),
        (["21:30", "9.30 pm", "22h"], "", 21.5),
    ],
)
def test_a_column_decides_what_its_numbers_mean(texts, clock, hour):
    report = decide_hours(pd.Series(texts, dtype="str"))
    assert report.form.clock == clock and not report.other
    column = pd.Series(texts, dtype="str")
    assert parse_hours(column, report.form)[0] == pytest.approx(hour)
    alone = [parse_hours(column[[row]], report.form)[0] for row in column.index]
    np.testing.assert_array_equal(alone, parse_hours(column, report.form))
    assert restore_form(report.form.state()) == report.form
    assert bool(report.notes("zeit")) == bool(clock)


@pytest.mark.parametrize(("texts", "other"), [(["21.20", "6.10"], "clock"), (["930", "1045"], "compact")])
def test_what_no_value_decides_is_asked(texts, other):
    report = decide_hours(pd.Series(texts, dtype="str"))
    assert report.other == other and report.form.clock == ""
    assert f"write data.hour_form: {{zeit: {other}}}" in report.notes("zeit")[0]


def test_numbers_of_a_format_and_their_texts_are_one():
    for clock, number, text in (("clock", 21.3, "21.30"), ("compact", 2130.0, "2130"), ("day_part", 0.5, "0,5")):
        form = DateForm(clock=clock)
        found = [parse_hours(pd.Series([value]), form)[0] for value in (number, text)]
        assert found[0] == found[1] and 12 <= found[0] <= 21.5
    assert np.isnan(parse_hours(pd.Series(["2175", "21.75"]), DateForm(clock="compact"))).all()
    assert np.isnan(parse_hours(pd.Series(["21.75", "21.305"]), DateForm(clock="clock"))).all()


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("9.30 pm", 21.5), ("9:30\u202fPM", 21.5), ("21h30", 21.5), ("21 h 30", 21.5), ("21h30min", 21.5), ("21 h", 21),
        ("2130 h", 21.5), ("0930 hrs", 9.5), ("21.30 Uhr", 21.5), ("12.15 a.m.", 0.25), ("13.30 pm", np.nan),
        ("2175 h", np.nan), ("25 h 10", np.nan),
    ],
)  # fmt: skip
def test_times_as_people_write_them(text, hour):
    np.testing.assert_allclose(parse_hours(pd.Series([text])), [hour])


def test_names_tell_hours_where_numbers_alone_do_not():
    table = pd.DataFrame(
        {"Uhrzeit": ["2130", "0915"], "hour": ["21", "9"], "plot": ["2130", "0915"], "exposure": ["930", "1500"]}
    )
    typed = with_types(table)
    roles = {name: infer_role(name, typed.table[name], typed.forms.get(name))[0] for name in table}
    assert roles == {"Uhrzeit": "hour", "hour": "hour", "plot": "ignored", "exposure": "ignored"}
    assert "2 values such as 2130 are read as times" in " ".join(typed.notes)
    fitted = MetadataPreprocessor({"Uhrzeit": "hour"}, forms=typed.forms).fit(typed.table)
    np.testing.assert_allclose(24 * fitted.fields_[0].phase(table["Uhrzeit"]), [21.5, 9.25])


@pytest.mark.parametrize(("told", "hour"), [("clock", 21 + 1 / 3), ("decimal", 21.2)])
def test_an_answer_is_kept_and_nothing_is_asked_any_more(tmp_path, told, hour):
    rows = "".join(f"a{row},{'xy'[row % 2]},{20 + row % 3}.{10 * (1 + row % 2)}\n" for row in range(12))
    (tmp_path / "t.csv").write_text("id,label,zeit\n" + rows)
    options = {"root": tmp_path, "table": "t.csv", "image": None}
    assert "write data.hour_form: {zeit: clock}" in " ".join(
        CsvSource(**options, columns={"zeit": "hour"}).load().notes
    )
    manifest = CsvSource(**options, hour_form={"zeit": told}).load()
    assert manifest.roles["zeit"] == "hour" and "hour_form" not in " ".join(manifest.notes)
    fitted = MetadataPreprocessor({"zeit": "hour"}, forms=manifest.forms).fit(manifest.table)
    assert (
        hour in np.round(24 * fitted.fields_[0].phase(manifest.table["zeit"]), 9)
        or np.isclose(24 * fitted.fields_[0].phase(manifest.table["zeit"]), hour).any()
    )
