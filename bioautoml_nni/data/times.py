"""Dates and times as people write them."""

from __future__ import annotations

import pandas as pd

DAYS = 365.25


def parse_times(column: pd.Series) -> pd.Series:
    """Return time stamps; what cannot be read is missing.

    Reads whatever pandas reads, years and months without a day (their middle), and ISO intervals such as
    ``2016-06-01/2016-06-15`` or ``2016-06-01/15``, of which the middle is taken. Time zones are dropped: the local
    time of day is what the specimen met.
    """
    codes, values = pd.factorize(column)
    parsed = pd.Series([_parse(value) for value in values] + [pd.NaT], dtype="datetime64[us]")
    return pd.Series(parsed.to_numpy()[codes], index=column.index)


def _parse(value: object) -> pd.Timestamp:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    first, slash, last = text.partition("/")
    start = _single(first)
    if not slash or pd.isna(start):
        return start
    end = _single(last if len(last) >= len(first) else first[: len(first) - len(last)] + last)
    return start if pd.isna(end) else start + (end - start) / 2


def _single(text: str) -> pd.Timestamp:
    if text.isdigit() and len(text) not in (4, 8):  # a number is no date
        return pd.NaT
    try:
        stamp = pd.Timestamp(text)
    except (ValueError, OverflowError):
        return pd.NaT
    if pd.isna(stamp):
        return pd.NaT
    if stamp.tzinfo is not None:
        stamp = stamp.tz_localize(None)
    if len(text) == 4 and text.isdigit():
        return stamp + pd.Timedelta(days=182)
    if len(text) == 7 and text[4] == "-":
        return stamp + pd.Timedelta(days=14)
    return stamp
