"""Columns of dates and times.

What a form such as 03/04/2016 means is decided once for a column, from all of it (`decide_form`), and applied to each
value by itself (`parse_times`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from itertools import islice
from typing import Literal

import numpy as np
import pandas as pd

from .distinct import DistinctTexts
from .moments import (
    CENTURY,
    NUMBER,
    ORDINAL,
    RANGES,
    WITH_TIME,
    YEAR_LAST,
    DateForm,
    Dots,
    Order,
    Serial,
    clock_seconds,
    parse_moment,
)
from .tables import cell_text

DAYS = 365.25

FOUR_DIGITS = re.compile(r"\d{4}")

HEAD = 200
"""Texts that tell whether a column numbers the days of years."""

SHARE = 0.95
"""Of a column's values that are dates, or times of day, if it is to be one of them."""


@dataclass(frozen=True)
class FormReport:
    """Why a column is read as it is: numbers of values with one reading, with two, and with none."""

    form: DateForm
    day_first: int
    month_first: int
    ambiguous: int
    unreadable: int
    example: str = ""
    old: str = ""
    """A date whose year of two digits is one of the last century, since it would lie in the future otherwise."""


def decide_form(column: pd.Series, limit: float = math.inf) -> FormReport:
    """Decide from all values of a column how it writes its dates.

    Where values with one reading stand on both sides no order is taken, so that those with two readings count as
    missing; where there are only such with two, the day is taken for the first, as most of the world writes it.

    Args:
        limit: number of unreadable values beyond which the rest is not looked at, since the column holds no dates.
    """
    texts = texts_of(column)
    counts = dict.fromkeys(("day_first", "month_first", "ambiguous", "unreadable"), 0)
    example = ""
    base = DateForm("year_first" if _years_first(texts) else "", _serial(texts), _dots(texts))
    base = replace(base, ordinal=are_days_of_years(texts))
    old, today = "", date.today().year
    orders: tuple[Order, ...] = (base.order,) if base.order else ("day_first", "month_first")
    for text, count in texts.items():
        readings = [parse_moment(text, replace(base, order=order)) for order in orders]
        if not any(readings):
            counts["unreadable"] += count
            if counts["unreadable"] > limit:
                break
        elif readings[0] != readings[-1]:
            counts["ambiguous"] += count
            example = example or text
        elif (said := _says(text, dots=False)) and not base.order:
            counts[said] += count
        if not old and readings[0] and readings[0].stamp.year > today and not FOUR_DIGITS.search(text):
            old = text
    form = replace(base, order=base.order or _order(counts), century=today if old else CENTURY)
    return FormReport(form, **counts, example=example, old=old)


def _order(counts: Mapping[str, int]) -> Order:
    if counts["day_first"] and not counts["month_first"]:
        return "day_first"
    if counts["month_first"] and not counts["day_first"]:
        return "month_first"
    return "day_first" if counts["ambiguous"] and not counts["day_first"] else ""


def parse_times(column: pd.Series, form: DateForm | None = None) -> pd.Series:
    """Return time stamps, datetime64[us]; what cannot be read is missing.

    Reads ISO dates, weeks and, in a column of these, numbered days (2021-153), dates with slashes, dots, dashes or
    colons, month names in six languages and Roman numerals, years and months without a day and intervals such as
    ``2016-06-01/15`` (their middle). Time zones are dropped: the local time of day is what the specimen met.

    Args:
        form: how the column writes dates; decided from the column itself by default.
    """
    return parse_moments(column, form)[0]


def parse_moments(column: pd.Series, form: DateForm | None = None) -> tuple[pd.Series, np.ndarray]:
    """Return time stamps as `parse_times` does, and for each whether a time of day was written (N,) bool."""
    form = decide_form(column).form if form is None else form
    codes, values = pd.factorize(column)
    moments = [parse_moment(text, form) if (text := cell_text(value)) else None for value in values]
    stamps = pd.Series([moment.stamp if moment else pd.NaT for moment in moments] + [pd.NaT], dtype="datetime64[us]")
    timed = np.array([*(moment is not None and moment.timed for moment in moments), False])
    return pd.Series(stamps.to_numpy()[codes], index=column.index), timed[codes]


def time_share(column: pd.Series, texts: DistinctTexts | None = None) -> float:
    """Return the share of values that are times of day without a date.

    Args:
        texts: of the column, where they are at hand.
    """
    total = times = 0
    for text, count in (texts_of(column) if texts is None else texts).items():
        total += count
        times += count if clock_seconds(text) is not None else 0
    return times / max(1, total)


def is_time(column: pd.Series, texts: DistinctTexts | None = None) -> bool:
    """Whether nearly all values are dates, and not only years or other plain numbers; see `time_share`."""
    texts = texts_of(column) if texts is None else texts
    if all(NUMBER.match(text) for text in texts):
        return False
    few = list(islice(texts, 0, None, max(1, sum(1 for _ in texts) // 200)))
    form = DateForm("day_first", dots=_dots(texts))
    if sum(parse_moment(text, form) is not None for text in few) <= SHARE * len(few):
        return False
    return bool(parse_times(column.dropna()).notna().mean() > SHARE)


def are_days_of_years(texts: Iterable[str]) -> bool:
    """Whether most values look like a year and the number of its day, 2021-153, which the numbers of lots do, too."""
    few = list(islice(texts, HEAD))
    return 2 * sum(ORDINAL.match(text) is not None for text in few) > len(few)


def _says(text: str, dots: bool) -> Literal["", "day_first", "month_first"]:
    """Return which number stands first in a date whose year comes last, if exactly one is above 12.

    Args:
        dots: whether dates with dots are asked about, or those with other signs.
    """
    dated = WITH_TIME.match(text)
    found = YEAR_LAST.match(dated[1].strip() if dated else text)
    if not found or (found[2] == ".") != dots:
        return ""
    first, second = int(found[1]), int(found[3])
    return "" if max(first, second) <= 12 or min(first, second) > 12 else "day_first" if first > 12 else "month_first"


def _dots(texts: Iterable[str]) -> Dots:
    """Return what the first number is in dates with dots; where they contradict each other, the day."""
    said = {_says(text, dots=True) for text in texts}
    return "month_first" if "month_first" in said and "day_first" not in said else "day_first"


def _short_years(texts: Iterable[str]) -> Iterator[tuple[int, int, int]]:
    """Yield the three numbers of dates that have no year of four digits."""
    for text in texts:
        dated = WITH_TIME.match(text)
        found = YEAR_LAST.match(dated[1].strip() if dated else text)
        if found and len(found[4]) == 2:
            yield int(found[1]), int(found[3]), int(found[4])


def _years_first(texts: Iterable[str]) -> bool:
    """Whether years of two digits stand first, as in 99-06-13: every date can be read so, and some in no other way
    or else of the future only."""
    numbers = set(_short_years(texts))
    this_year = date.today().year % 100
    if not numbers or any(second > 12 or not 0 < last <= 31 for _, second, last in numbers):
        return False
    if any(first > 31 or first == 0 for first, _, _ in numbers):
        return True
    return any(last > this_year for *_, last in numbers) and all(first <= this_year for first, *_ in numbers)


def _serial(texts: DistinctTexts) -> Serial:
    """Return what a column of plain numbers counts, if all of them lie where such counts do."""
    if not texts or not all(NUMBER.match(text) for text in texts):
        return ""
    if all(len(text) == 12 and parse_moment(text, DateForm()) for text in texts):
        return ""  # 201606131030 is a minute of 2016, as few milliseconds since 1970 would all be
    for serial, (low, high) in RANGES.items():
        if all(low <= float(text.replace(",", ".")) <= high for text in texts):
            return serial
    return ""


def texts_of(column: pd.Series) -> DistinctTexts:
    """Return the different texts of a column with their counts."""
    return DistinctTexts(column, str.strip)
