"""From a table of texts to one of numbers and texts: each column decided once, from all of its values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..utils.memory import return_freed_memory
from ..utils.yaml_files import flow
from .coordinate_pairs import PairReport, decide_pairs
from .coordinates import DECIMAL, Axis, parse_angle
from .gaps import without_gaps
from .hours import decide_hours
from .manifest import Role, Unread
from .numerals import NumberReport, decide_numbers, gap_words, parse_numbers
from .remark import Answerable
from .roles import FRACTION, HOUR, LATITUDE, LONGITUDE, MOSTLY, plain_name
from .tables import cell_text
from .times import SHARE, FormReport, decide_form
from .units import SHARES

NUMBERS: tuple[Role, ...] = ("numeric", "size", "fraction", "latitude", "longitude")
TEXTS: tuple[Role, ...] = ("categorical", "text", "group", "taxonomy", "date", "hour")


@dataclass
class Typed:
    """A table with types.

    Attributes:
        table: numbers as int64 or float64, everything else as text.
        forms: how the columns write numbers and dates, as `MetadataPreprocessor` takes them.
        notes: what was decided that a reader may see otherwise.
        unread: texts of columns of numbers that are none.
    """

    table: pd.DataFrame
    forms: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    unread: dict[str, Unread] = field(default_factory=dict)

    @property
    def facts(self) -> list[str]:
        """The notes without the lines that answer them, which only tables of one's own have keys for."""
        return [note.fact if isinstance(note, Answerable) else note for note in self.notes]


def with_types(
    table: pd.DataFrame,
    text: Collection[str] = (),
    roles: Mapping[str, Role] | None = None,
    told: Collection[str] = (),
) -> Typed:
    """Decide which columns hold numbers, and how they and dates are written.

    A column becomes numbers if its role says so, or if all of its values are numbers that no identifier would be:
    one with 007 stays text, and so does one of 17 digits. Words for a gap, such as NA, are gaps in a column of numbers
    only.

    Args:
        table: a table as `read_table` gives it.
        text: columns that hold identifiers or labels and stay text.
        roles: of columns whose meaning is known.
        told: columns of which the user says how they write dates or times, so that nothing is to be asked.
    """
    result = Typed(table.copy(deep=False))
    names = list(table)
    del table  # so that a column's texts go once it is numbers, unless the caller holds them
    for name in names:
        column, role = result.table[name], (roles or {}).get(name)
        before = len(result.notes)
        if name in text:
            _ask_about_gaps(name, column, result)
        elif role == "hour":
            _hours(name, column, result)
        elif pd.api.types.is_numeric_dtype(column) or role in ("ignored", "group", "taxonomy"):
            pass
        elif role in NUMBERS:
            axis: Axis = role if role in ("latitude", "longitude") else ""
            _numbers(name, column, decide_numbers(column, axis, share=role == "fraction"), result)
        elif role == "coordinates":
            _pairs(name, decide_pairs(column), result)
        elif role == "date":
            _dates(name, decide_form(column), result)
        elif role in TEXTS:
            _ask_about_gaps(name, column, result)
        else:
            _undeclared(name, column, result)
        if name in told:
            del result.notes[before:]
        return_freed_memory()
    return result


def without_texts(table: pd.DataFrame, missing: Collection[str], keep: Collection[str] = ()) -> pd.DataFrame:
    """Return a table without what means that a value is missing; see `without_gaps`.

    Args:
        keep: columns in which they stay.
    """
    if not missing:
        return table
    return table.assign(**{name: without_gaps(table[name], missing) for name in table if name not in keep})


def _undeclared(name: str, column: pd.Series, result: Typed) -> None:
    plain = plain_name(name)
    if HOUR.search(plain) and (hours := decide_hours(column)).form.clock:
        result.forms[name] = hours.form.state()
        result.notes += hours.notes(name)
        return
    numbers = decide_numbers(column, _axis(plain), share=bool(FRACTION.search(plain)))
    if numbers.read and not numbers.unreadable and not numbers.codes and numbers.read >= numbers.gaps:
        _numbers(name, column, numbers, result)
        return
    pairs = decide_pairs(column) if numbers.unreadable else None
    if pairs is not None and pairs.certain:
        _pairs(name, pairs, result)
        return
    most = (1 - SHARE) * max(1, int(column.notna().sum()))
    dates = decide_form(column, most) if numbers.unreadable else None
    if dates is not None and dates.unreadable <= most:
        _dates(name, dates, result)
        return
    if numbers.form.notation:
        result.notes += _about_angles(name, column, numbers)
    if numbers.unclear and sum(count for _, count in numbers.units) >= MOSTLY * column.notna().sum():
        result.notes += _about_units(name, numbers)
    _ask_about_gaps(name, column, result)


def _axis(plain: str) -> Axis:
    """Return what a column's name says of coordinates."""
    return "latitude" if LATITUDE.search(plain) else "longitude" if LONGITUDE.search(plain) else ""


def _about_angles(name: str, column: pd.Series, report: NumberReport) -> list[str]:
    """Return what is to be said of a column of degrees, minutes and seconds, in sentences."""
    found = []
    texts = [text for value in column.dropna() if (text := cell_text(value) or "") and parse_angle(text)]
    if report.read:
        example = next(text for text in texts if not DECIMAL.match(text))
        number = parse_numbers(pd.Series([example]), report.form)[0]
        found.append(
            f"Column {name!r}: {report.read} values in degrees, minutes and seconds, such as {example}, are read as "
            f"decimal degrees ({number:.5f})."
        )
    unclear = [text for text in texts if (angle := parse_angle(text)) is not None and angle.hemisphere == "O"]
    if unclear and report.form.notation == "longitude":
        found.append(
            f"Column {name!r}: the O of {len(unclear)} values such as {unclear[0]} can be east (Ost) or west (Ouest, "
            "Oeste), and no W or E beside it says which; they count as missing. Write E or W."
        )
    return found


def _hours(name: str, column: pd.Series, result: Typed) -> None:
    report = decide_hours(column)
    result.forms[name] = report.form.state()
    result.notes += report.notes(name)
    _ask_about_gaps(name, column, result)


def _numbers(name: str, column: pd.Series, report: NumberReport, result: Typed) -> None:
    values = parse_numbers(column, report.form)
    whole = report.whole and not report.unreadable and not report.form.unit and bool(np.isfinite(values).all())
    result.table[name] = values.astype(np.int64) if whole else values
    result.forms[name] = report.form.state()
    if report.unreadable:
        result.unread[name] = Unread(report.unreadable, report.examples)
    if report.gaps:
        words = ", ".join(repr(word) for word in gap_words(column))
        result.notes.append(f"Column {name!r}: {report.gaps} values {words} among numbers count as missing.")
    if report.form.notation:
        result.notes += _about_angles(name, column, report)
    result.notes += _about_units(name, report)
    if report.ambiguous:
        signs = "decimal comma" if report.form.decimal == "," else "comma between thousands"
        result.notes.append(
            f"Column {name!r}: {report.ambiguous} values such as 1,234 could be read in two ways; all are read with a "
            f"{signs}."
        )


def _about_units(name: str, report: NumberReport) -> list[str]:
    """Return what is to be said of the units behind a column's numbers, in sentences."""
    unit, measured = report.form.unit, sum(count for _, count in report.units)
    if report.unclear:
        return [f"Column {name!r} is not read as numbers: {report.unclear}."]
    if not unit:
        return []
    bare = report.read - measured
    meant = "shares from 0 to 1" if unit == SHARES else f"numbers in {unit}"
    others = ", ".join(f"{count} in {other}" for other, count in report.units if unit not in (other, SHARES))
    more = f"; {others} are converted" if others else ""
    if bare > 0:
        sign, taken = ("%", "as shares") if unit == SHARES else ("unit", f"to be in {unit}, too")
        more += f"; {bare} without a {sign} are taken {taken}"
    return [f"Column {name!r}: {measured} values such as {report.measure!r} are read as {meant}{more}."]


def _dates(name: str, report: FormReport, result: Typed) -> None:
    result.forms[name] = report.form.state()
    if report.form.dots == "month_first":
        result.notes.append(
            f"Column {name!r}: dates with dots are read month first, because some have a second number above 12, such "
            "as 06.13.2016."
        )
    if report.old:
        result.notes.append(
            f"Column {name!r}: years of two digits are read as {report.form.century - 99} to {report.form.century}, "
            f"since dates such as {report.old} would lie in the future otherwise."
        )
    if report.form.order == "year_first":
        result.notes.append(
            f"Column {name!r}: years of two digits are read as the first number, since all dates can have it there and "
            "some nowhere else, or only in the future."
        )
        return
    if not report.ambiguous:
        return
    both = f"Column {name!r}: {report.ambiguous} dates such as {report.example} fit day first and month first"
    if report.day_first and report.month_first:
        result.notes.append(
            f"{both}, and {report.day_first} others are day first and {report.month_first} month first, so that these "
            "count as missing; write the year first."
        )
    elif not report.day_first and not report.month_first:
        answer = f"If the month comes first, write data.date_order: {flow({name: 'month_first'})}."
        result.notes.append(Answerable(f"{both}, and no other says which; they are read day first.", answer))


def _pairs(name: str, report: PairReport, result: Typed) -> None:
    result.forms[name] = report.state()
    if not report.read:
        return
    first, second = "latitude", "longitude"
    if report.order == "longitude_first":
        first, second = second, first
    doubt = "" if report.sure else ", the latitude first, as usual, since no value says it; else write two columns"
    result.notes.append(
        f"Column {name!r}: {report.read} values such as {report.example!r} are read as {first} and {second}{doubt}."
    )


def _ask_about_gaps(name: str, column: pd.Series, result: Typed) -> None:
    words = gap_words(column)
    if words and len(words) < column.nunique():
        told = ", ".join(f"{word!r} ({count} times)" for word, count in words.items())
        result.notes.append(
            f"Column {name!r} holds {told}, taken as values like others; if they mean that a value is missing, write "
            f"data.missing: {flow(list(words))}."
        )
