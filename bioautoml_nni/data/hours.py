"""Columns of times of day, which are written as times, or as plain numbers: hours, 21.30, 2130, or parts of a day.

What a plain number means is decided once for a column, from all of it (`decide_hours`), and applied to each value by
itself (`parse_hours`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..utils.yaml_files import flow
from .moments import NUMBER, Clock, DateForm, clock_seconds, parse_moment
from .remark import Answerable
from .roles import HOUR, plain_name
from .tables import cell_text
from .times import SHARE, decide_form, texts_of, time_share

LAST_COMPACT = 2400
MINUTES_OF_A_DAY = 1440
MANY = 12
"""Different minutes below 60 that are no chance: of hundredths so many would all be so in one column of 450."""
SOME = 8
"""The same of numbers such as 930, which could be minutes since midnight: one column in 60."""
QUARTERS = {0, 15, 30, 45}
MEANT: Mapping[Clock, str] = {
    "clock": "{n} values such as {example} are read as times (21.30 is half past nine), since {why}",
    "compact": "{n} values such as {example} are read as times (2130 is half past nine), since {why}",
    "day_part": "{n} values such as {example} are read as parts of a day (0.5 is noon), since {why}",
}
"""What is said of a reading, by `data.hour_form`."""


@dataclass(frozen=True)
class HourReport:
    """How a column of times of day writes plain numbers, and why.

    Attributes:
        form: as `parse_hours` takes it.
        count, example: of its plain numbers that could be read in another way.
        why: what says that they are read so; empty if nothing does.
        other: the other reading, where nothing says which it is.
    """

    form: DateForm
    count: int = 0
    example: str = ""
    why: str = ""
    other: Clock = ""

    def notes(self, name: str) -> list[str]:
        """Return what is to be said of a column, in sentences."""
        if self.other:
            told = "times (21:30)" if self.other == "clock" else "times without their colon (21:30)"
            return [
                Answerable(
                    f"Column {name!r}: {self.count} values such as {self.example} can be hours or {told}, and no value "
                    "says which; they are read as hours.",
                    f"If they are times, write data.hour_form: {flow({name: self.other})}.",
                )
            ]
        if not self.form.clock:
            return []
        told = MEANT[self.form.clock].format(n=self.count, example=self.example, why=self.why)
        answer = f"If they are hours, write data.hour_form: {flow({name: 'decimal'})}."
        return [Answerable(f"Column {name!r}: {told}.", answer)]


def is_hour(name: str, column: pd.Series) -> bool:
    """Whether a column holds times of day: nearly all of its values say so, or its name and all of its numbers."""
    if time_share(column) > SHARE:
        return True
    return HOUR.search(plain_name(name)) is not None and bool(decide_hours(column).form.clock)


def decide_hours(column: pd.Series) -> HourReport:
    """Decide from all values of a column what its plain numbers mean as times of day.

    Without plain numbers, or with hours alone from 0 to 24, there is nothing to decide.
    """
    form = decide_form(column).form
    texts = {text.replace(",", "."): count for text, count in texts_of(column).items() if NUMBER.match(text)}
    if form.serial or not texts:
        return HourReport(form)
    broken = {text: text.partition(".")[2] for text in texts if float(text) % 1}
    clock, why, other = _of_broken(texts, broken) if broken else _of_whole(texts)
    if not clock and not other:
        return HourReport(form)
    meant = texts if clock else broken or texts
    example = next(iter(broken or sorted(texts, key=len, reverse=True)))
    return HourReport(replace(form, clock=clock), sum(texts[text] for text in meant), example, why, other)


def _of_broken(texts: Mapping[str, int], broken: Mapping[str, str]) -> tuple[Clock, str, Clock]:
    """Return what numbers mean of which some are broken, why, and the other reading where nothing says it."""
    if max(map(float, texts)) <= 1 and len(broken) > 2:
        return "day_part", "none is above 1", ""
    minutes = {int(f"{part:0<2}") for part in broken.values()}
    if max(map(len, broken.values())) > 2 or max(minutes) >= 60 or minutes == {50}:
        return "", "", ""
    if minutes <= QUARTERS:
        return "clock", "all are quarters of an hour", ""
    if len(minutes) >= MANY:
        return "clock", f"none of {len(minutes)} different minutes is above 59", ""
    return "", "", "clock"


def _of_whole(texts: Mapping[str, int]) -> tuple[Clock, str, Clock]:
    """Return what whole numbers mean, why, and the other reading where nothing says it."""
    numbers = {text: int(float(text)) for text in texts}
    zeros = any(len(text) == 4 and text.startswith("0") for text in texts)
    if max(numbers.values()) <= 24 and not zeros:
        return "", "", ""
    fits = {text: number <= LAST_COMPACT and number % 100 < 60 for text, number in numbers.items()}
    if sum(texts[text] for text in texts if fits[text]) < SHARE * sum(texts.values()):
        return "", "", ""
    if zeros or max(numbers.values()) >= MINUTES_OF_A_DAY or len(numbers) >= SOME:
        return "compact", "hours go to 24, and the last two digits of a time to 59", ""
    return "", "", "compact"


def parse_hours(column: pd.Series, form: DateForm | None = None) -> np.ndarray:
    """Return hours of the day (N,) from 0 to 24: of plain numbers, of times such as 23:30 or 11 pm, and of dates with a
    time; NaN for all else."""
    codes, values = pd.factorize(column)
    hours = [_hour(text, form or DateForm()) if (text := cell_text(value)) else np.nan for value in values]
    return np.array([*hours, np.nan])[codes]


def _hour(text: str, form: DateForm) -> float:
    if re.fullmatch(r"\d+([.,]\d+)?", text.strip()) and not form.serial:
        hours = _of_number(text.strip().replace(",", "."), form.clock)
        if hours <= 24:
            return hours
    seconds = clock_seconds(text)
    if seconds is None:
        moment = parse_moment(text, form)
        if moment is None or not moment.timed:
            return np.nan
        seconds = moment.stamp.hour * 3600 + moment.stamp.minute * 60 + moment.stamp.second
    return seconds / 3600


def _of_number(text: str, clock: Clock) -> float:
    """Return the hours that a plain number means, NaN or more than 24 for none."""
    number = float(text)
    if clock == "day_part":
        return number * 24 if number <= 1 else np.nan
    if clock == "compact":
        return number // 100 + number % 100 / 60 if number % 100 < 60 and number % 1 == 0 else np.nan
    if clock == "clock":
        whole, _, minutes = text.partition(".")
        minutes = f"{minutes.rstrip('0'):0<2}"
        return int(whole) + int(minutes) / 60 if len(minutes) == 2 and int(minutes) < 60 else np.nan
    return number
