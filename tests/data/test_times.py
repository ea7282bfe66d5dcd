import pandas as pd
import pytest

from bioautoml_nni.data.times import parse_times


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
