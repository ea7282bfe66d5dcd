from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.data.hours import parse_hours
from bioautoml_nni.data.moments import DateForm, parse_moment, restore_form
from bioautoml_nni.data.roles import infer_role
from bioautoml_nni.data.times import decide_form, is_time, parse_times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-06-01", "2016-06-01"),
        ("2016-06-01/2016-06-15", "2016-06-08"),
        ("2016-06-01/15", "2016-06-08"),
        ("2016-06-01T10:00/2016-06-01T14:00", "2016-06-01T12:00"),
        ("2016-06", "2016-06-15"),
        ("2016", "2016-07-01"),
        (2016.0, "2016-07-01"),
        ("20160601", "2016-06-01"),
        ("1 June 2016", "2016-06-01"),
        ("2016-06-01T10:00:00Z", "2016-06-01T10:00"),
        ("2016-06-01T10:00:00+02:00", "2016-06-01T10:00"),
    ],
)
def test_dates_as_people_write_them(text, expected):
    assert parse_times(pd.Series([text])).iloc[0] == pd.Timestamp(expected)


@pytest.mark.parametrize("text", ["soon", "", None, "12", "2016-13-45", "9999999-01-01", "/", float("nan")])
def test_what_is_no_date_is_missing(text):
    assert pd.isna(parse_times(pd.Series([text, "2016-01-01"])).iloc[0])


DAY = pd.Timestamp("2016-06-13")


@pytest.mark.parametrize(
    "text",
    [
        "2016-06-13", "2016/06/13", "13/06/2016", "06/13/2016", "13.06.2016", "13.6.16", "2016:06:13 00:00:00",
        "20160613", "13 June 2016", "June 13th, 2016", "13-Jun-2016", "13 VI 2016", "13.vi.2016", "13. Juni 2016",
        "13 juin 2016", "13 de junio de 2016", "13 de junho de 2016", "13 giugno 2016",
    ],
)  # fmt: skip
def test_every_form_of_a_day_is_that_day(text):
    assert parse_times(pd.Series([text])).iloc[0] == DAY
    assert parse_moment(text, DateForm()).stamp == DAY  # and by itself


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1-15 June 2016", "2016-06-08"), ("1.-15.6.2016", "2016-06-08"), ("2016-06-01 to 2016-06-15", "2016-06-08"),
        ("06/2016", "2016-06-15"), ("1898-01-14", "1898-01-14"), ("14 Jan 98", "1998-01-14"),
        ("2016-06-13 11 pm", "2016-06-13T23:00"), ("13/06/2016 2:30 PM", "2016-06-13T14:30"),
        ("28.5.-2.6.2016", "2016-05-30T12:00"), ("28.5.2016 - 2.6.2016", "2016-05-30T12:00"),
        ("05/2016-07/2016", "2016-06-14T12:00"), ("1956-1958", "1957-07-01T12:00"), ("2016-06-00", "2016-06-15"),
        ("2016-00-00", "2016-07-01"), ("13.6.'69", "1969-06-13"), ("13.6.'68", "1968-06-13"),
        ("20160613T103015Z", "2016-06-13T10:30:15"), ("2016-06-13T10:30[Europe/Berlin]", "2016-06-13T10:30"),
        ("Mon, 13 Jun 2016", "2016-06-13"), ("Mon Jun 13 10:30:00 2016", "2016-06-13T10:30"),
        ("2016-06-13T23:30:00−02:00", "2016-06-13T23:30"), ("2016‑06‑13", "2016-06-13"), ("'2016-06-13", "2016-06-13"),
        ("20160613_103015", "2016-06-13T10:30:15"), ("20160613-1030", "2016-06-13T10:30"),
        ("2016-06-13_10-30-15", "2016-06-13T10:30:15"), ("2016_06_13", "2016-06-13"),
        ("1er juin 1961", "1961-06-01"), ("12 août 1899", "1899-08-12"),
        ("20160613T1030", "2016-06-13T10:30"), ("2016-06-13 10:00:00.123+0200", "2016-06-13T10:00"),
        ("20160613103015", "2016-06-13T10:30:15"), ("201606131030", "2016-06-13T10:30"),
        ("13.06.2016, 10:30 Uhr", "2016-06-13T10:30"), ("13.06.2016 10.30", "2016-06-13T10:30"),
        ("13/06/2016 7:05 p. m.", "2016-06-13T19:05"), ("2016‑06‑13", "2016-06-13"),
        ("13 févr. 2016", "2016-02-13"), ("13. Mrz 2016", "2016-03-13"), ("3 janv. 1961", "1961-01-03"),
        ("Mon 13 Jun 2016", "2016-06-13"), ("lunes 13 de junio de 2016", "2016-06-13"), ("Mo 13.06.2016", "2016-06-13"),
        ("31.V-2.VI.2016", "2016-06-01"), ("28. Mai – 3. Juni 2016", "2016-05-31"),
        ("2016-06-13 22:00 - 05:00", "2016-06-14T01:30"), ("2016-06-13T22:00/23:00", "2016-06-13T22:30"),
    ],
)  # fmt: skip
def test_intervals_old_years_and_times_of_day(text, expected):
    assert parse_times(pd.Series([text])).iloc[0] == pd.Timestamp(expected)


@pytest.mark.parametrize(
    "text",
    [
        "10:30",
        "31/02/2016",
        "May",
        "ca 13 Jun 2016",
        "3 jui 2016",
        "12:30-0600",
        "3/4",
        "007",
        "2016-06-13T25:00",
        "2016-001",
        "2016_155",
    ],
)
def test_a_time_without_a_date_and_what_no_calendar_has_is_missing(text):
    assert parse_moment(text, DateForm("day_first")) is None


def test_one_order_for_a_column():
    dates = pd.Series(["03/04/2016", "15/06/2016"])
    assert parse_times(dates).tolist() == [pd.Timestamp("2016-04-03"), pd.Timestamp("2016-06-15")]
    american = pd.Series(["03/04/2016", "06/15/2016"])
    assert parse_times(american).iloc[0] == pd.Timestamp("2016-03-04")
    both = decide_form(pd.concat([dates, american]))
    assert (both.form.order, both.day_first, both.month_first, both.ambiguous) == ("", 1, 1, 2)
    assert parse_moment("03/04/2016", both.form) is None


def test_dots_are_day_first_unless_the_column_says_otherwise():
    american = pd.Series(["03.04.2016", "06.13.2016", "06.14.2016 22:15"])
    report = decide_form(american)
    assert (report.form.dots, report.unreadable) == ("month_first", 0)
    assert parse_times(american).tolist() == [
        pd.Timestamp("2016-03-04"), pd.Timestamp("2016-06-13"), pd.Timestamp("2016-06-14T22:15"),
    ]  # fmt: skip
    assert restore_form(report.form.state()) == report.form
    both = decide_form(pd.concat([american, pd.Series(["13.06.2016"])]))
    assert (both.form.dots, both.unreadable) == ("day_first", 2), "what contradicts is counted, not turned round"
    assert parse_times(pd.Series(["03.04.2016"])).iloc[0] == pd.Timestamp("2016-04-03")
    assert is_time(american)


def test_years_of_two_digits_lie_in_no_future_and_stand_where_all_dates_can_have_them():
    museum = pd.Series(["12.6.55", "13.7.61", "14.8.16"])
    assert parse_times(museum).dt.year.tolist() == [1955, 1961, 2016]
    assert parse_moment("12.6.55", DateForm()).stamp.year == 2055, "by itself, as in earlier versions"
    swedish = pd.Series(["16-06-12", "16-06-30", "99-05-01"])
    assert parse_times(swedish).tolist() == [pd.Timestamp(day) for day in ("2016-06-12", "2016-06-30", "1999-05-01")]
    for column in (museum, swedish):
        form = decide_form(column).form
        assert restore_form(form.state()) == form
        assert parse_times(column.iloc[:1], form).iloc[0] == parse_times(column).iloc[0], "a row by itself"
    assert decide_form(pd.Series(["12-06-16", "30-06-15"])).form.order == "day_first"
    assert decide_form(pd.Series(["99-05-01", "13-06-99"])).form.order != "year_first"


def test_a_stretch_of_hours_is_its_middle():
    hours = parse_hours(pd.Series(["19:00-21:00", "22:00–05:00", "13:00:00Z/15:30:00Z", "14:07-0600", "7:05 p. m."]))
    np.testing.assert_allclose(hours, [20, 1.5, 14.25, 14 + 7 / 60, 19 + 5 / 60])


def test_a_form_of_an_earlier_version_has_the_day_first_in_dates_with_dots():
    assert restore_form({"order": "month_first", "serial": ""}) == DateForm("month_first", dots="day_first")
    with pytest.raises(ValueError, match="form of dates"):
        restore_form({"order": "", "serial": "", "dots": "year_first"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2016-W24", "2016-06-16"), ("2016W24", "2016-06-16"), ("2016-W24-1", "2016-06-13"),
        ("2016W247", "2016-06-19"), ("2020-W53", "2020-12-31"), ("2016-W24-1T22:00", "2016-06-13T22:00"),
    ],
)  # fmt: skip
def test_weeks_as_the_standard_counts_them(text, expected):
    assert parse_moment(text, DateForm()).stamp == pd.Timestamp(expected)


@pytest.mark.parametrize("text", ["2016-W53", "2016-W00", "2016-W24-8", "2016-W2"])
def test_weeks_that_no_year_has_are_missing(text):
    assert parse_moment(text, DateForm()) is None


def test_serial_numbers_of_spreadsheets_and_of_clocks():
    assert parse_times(pd.Series([42534, 42535.25])).tolist() == [DAY, pd.Timestamp("2016-06-14T06:00")]
    assert decide_form(pd.Series([2016, 2017])).form.serial == ""
    assert parse_times(pd.Series(["1465776000"])).iloc[0] == DAY


def test_serial_numbers_with_a_decimal_comma_and_hours_with_a_word():
    assert parse_times(pd.Series(["42534,25", "42535"])).iloc[0] == DAY + pd.Timedelta(hours=6)
    hours = parse_hours(pd.Series(["22 Uhr", "7.30 Uhr", "23h", "7h30", "25 h"]))
    np.testing.assert_allclose(hours, [22, 7.5, 23, 7.5, np.nan])


def test_hours_by_themselves():
    hours = parse_hours(pd.Series(["23:30", "11 pm", "14h30", "6.5", "2016-06-13", "2016-06-13T06:00", "25", "noon"]))
    np.testing.assert_allclose(hours, [23.5, 23, 14.5, 6.5, np.nan, 6, np.nan, np.nan])


@given(st.dates(date(1700, 1, 1), date(2100, 1, 1)), st.sampled_from(["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d %B %Y"]))
def test_any_day_of_any_century(day, form):
    assert parse_moment(day.strftime(form), DateForm()).stamp.date() == day


@given(st.text("0123456789/-.: TZapmjunVIX", max_size=24))
def test_any_text_is_a_moment_or_none(text):
    moment = parse_moment(text, DateForm("day_first"))
    assert moment is None or 1000 <= moment.stamp.year < 3000


@pytest.mark.parametrize(
    ("text", "stamp"),
    [("01.06.2016 9.30 pm", "2016-06-01 21:30"), ("1º de maio de 2016", "2016-05-01"), ("2016年6月1日", "2016-06-01")],
)
def test_days_as_other_countries_write_them(text, stamp):
    assert parse_moment(text, DateForm("day_first")).stamp == pd.Timestamp(stamp)


def test_numbered_days_of_years_are_dates_in_a_column_of_dates():
    days = pd.Series(["2021-153", "2020-366", "2021-366", "2021153", "2021-001T22:15"] + ["2021-160"] * 3)
    found = decide_form(days)
    times = parse_times(days, found.form)
    assert times.iloc[:2].tolist() == [pd.Timestamp("2021-06-02"), pd.Timestamp("2020-12-31")]
    assert pd.isna(times.iloc[2]) and times.iloc[3] == times.iloc[0] and found.unreadable == 1
    assert times.iloc[4] == pd.Timestamp("2021-01-01T22:15")
    assert restore_form(found.form.state()) == found.form and "ordinal" not in DateForm().state()
    assert infer_role("event date", days.drop(2))[0] == "date"
    assert infer_role("lot", pd.Series(["2021-153", "2021-154"] * 4))[0] == "categorical"
    with pytest.raises(ValueError, match="form of dates"):
        restore_form({**DateForm().state(), "ordinal": "no"})
