"""A date or a time of day as people write it, by itself: what one text says, given how its column writes dates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from .calendar_words import is_weekday, month_number

Order = Literal["", "day_first", "month_first", "year_first"]

Dots = Literal["day_first", "month_first"]

Serial = Literal["", "excel", "unix", "unix_ms"]

Clock = Literal["", "clock", "compact", "day_part"]
HourForm = Literal["decimal", "clock", "compact", "day_part"]
"""What a plain number in a column of times of day means, as a user says it."""
"""What a plain number means in a column of times of day: hours, or else half past nine as 21.30, as 2130, as 0.8958."""

RANGES: Mapping[Serial, tuple[float, float]] = {
    "excel": (15_000, 75_000),  # 1941 to 2105
    "unix": (2e8, 4.2e9),  # 1976 to 2103
    "unix_ms": (2e11, 4.2e12),
}

CENTURY = 2068
"""The last year that two digits mean where a column does not say it, as POSIX has it."""

EPOCHS: Mapping[Serial, tuple[datetime, float]] = {
    "excel": (datetime(1899, 12, 30), 86400.0), "unix": (datetime(1970, 1, 1), 1.0),
    "unix_ms": (datetime(1970, 1, 1), 1e-3),
}  # fmt: skip

CLOCK = r"(\d{1,2})[:hH](\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*([aApP]\.?\s?[mM]\.?)?"

ZONE = r"(?:\s*(?:Z|UTC|GMT|[+-](?:0\d|1[0-4])(?::?\d{2})?|[A-Z]{3,4}))?"
"""No clock is more than 14 hours before or behind: 19:00-21:00 is a stretch of time."""

WITH_TIME = re.compile(rf"^(.*?)(?:[T\s,]+|(?<=\d{{8}}))T?{CLOCK}{ZONE}$")

TIME_ONLY = re.compile(rf"^{CLOCK}{ZONE}$|^(\d{{1,2}})\s*([aApP]\.?\s?[mM]\.?)$")

CLOCK_DOTTED = re.compile(r"^(\d{1,2})\.(\d{2})\s*([aApP]\.?\s?[mM]\.?)$")

CLOCK_SPACED = re.compile(r"^(\d{1,2})\s*[hH]\s*(?:(\d{1,2})\s*(?:min|mn|m)?\.?)?$")

CLOCK_SPAN = re.compile(r"\s*(?:[-–/]|\b(?:to|until|bis)\b)\s*")

YEAR_FIRST = re.compile(r"^(\d{4})([-/.:\s])(\d{1,2})\2(\d{1,2})\.?$")

COMPACT = re.compile(r"^(\d{4})(\d{2})(\d{2})$")

YEAR_MONTH = re.compile(r"^(\d{4})[-/.:](\d{1,2})$|^(\d{1,2})[/.](\d{4})$")

YEAR = re.compile(r"^(\d{4})$")

WEEK = re.compile(r"^(\d{4})-?W(\d{2})(?:-?([1-7]))?$")

ORDINAL = re.compile(r"^(\d{4})-?(\d{3})$")

YEAR_LAST = re.compile(r"^(\d{1,2})([-/.\s])\s*(\d{1,2})\2\s*(\d{4}|\d{2})$")

DAY_RANGE = re.compile(r"^(\d{1,2})\.?\s*[-–]\s*(\d{1,2})([./\s].*)$")

SHORT_CLOCK = re.compile(r"^(\d{8})T(\d{2})(\d{2})(\d{2})?(?=Z|[+-]|$)")

HALF_DAY = re.compile(r"\b(?<![:.])(\d{1,2})\s*([aApP])\.?\s?[mM]\.?$")

SPAN = re.compile(r"\s+(?:to|bis|until|-|–)\s+")

WORDS = re.compile(r"[^\W\d_]+\.?|\d+")

NUMBER = re.compile(r"^\d+([.,]\d+)?$")

CLOCK_WORD = re.compile(r"\s*(?:uhr|hours?|hrs?|heures?|horas?|h)\.?$", re.IGNORECASE)

HYPHENS = str.maketrans(dict.fromkeys("‐‑−", "-"))
"""Signs that stand for the hyphen of a date or the minus of a zone; a dash may stand between two dates."""


def _with_clock(found: re.Match[str]) -> str:
    return f"{found[1]} {found[2]}:{found[3]}" + (f":{found[4]}" if found[4] else "")


TIDIED: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"[‒–—]"), "-"),
    (re.compile(r"^'(?=\d)"), ""),  # by which a spreadsheet marks a text
    (re.compile(r"^(\d{4})_(\d{1,2})_(\d{1,2})(?=$|[_\sT])"), r"\1-\2-\3"),  # as cameras call their files
    (re.compile(r"^(\d{8})[_-](\d{2})(\d{2})(\d{2})?$"), r"\1T\2\3\4"),
    (re.compile(r"^(\d{4}-?\d{2}-?\d{2})[_\sT](\d{2})[-_](\d{2})(?:[-_](\d{2}))?$"), _with_clock),
    (re.compile(r"(?<![:.\d])(\d{1,2})\s*(?:Uhr|h|hrs?)\.?$", re.IGNORECASE), r"\1:00"),
    (re.compile(r"(?<=\d)\s*(?:Uhr|h|hrs?)\.?$", re.IGNORECASE), ""),
    (re.compile(r"^(\S+\d{4}),? (\d{1,2})\.(\d{2})$"), r"\1 \2:\3"),
    (re.compile(r"(\d{1,2}:\d{2})\s*-\s*(\d{1,2}:\d{2})$"), r"\1/\2"),
    (re.compile(r"^(\d{8})(\d{2})(\d{2})(\d{2})?$"), r"\1T\2\3\4"),
    (re.compile(r"^[^\W\d_]+\.?,\s+(?=\S)"), ""),  # a weekday
    (re.compile(r"^[^\W\d_]{3}\s+([^\W\d_]{3})\s+(\d{1,2})\s+([\d:]+)\s+(\d{4})$"), r"\2 \1 \4 \3"),  # C's ctime
    (re.compile(r"[\'’](\d{2})$"), r"\1"),  # a year without its century
    (re.compile(r"\[[\w/+-]+\]$"), ""),  # the name of a zone
    (re.compile(r"^(\d{4})-00-00$"), r"\1"),  # unknown months and days
    (re.compile(r"^(\d{4}-\d{2})-00$"), r"\1"),
    (re.compile(r"^1(?:er|º|°|ª)(?=\s)"), "1"),
    (re.compile(r"^(\d{4})年(\d{1,2})月(\d{1,2})日"), r"\1-\2-\3"),
    (re.compile(r"(\s\d{1,2})\.(\d{2})\s*([aApP]\.?\s?[mM]\.?)$"), r"\1:\2 \3"),
    (re.compile(r"^(\d{4})\s?[-–]\s?(\d{4})$"), r"\1/\2"),  # stretches of time
    (re.compile(r"^(\S+[./]\d{4})[-–](\d{1,2}[./]\S*\d{4})$"), r"\1 - \2"),
    (re.compile(r"^(\d{1,2}[./\s]+[^\W\d_]+\.?)\s*-\s*(\d{1,2}[./\s]+[^\W\d_]+[./\s]+(\d{4}))$"), r"\1 \3 - \2"),
    (re.compile(r"^(\d{1,2}\.\d{1,2})\.\s*[-–]\s*(\d{1,2}\.\d{1,2})\.(\d{4})$"), r"\1.\3 - \2.\3"),
)
"""What is changed in a text that says nothing as it stands."""


@dataclass(frozen=True)
class DateForm:
    """How a column writes its dates.

    Attributes:
        order: what the first number is where the year comes last; empty if no value says it: then only those are
            read that have one reading. "year_first" is said of years of two digits, such as 99-06-13.
        serial: what a plain number counts: days of a spreadsheet, or seconds or milliseconds since 1970.
        dots: what the first number is in dates with dots: the day, unless the column has dates such as 06.13.2016 and
            none such as 13.06.2016.
        century: the last year that two digits mean: 55 is 2055, or 1955 if it ends before.
        clock: what a plain number means as a time of day.
        ordinal: whether 2021-153 is the 153rd day of 2021, and not the number of a lot.
    """

    order: Order = ""
    serial: Serial = ""
    dots: Dots = "day_first"
    century: int = CENTURY
    clock: Clock = ""
    ordinal: bool = False

    def state(self) -> dict[str, str]:
        """Return what `restore_form` needs, ready for JSON; of the last four what earlier versions would not do."""
        found = {name: str(value) for name, value in asdict(self).items() if name != "ordinal"}
        if self.ordinal:
            found["ordinal"] = "yes"
        if not self.clock:
            del found["clock"]
        if self.dots == "day_first":
            del found["dots"]
        if self.century == CENTURY:
            del found["century"]
        return found


@dataclass(frozen=True)
class Moment:
    """A date, or the middle of a stretch of time, and whether a time of day was written."""

    stamp: datetime
    timed: bool = False


def parse_moment(text: str, form: DateForm) -> Moment | None:
    """Return when a text says, None if it says nothing or two things."""
    text = " ".join(text.translate(HYPHENS).split())
    if form.serial and NUMBER.match(text):
        return _counted(float(text.replace(",", ".")), form.serial)
    if (moment := _stretch(text, form)) is not None:
        return moment
    tidy = text
    for pattern, replacement in TIDIED:
        tidy = pattern.sub(replacement, tidy)
    first, _, rest = tidy.partition(" ")
    if is_weekday(first.rstrip(".").lower()):
        tidy = rest
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
    if start is None or end is None:
        return None
    if end.stamp < start.stamp and start.timed and clock_seconds(last) is not None:
        end = Moment(end.stamp + timedelta(1), timed=True)  # a night
    if end.stamp < start.stamp:
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
    if form.ordinal and (found := ORDINAL.match(text)):
        return _of_year(int(found[1]), int(found[2]))
    if found := YEAR.match(text):
        return _date(int(found[1]), 1, 1, later=182)
    if found := YEAR_LAST.match(text):
        return _year_last(found, form)
    if found := DAY_RANGE.match(text):
        start, end = (_day(f"{number}{found[3]}", form) for number in (found[1], found[2]))
        if start and end and start[0] <= end[0]:
            return start[0], (end[0] - start[0]).days // 2
        return None
    return _named_month(text, form)


def _year_last(found: re.Match[str], form: DateForm) -> tuple[datetime, int] | None:
    """Read three numbers of which the last, or one of two digits at the start, is the year."""
    first, second, year = int(found[1]), int(found[3]), _year(found[4], form)
    turned = _date(_year(found[1], form), second, int(found[4])) if len(found[1]) == len(found[4]) == 2 else None
    if form.order == "year_first" and len(found[4]) == 2:
        return turned
    readings = {"day_first": _date(year, second, first), "month_first": _date(year, first, second)}
    possible = [found for found in readings.values() if found]
    if not possible:
        return turned
    if found[2] == ".":
        return readings[form.dots]
    if len(possible) == 2 and possible[0] != possible[1]:
        return readings.get(form.order)
    return possible[0]


def _of_week(year: int, week: int, day: str | None) -> tuple[datetime, int] | None:
    try:
        return datetime.fromisocalendar(year, week, int(day or 1)), 0 if day else 3
    except ValueError:
        return None


def _of_year(year: int, day: int) -> tuple[datetime, int] | None:
    """Return the day of a year by its number from 1 on, as ISO's ordinal dates have it."""
    first = _date(year, 1, 1)
    found = first and first[0] + timedelta(day - 1)
    return (found, 0) if found and found.year == year else None


def _named_month(text: str, form: DateForm) -> tuple[datetime, int] | None:
    words = [word.rstrip(".").lower() for word in WORDS.findall(text)]
    words = [re.sub(r"^(st|nd|rd|th|de|of|den|le|el|do)$", "", word) for word in words]
    words = [word for word in words if word]
    named = [place for place, word in enumerate(words) if not word.isdigit()]
    if len(named) != 1 or not 2 <= len(words) <= 3:
        return None
    name = words.pop(named[0])
    month = month_number(name)
    if month is None:
        return None
    if len(words) == 1:
        return _date(int(words[0]), month, 1, later=14) if len(words[0]) == 4 else None
    day, year = (words[1], words[0]) if len(words[0]) == 4 else (words[0], words[1])
    return _date(_year(year, form), month, int(day)) if len(year) in (2, 4) and len(day) < 3 else None


def _year(text: str, form: DateForm) -> int:
    number = int(text)
    if len(text) > 2:
        return number
    century = form.century // 100 * 100
    return century + number if century + number <= form.century else century - 100 + number


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


def clock_seconds(text: str) -> float | None:
    """Return the seconds that a time of day without a date names.

    Example:
        >>> clock_seconds('07:30')
        27000
        >>> clock_seconds('at noon') is None
        True
    """
    if found := CLOCK_DOTTED.match(text.strip()):
        return _seconds(found[1], found[2], None, found[3])
    if found := CLOCK_SPACED.match(text.strip()):
        return _seconds(found[1], found[2] or "0", None, None)
    plain = CLOCK_WORD.sub("", text.strip())
    if plain != text.strip() and plain.isdecimal():
        return (
            _seconds(plain[:-2], plain[-2:], None, None) if len(plain) in (3, 4) else _seconds(plain, "0", None, None)
        )
    if not (found := TIME_ONLY.match(plain.replace(".", ":") if plain != text.strip() else plain)):
        return _middle_of_clocks(CLOCK_SPAN.split(plain))
    if found[5]:
        return _seconds(found[5], "0", None, found[6])
    return _seconds(*found.groups()[:4])


def _middle_of_clocks(parts: list[str]) -> float | None:
    """Return the middle of two times of day, the second of which may be of the next day."""
    clocks = [TIME_ONLY.match(part) for part in parts]
    if len(clocks) != 2 or not all(clocks):
        return None
    start, end = (clock_seconds(part) for part in parts)
    if start is None or end is None:
        return None
    return (start + ((end - start) % 86400) / 2) % 86400


def _counted(number: float, serial: Serial) -> Moment | None:
    low, high = RANGES[serial]
    if not low <= number <= high:
        return None
    epoch, seconds = EPOCHS[serial]
    return Moment(epoch + timedelta(seconds=round(number * seconds)), timed=serial != "excel" or number % 1 != 0)


def restore_form(state: Any) -> DateForm:
    """Rebuild a form from `DateForm.state`.

    Raises:
        ValueError: for a state that no form has.
    """
    known = {"order": get_args(Order), "serial": get_args(Serial)}
    if not isinstance(state, dict) or any(state.get(key) not in values for key, values in known.items()):
        raise ValueError(f"form of dates: {state!r:.60}")
    dots, century = state.get("dots", "day_first"), str(state.get("century", CENTURY))
    clock, ordinal = state.get("clock", ""), state.get("ordinal", "")
    if ordinal not in ("", "yes"):
        raise ValueError(f"form of dates: {state!r:.60}")
    if dots not in get_args(Dots) or clock not in get_args(Clock) or not re.fullmatch(r"[12]\d{3}", century):
        raise ValueError(f"form of dates: {state!r:.60}")
    return DateForm(state["order"], state["serial"], dots, int(century), clock, ordinal == "yes")
