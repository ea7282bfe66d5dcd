"""Dates and times as people write them.

What a form such as 03/04/2016 means is decided once for a column, from all of it (`decide_form`), and applied to each
value by itself (`parse_times`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import numpy as np
import pandas as pd

from .tables import cell_text

DAYS = 365.25
SHARE = 0.95
"""Of a column's values that are dates, or times of day, if it is to be one of them."""
Order = Literal["", "day_first", "month_first"]
Dots = Literal["day_first", "month_first"]
Serial = Literal["", "excel", "unix", "unix_ms"]
RANGES: Mapping[Serial, tuple[float, float]] = {
    "excel": (15_000, 75_000),  # 1941 to 2105
    "unix": (2e8, 4.2e9),  # 1976 to 2103
    "unix_ms": (2e11, 4.2e12),
}
EPOCHS: Mapping[Serial, tuple[datetime, float]] = {
    "excel": (datetime(1899, 12, 30), 86400.0), "unix": (datetime(1970, 1, 1), 1.0),
    "unix_ms": (datetime(1970, 1, 1), 1e-3),
}  # fmt: skip
MONTHS = (
    "january januar janvier enero janeiro gennaio januari",
    "february februar février fevrier febrero fevereiro febbraio",
    "march märz maerz mars marzo março marco maart", "april avril abril aprile", "may mai mayo maio maggio mei",
    "june juni juin junio junho giugno", "july juli juillet julio julho luglio",
    "august août aout agosto augustus", "september septembre septiembre setembro settembre sept",
    "october oktober octobre octubre outubro ottobre okt", "november novembre noviembre novembro",
    "december dezember décembre decembre diciembre dezembro dicembre",
)  # fmt: skip
ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
_FULL = {name: number for number, names in enumerate(MONTHS, start=1) for name in names.split()}
_SHORT = {**{name[:3]: number for name, number in _FULL.items() if name[:3] not in ("mar", "jui")}, "mar": 3}
MONTH_NUMBERS = {**_SHORT, **{"mär": 3, "dez": 12, "okt": 10, "juin": 6, "juil": 7}, **_FULL}

CLOCK = r"(\d{1,2})[:hH](\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*([aApP]\.?[mM]\.?)?"
ZONE = r"(?:\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}|[+-]\d{2}|[A-Z]{3,4}))?"
WITH_TIME = re.compile(rf"^(.*?)(?:[T\s,]+|(?<=\d{{8}}))T?{CLOCK}{ZONE}$")
TIME_ONLY = re.compile(rf"^{CLOCK}{ZONE}$|^(\d{{1,2}})\s*([aApP]\.?[mM]\.?)$")
YEAR_FIRST = re.compile(r"^(\d{4})([-/.:\s])(\d{1,2})\2(\d{1,2})\.?$")
COMPACT = re.compile(r"^(\d{4})(\d{2})(\d{2})$")
YEAR_MONTH = re.compile(r"^(\d{4})[-/.:](\d{1,2})$|^(\d{1,2})[/.](\d{4})$")
YEAR = re.compile(r"^(\d{4})$")
WEEK = re.compile(r"^(\d{4})-?W(\d{2})(?:-?([1-7]))?$")
YEAR_LAST = re.compile(r"^(\d{1,2})([-/.\s])\s*(\d{1,2})\2\s*(\d{4}|\d{2})$")
DAY_RANGE = re.compile(r"^(\d{1,2})\.?\s*[-–]\s*(\d{1,2})([./\s].*)$")
SHORT_CLOCK = re.compile(r"^(\d{8})T(\d{2})(\d{2})(\d{2})?(?=Z|[+-]|$)")
HALF_DAY = re.compile(r"\b(?<![:.])(\d{1,2})\s*([aApP])\.?[mM]\.?$")
SPAN = re.compile(r"\s+(?:to|bis|until|-|–)\s+")
WORDS = re.compile(r"[^\W\d_]+\.?|\d+")
NUMBER = re.compile(r"^\d+([.,]\d+)?$")
CLOCK_WORD = re.compile(r"\s*(?:uhr|hours?|hrs?|heures?|horas?|h)\.?$", re.IGNORECASE)
TIDIED = (
    (re.compile(r"^[^\W\d_]+\.?,\s+(?=\S)"), ""),  # a weekday
    (re.compile(r"^[^\W\d_]{3}\s+([^\W\d_]{3})\s+(\d{1,2})\s+([\d:]+)\s+(\d{4})$"), r"\2 \1 \4 \3"),  # C's ctime
    (re.compile(r"[\'’](\d{2})$"), r"\1"),  # a year without its century
    (re.compile(r"\[[\w/+-]+\]$"), ""),  # the name of a zone
    (re.compile(r"^(\d{4})-00-00$"), r"\1"),  # unknown months and days
    (re.compile(r"^(\d{4}-\d{2})-00$"), r"\1"),
    (re.compile(r"^1er\b"), "1"),
    (re.compile(r"^(\d{4})\s?[-–]\s?(\d{4})$"), r"\1/\2"),  # stretches of time
    (re.compile(r"^(\S+[./]\d{4})[-–](\d{1,2}[./]\S*\d{4})$"), r"\1 - \2"),
    (re.compile(r"^(\d{1,2}\.\d{1,2})\.\s*[-–]\s*(\d{1,2}\.\d{1,2})\.(\d{4})$"), r"\1.\3 - \2.\3"),
)
"""What is changed in a text that says nothing as it stands."""


@dataclass(frozen=True)
class DateForm:
    """How a column writes its dates.

    Attributes:
        order: what the first number is where the year comes last; empty if no value says it: then only those are
            read that have one reading.
        serial: what a plain number counts: days of a spreadsheet, or seconds or milliseconds since 1970.
        dots: what the first number is in dates with dots: the day, unless the column has dates such as 06.13.2016 and
            none such as 13.06.2016.
    """

    order: Order = ""
    serial: Serial = ""
    dots: Dots = "day_first"

    def state(self) -> dict[str, str]:
        """Return what the constructor needs, ready for JSON; of dots only what earlier versions would not do."""
        found = asdict(self)
        if self.dots == "day_first":
            del found["dots"]
        return found


@dataclass(frozen=True)
class FormReport:
    """Why a column is read as it is: numbers of values with one reading, with two, and with none."""

    form: DateForm
    day_first: int
    month_first: int
    ambiguous: int
    unreadable: int
    example: str = ""


@dataclass(frozen=True)
class Moment:
    """A date, or the middle of a stretch of time, and whether a time of day was written."""

    stamp: datetime
    timed: bool = False


def decide_form(column: pd.Series, limit: float = math.inf) -> FormReport:
    """Decide from all values of a column how it writes its dates.

    Where values with one reading stand on both sides no order is taken, so that those with two readings count as
    missing; where there are only such with two, the day is taken for the first, as most of the world writes it.

    Args:
        limit: number of unreadable values beyond which the rest is not looked at, since the column holds no dates.
    """
    texts = _texts(column)
    counts = dict.fromkeys(("day_first", "month_first", "ambiguous", "unreadable"), 0)
    example = ""
    serial, dots = _serial(texts), _dots(texts)
    for text, count in texts.items():
        day, month = (parse_moment(text, DateForm(order, serial, dots)) for order in ("day_first", "month_first"))
        if day is None and month is None:
            counts["unreadable"] += count
            if counts["unreadable"] > limit:
                break
        elif day != month:
            counts["ambiguous"] += count
            example = example or text
        elif said := _says(text):
            counts[said] += count
    order: Order = ""
    if counts["day_first"] and not counts["month_first"]:
        order = "day_first"
    elif counts["month_first"] and not counts["day_first"]:
        order = "month_first"
    elif counts["ambiguous"] and not counts["day_first"]:
        order = "day_first"
    return FormReport(DateForm(order, serial, dots), **counts, example=example)


def parse_times(column: pd.Series, form: DateForm | None = None) -> pd.Series:
    """Return time stamps, datetime64[us]; what cannot be read is missing.

    Reads ISO dates and weeks, dates with slashes, dots, dashes or colons, month names in six languages and Roman
    numerals, years and months without a day and intervals such as ``2016-06-01/15`` (their middle). Time zones are
    dropped: the local time of day is what the specimen met.

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


def parse_hours(column: pd.Series, form: DateForm | None = None) -> np.ndarray:
    """Return hours of the day (N,) from 0 to 24: of plain numbers, of times such as 23:30 or 11 pm, and of dates with a
    time; NaN for all else."""
    codes, values = pd.factorize(column)
    hours = [_hour(text, form or DateForm()) if (text := cell_text(value)) else np.nan for value in values]
    return np.array([*hours, np.nan])[codes]


def time_share(column: pd.Series) -> float:
    """Return the share of values that are times of day without a date."""
    texts = _texts(column)
    return sum(count for text, count in texts.items() if _clock(text) is not None) / max(1, sum(texts.values()))


def is_time(column: pd.Series) -> bool:
    """Whether nearly all values are dates, and not only years or other plain numbers."""
    texts = list(_texts(column))
    if not texts or all(NUMBER.match(text) for text in texts):
        return False
    few = texts[:: max(1, len(texts) // 200)]
    form = DateForm("day_first", dots=_dots(texts))
    if sum(parse_moment(text, form) is not None for text in few) <= SHARE * len(few):
        return False
    return bool(parse_times(column.dropna()).notna().mean() > SHARE)


def parse_moment(text: str, form: DateForm) -> Moment | None:
    """Return when a text says, None if it says nothing or two things."""
    text = " ".join(text.split())
    if form.serial and NUMBER.match(text):
        return _counted(float(text.replace(",", ".")), form.serial)
    if (moment := _stretch(text, form)) is not None:
        return moment
    tidy = text
    for pattern, replacement in TIDIED:
        tidy = pattern.sub(replacement, tidy)
    return None if tidy == text else _stretch(tidy, form)


def _stretch(text: str, form: DateForm) -> Moment | None:
    """Return the moment, or the middle of the stretch of time, that a text names."""
    text = SHORT_CLOCK.sub(_with_colons, HALF_DAY.sub(r"\1:00 \2m", text))
    if moment := _moment(text, form):
        return moment
    parts = SPAN.split(text) if SPAN.search(text) else text.partition("/")[::2]
    first, last = parts[0].strip(), parts[-1].strip()
    if len(parts) != 2 or not last or len(first) < 4:
        return None
    start = _moment(first, form)
    shorter = first[: len(first) - len(last)] + last  # which lacks what it has in common with the first
    end = _moment(last, form) or (_moment(shorter, form) if len(last) < len(first) else None)
    if start is None or end is None or end.stamp < start.stamp:
        return None
    return Moment(start.stamp + (end.stamp - start.stamp) / 2, start.timed and end.stamp - start.stamp < timedelta(1))


def _with_colons(found: re.Match[str]) -> str:
    return f"{found[1]}T{found[2]}:{found[3]}" + (f":{found[4]}" if found[4] else "")


def _moment(text: str, form: DateForm) -> Moment | None:
    if found := WITH_TIME.match(text):
        day, seconds = _day(found[1].strip(), form), _seconds(*found.groups()[1:5])
        if day is None or day[1] or seconds is None:
            return None
        return Moment(day[0] + timedelta(seconds=seconds), timed=True)
    day = _day(text, form)
    return None if day is None else Moment(day[0] + timedelta(days=day[1]))


def _day(text: str, form: DateForm) -> tuple[datetime, int] | None:
    """Return a day and how many days later the middle of what the text names lies."""
    if (found := YEAR_FIRST.match(text)) or (found := COMPACT.match(text)):
        year, month, day = (int(number) for number in found.groups() if number.isdigit())
        return _date(year, month, day)
    if found := YEAR_MONTH.match(text):
        year, month = (int(found[1]), int(found[2])) if found[1] else (int(found[4]), int(found[3]))
        return _date(year, month, 1, later=14)
    if found := WEEK.match(text):
        return _of_week(int(found[1]), int(found[2]), found[3])
    if found := YEAR.match(text):
        return _date(int(found[1]), 1, 1, later=182)
    if found := YEAR_LAST.match(text):
        return _year_last(int(found[1]), int(found[3]), _year(found[4]), found[2], form)
    if found := DAY_RANGE.match(text):
        start, end = (_day(f"{number}{found[3]}", form) for number in (found[1], found[2]))
        if start and end and start[0] <= end[0]:
            return start[0], (end[0] - start[0]).days // 2
        return None
    return _named_month(text)


def _year_last(first: int, second: int, year: int, mark: str, form: DateForm) -> tuple[datetime, int] | None:
    readings = {"day_first": _date(year, second, first), "month_first": _date(year, first, second)}
    if mark == ".":
        return readings[form.dots]
    possible = [found for found in readings.values() if found]
    if len(possible) == 2 and possible[0] != possible[1]:
        return readings[form.order] if form.order else None
    return possible[0] if possible else None


def _of_week(year: int, week: int, day: str | None) -> tuple[datetime, int] | None:
    try:
        return datetime.fromisocalendar(year, week, int(day or 1)), 0 if day else 3
    except ValueError:
        return None


def _named_month(text: str) -> tuple[datetime, int] | None:
    words = [word.rstrip(".").lower() for word in WORDS.findall(text)]
    words = [re.sub(r"^(st|nd|rd|th|de|of|den|le|el|do)$", "", word) for word in words]
    words = [word for word in words if word]
    named = [place for place, word in enumerate(words) if not word.isdigit()]
    if len(named) != 1 or not 2 <= len(words) <= 3:
        return None
    name = words.pop(named[0])
    month = MONTH_NUMBERS.get(name) or (ROMAN.index(name) + 1 if name in ROMAN else None)
    if month is None:
        return None
    if len(words) == 1:
        return _date(int(words[0]), month, 1, later=14) if len(words[0]) == 4 else None
    day, year = (words[1], words[0]) if len(words[0]) == 4 else (words[0], words[1])
    return _date(_year(year), month, int(day)) if len(year) in (2, 4) and len(day) < 3 else None


def _year(text: str) -> int:
    number = int(text)
    return number if len(text) > 2 else number + (1900 if number >= 69 else 2000)  # as POSIX has it


def _date(year: int, month: int, day: int, later: int = 0) -> tuple[datetime, int] | None:
    if not 1000 <= year <= 2999:
        return None
    try:
        return datetime(year, month, day), later
    except ValueError:
        return None


def _seconds(hour: str, minute: str, second: str | None, half: str | None) -> int | None:
    hours = int(hour)
    if half:
        if not 1 <= hours <= 12:
            return None
        hours = hours % 12 + (12 if half[0] in "pP" else 0)
    total = hours * 3600 + int(minute) * 60 + int(second or 0)
    return total if int(minute) < 60 and int(second or 0) < 61 and total <= 86400 else None


def _clock(text: str) -> float | None:
    """Return the seconds that a time of day without a date names."""
    plain = CLOCK_WORD.sub("", text.strip())
    if plain != text.strip() and plain.isdecimal():
        return _seconds(plain, "0", None, None)
    if not (found := TIME_ONLY.match(plain.replace(".", ":") if plain != text.strip() else plain)):
        return None
    if found[5]:
        return _seconds(found[5], "0", None, found[6])
    return _seconds(*found.groups()[:4])


def _hour(text: str, form: DateForm) -> float:
    if re.fullmatch(r"\d+([.,]\d+)?", text.strip()) and not form.serial:
        hours = float(text.strip().replace(",", "."))
        return hours if hours <= 24 else np.nan
    seconds = _clock(text)
    if seconds is None:
        moment = parse_moment(text, form)
        if moment is None or not moment.timed:
            return np.nan
        seconds = moment.stamp.hour * 3600 + moment.stamp.minute * 60 + moment.stamp.second
    return seconds / 3600


def _counted(number: float, serial: Serial) -> Moment | None:
    low, high = RANGES[serial]
    if not low <= number <= high:
        return None
    epoch, seconds = EPOCHS[serial]
    return Moment(epoch + timedelta(seconds=round(number * seconds)), timed=serial != "excel" or number % 1 != 0)


def _says(text: str) -> Literal["", "day_first", "month_first"]:
    """Return which number stands first in a readable date whose year comes last, if one is above 12."""
    return _says_with(text, dots=False)


def _says_with(text: str, dots: bool) -> Literal["", "day_first", "month_first"]:
    dated = WITH_TIME.match(text)
    found = YEAR_LAST.match(dated[1].strip() if dated else text)
    if not found or (found[2] == ".") != dots:
        return ""
    first, second = int(found[1]), int(found[3])
    return "" if max(first, second) <= 12 or min(first, second) > 12 else "day_first" if first > 12 else "month_first"


def _dots(texts: Iterable[str]) -> Dots:
    """Return what the first number is in dates with dots; where they contradict each other, the day."""
    said = {_says_with(text, dots=True) for text in texts}
    return "month_first" if "month_first" in said and "day_first" not in said else "day_first"


def _serial(texts: Mapping[str, int]) -> Serial:
    """Return what a column of plain numbers counts, if all of them lie where such counts do."""
    if not texts or not all(NUMBER.match(text) for text in texts):
        return ""
    numbers = [float(text.replace(",", ".")) for text in texts]
    for serial, (low, high) in RANGES.items():
        if all(low <= number <= high for number in numbers):
            return serial
    return ""


def _texts(column: pd.Series) -> dict[str, int]:
    """Return the different texts of a column with their counts."""
    counts = column.dropna().value_counts()
    found: dict[str, int] = {}
    for value, count in zip(counts.index, counts.to_numpy(), strict=True):
        text = cell_text(value)
        if text and text.strip():
            found[text.strip()] = found.get(text.strip(), 0) + int(count)
    return found


def restore_form(state: Any) -> DateForm:
    """Rebuild a form from `DateForm.state`.

    Raises:
        ValueError: for a state that no form has.
    """
    orders, serials = ("", "day_first", "month_first"), ("", *RANGES)
    if not isinstance(state, dict) or state.get("order") not in orders or state.get("serial") not in serials:
        raise ValueError(f"form of dates: {state!r:.60}")
    dots = state.get("dots", "day_first")
    if dots not in orders[1:]:
        raise ValueError(f"form of dates: {state!r:.60}")
    return DateForm(state["order"], state["serial"], dots)
