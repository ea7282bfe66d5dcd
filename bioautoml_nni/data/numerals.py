"""Numbers as people write them: decimal points or commas, thousands apart or not.

What `1,234` means is decided once for a column, from all of it, and applied to each value by itself.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, get_args

import numpy as np
import pandas as pd

from .coordinates import Axis, Notation, decide_notation, parse_degrees
from .tables import cell_text

GAP_WORDS = frozenset(
    ("na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "—", "?", ".", "n.a.", "k.a.", "missing", "unknown")
)
"""Words that many tables write for a gap, in small letters."""
CODE = re.compile(r"^[+-]?0\d|^\d+[eE]\d+$|^\+?\d{16,}$")
"""Digits that are no quantity: zeros in front, a code such as 12E3, more digits than a double holds."""
TWO_WAYS = re.compile(r"^[+-]?[1-9]\d{0,2}[.,]\d{3}$")
WHOLE = re.compile(r"^[+-]?\d+$")
UNITS = (
    *("nm", "um", "mm", "cm", "dm", "m", "km"), *("ug", "mg", "g", "kg"), *("ul", "ml", "cl", "dl", "l"),
    *("mm2", "cm2", "m2", "km2", "ha"), *("mm3", "cm3", "m3"), *("°C", "°F", "px"),
)  # fmt: skip
"""Units that may stand behind the numbers of a column: one of them behind all that have any.

A percentage is none, since 35 % is 0.35, and hours are times of day (`data/hours.py`)."""
_UNIT = "|".join(sorted(UNITS, key=len, reverse=True))
WITH_UNIT = re.compile(rf"^(?P<number>[+-]?[\d.,' ]*\d[.,]?(?:[eE][+-]?\d+)?)\s*(?P<unit>{_UNIT})\.?$")
SAME_UNIT = str.maketrans("µμ²³ℓ", "uu23l")
SIGNS = str.maketrans("−–\u00a0\u202f\u2009’", "--   '")


@dataclass(frozen=True)
class NumberForm:
    """How a column writes numbers: its decimal sign, and the sign between thousands, if there is one.

    Attributes:
        notation: of a column of angles in degrees, minutes and seconds, what its letters mean.
        unit: that may stand behind its numbers.
    """

    decimal: str = "."
    thousands: str = ""
    notation: Notation = ""
    unit: str = ""

    def state(self) -> dict[str, str]:
        """Return what the constructor needs, ready for JSON; of the last two what earlier versions would not do."""
        found = {name: str(value) for name, value in asdict(self).items()}
        for name in ("notation", "unit"):
            if not found[name]:
                del found[name]
        return found


FORMS = (
    NumberForm(), NumberForm(","), NumberForm(".", ","), NumberForm(",", "."), NumberForm(".", " "),
    NumberForm(",", " "), NumberForm(".", "'"), NumberForm(",", "'"),
)  # fmt: skip
ANGLES = tuple(NumberForm(notation=notation) for notation in get_args(Notation) if notation)


STARTS = frozenset("+-.,iI\u0130\u0131")
"""Letters besides digits that a number can begin with; the last two are i in the eyes of a pattern without case."""


@dataclass(frozen=True)
class NumberReport:
    """What a column says as numbers.

    Attributes:
        form: how it writes them.
        read, gaps, unreadable: numbers of values that are numbers, words for a gap, and neither.
        ambiguous: values that another form reads as another number, such as 1,234.
        examples: up to three values that are no numbers.
        whole: whether all are whole numbers.
        codes: whether some look like an identifier, such as 007.
        measured: values with the form's unit behind them.
        measure: one of these.
    """

    form: NumberForm
    read: int
    gaps: int
    unreadable: int
    ambiguous: int
    examples: tuple[str, ...]
    whole: bool
    codes: bool
    measured: int = 0
    measure: str = ""


def decide_numbers(column: pd.Series, axis: Axis = "") -> NumberReport:
    """Decide from all values of a column how it writes numbers; the plain form wins where several read all.

    Args:
        axis: whether it is known to hold coordinates, which may be written in degrees, minutes and seconds.
    """
    counts = column.dropna().value_counts()
    texts: dict[str, int] = {}
    for value, count in zip(counts.index, counts.to_numpy(), strict=True):
        text = clean(cell_text(value) or "")
        if text:
            texts[text] = texts.get(text, 0) + int(count)
    del counts
    gaps = sum(texts.pop(word) for word in [text for text in texts if text.lower() in GAP_WORDS])
    report = _decided(texts, axis, gaps)
    unit, measured, example = _unit_of(texts) if report.unreadable else ("", 0, "")
    if not unit:
        return report
    bare: dict[str, int] = {}
    for text, count in texts.items():
        number, _ = without_unit(text)
        bare[number] = bare.get(number, 0) + count
    without = _decided(bare, "", gaps)
    if without.read <= report.read:
        return report
    return replace(without, form=replace(without.form, unit=unit), measured=measured, measure=example)


def without_unit(text: str) -> tuple[str, str]:
    """Return a text without the unit behind its number, and the unit as `UNITS` writes it; empty if it has none.

    Example:
        >>> without_unit("12,5 µm"), without_unit("12.5")
        (('12,5', 'um'), ('12.5', ''))
    """
    found = WITH_UNIT.match(text.translate(SAME_UNIT))
    return (found["number"].strip(), found["unit"]) if found else (text, "")


def _unit_of(texts: Mapping[str, int]) -> tuple[str, int, str]:
    """Return the one unit that stands behind numbers of a column, how often, and a text with it; empty without one."""
    unit, count, example = "", 0, ""
    for text, times in texts.items():
        _, own = without_unit(text) if text[0] in STARTS or text[0].isdecimal() else (text, "")
        if not own:
            continue
        if unit and own != unit:
            return "", 0, ""
        unit, count, example = own, count + times, example or text
    return unit, count, example


def _decided(texts: dict[str, int], axis: Axis, gaps: int) -> NumberReport:
    """Decide how texts without words for a gap, of which there are so many, write numbers."""
    others = texts  # of as many texts as rows there is one dictionary only
    begun = {text: count for text, count in others.items() if text[0] in STARTS or text[0].isdecimal()}
    readings = {form: sum(count for text, count in begun.items() if _pattern(form).match(text)) for form in FORMS}
    form = max(readings, key=lambda form: readings[form])  # the first of equals
    if (angles := _as_angles(others, axis, gaps, readings[form])) is not None:
        return angles
    pattern = _pattern(form)
    wrong = [text for text in others if text not in begun or not pattern.match(text)]
    ambiguous = 0
    if form in (NumberForm(","), NumberForm(".", ",")):
        signed = {text: count for text, count in others.items() if "," in text}
        if all(TWO_WAYS.match(text) for text in signed):
            ambiguous = sum(signed.values())
    return NumberReport(
        form, readings[form], gaps, sum(others[text] for text in wrong), ambiguous,
        tuple(wrong[:3]), all(WHOLE.match(text) for text in others), any(CODE.match(text) for text in others),
    )  # fmt: skip


def _as_angles(texts: Mapping[str, int], axis: Axis, gaps: int, numbers: int) -> NumberReport | None:
    """Return a report on a column of which more texts are angles than numbers, None on any other."""
    if numbers == sum(texts.values()) or not (notation := decide_notation(texts, axis)):
        return None
    wrong = [text for text in texts if np.isnan(parse_degrees(text, notation))]
    unreadable = sum(texts[text] for text in wrong)
    read = sum(texts.values()) - unreadable
    if read <= numbers and notation == "degrees":
        return None
    return NumberReport(
        NumberForm(notation=notation), read, gaps, unreadable, 0, tuple(wrong[:3]), whole=False, codes=False
    )


def parse_numbers(column: pd.Series, form: NumberForm | None = None) -> np.ndarray:
    """Return numbers (N,) float64; what is none is NaN.

    Args:
        form: how texts write numbers. A text of another form is read only where it has no other meaning, such as 3,5
            in a column with decimal points.
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=float, na_value=np.nan)
    codes, values = pd.factorize(column)
    numbers = [parse_number(value, form or NumberForm()) for value in values]
    return np.array([*numbers, np.nan], dtype=float)[codes]


def parse_number(value: Any, form: NumberForm) -> float:
    """Return the number that a value is or writes, NaN for none."""
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return float(value)
    text = clean(cell_text(value) or "")
    if form.notation:
        return parse_degrees(text, form.notation)
    if form.unit and not _pattern(form).match(text):
        number, unit = without_unit(text)
        text = number if unit == form.unit else text
    if _pattern(form).match(text):
        return _float(text, form)
    other = NumberForm("," if form.decimal == "." else ".")
    if _pattern(other).match(text) and not TWO_WAYS.match(text):
        return _float(text, other)
    return np.nan


def clean(text: str) -> str:
    """Return a text with one kind of minus and of space."""
    return text.strip().translate(SIGNS)


def _float(text: str, form: NumberForm) -> float:
    if form.thousands:
        text = text.replace(form.thousands, "")
    return float(text.replace(form.decimal, "."))


@cache
def _pattern(form: NumberForm) -> re.Pattern[str]:
    point = re.escape(form.decimal)
    whole = r"\d{1,3}(?:" + re.escape(form.thousands) + r"\d{3})*|\d+" if form.thousands else r"\d+"
    return re.compile(rf"^[+-]?(?:(?:(?:{whole})(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?|inf(?:inity)?)$", re.I)


def restore_number_form(state: Mapping[str, Any]) -> NumberForm:
    """Rebuild a form from `NumberForm.state`.

    Raises:
        ValueError: for a state that no form has.
    """
    if isinstance(state, Mapping) and state.get("unit", "") in ("", *UNITS):
        plain = {name: value for name, value in state.items() if name != "unit"}
        for form in (*FORMS, *ANGLES):
            if form.state() == plain:
                return replace(form, unit=state.get("unit", ""))
    raise ValueError(f"form of numbers: {state!r:.60}")


def gap_words(column: pd.Series, more: Collection[str] = ()) -> dict[str, int]:
    """Return the words for a gap that a column of text holds, with their counts."""
    counts = column.dropna().value_counts()
    known = GAP_WORDS | {word.lower() for word in more}
    return {str(text): int(count) for text, count in counts.items() if str(text).strip().lower() in known}
