"""Numbers as people write them: decimal points or commas, thousands apart or not.

What `1,234` means is decided once for a column, from all of it, and applied to each value by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, get_args

import numpy as np
import pandas as pd

from .coordinates import Axis, Notation, decide_notation, parse_degrees
from .tables import cell_text
from .units import KIND_OF, SHARES, converted, is_unit, same_kind, without_unit

GAP_WORDS = frozenset(
    ("na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "—", "?", ".", "n.a.", "k.a.", "missing", "unknown")
)
"""Words that many tables write for a gap, in small letters."""
CODE = re.compile(r"^[+-]?0\d|^\d+[eE]\d+$|^\+?\d{16,}$")
"""Digits that are no quantity: zeros in front, a code such as 12E3, more digits than a double holds."""
TWO_WAYS = re.compile(r"^[+-]?[1-9]\d{0,2}[.,]\d{3}$")
WHOLE = re.compile(r"^[+-]?\d+$")
WITHOUT_UNIT = re.compile(r"^[+-]?(?=.*[1-9])[\d.,' ]+$")
"""A number, other than 0, which is the same in every unit of a kind."""
SIGNS = str.maketrans("−–\u00a0\u202f\u2009’", "--   '")


@dataclass(frozen=True)
class NumberForm:
    """How a column writes numbers: its decimal sign, and the sign between thousands, if there is one.

    Attributes:
        notation: of a column of angles in degrees, minutes and seconds, what its letters mean.
        unit: that its numbers are in; others of the kind are converted. "share" is a unit: 35 % is 0.35 of it.
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
        units: numbers of values with a unit behind them, by unit.
        measure: one of these.
        unclear: why values with a unit behind them are not read, in words.
    """

    form: NumberForm
    read: int
    gaps: int
    unreadable: int
    ambiguous: int
    examples: tuple[str, ...]
    whole: bool
    codes: bool
    units: tuple[tuple[str, int], ...] = ()
    measure: str = ""
    unclear: str = ""


def decide_numbers(column: pd.Series, axis: Axis = "", share: bool = False) -> NumberReport:
    """Decide from all values of a column how it writes numbers; the plain form wins where several read all.

    Args:
        axis: whether it is known to hold coordinates, which may be written in degrees, minutes and seconds.
        share: whether it is known to hold shares, so that 35 % is 0.35.
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
    return _with_units(report, texts, share) if report.unreadable else report


def _with_units(report: NumberReport, texts: dict[str, int], share: bool) -> NumberReport:
    """Decide how texts write numbers, some of which have a unit behind them."""
    units, bare, odd = Counter[str](), Counter[str](), 0
    examples: dict[str, str] = {}
    for text, count in texts.items():
        number, unit = without_unit(text) if text[0] in STARTS or text[0].isdecimal() else (text, "")
        bare[number] += count
        if unit:
            units[unit] += count
            examples.setdefault(unit, text)
        elif WITHOUT_UNIT.match(text):
            odd += count
    if not units:
        return report
    if unclear := _unclear(examples, odd, share):
        return replace(report, units=tuple(units.most_common()), unclear=unclear)
    unit = max(units, key=lambda unit: (units[unit], unit))
    unit = SHARES if share and KIND_OF[unit] == SHARES else unit
    without = _decided(dict(bare), "", report.gaps)
    if without.read <= report.read:
        return report
    form = replace(without.form, unit=unit)
    return replace(without, form=form, units=tuple(units.most_common()), measure=next(iter(examples.values())))


def _unclear(examples: Mapping[str, str], bare: int, share: bool) -> str:
    """Say why units behind numbers cannot be read, of which there is an example each, beside so many without one."""
    shown = " and ".join(repr(text) for text in list(examples.values())[:3])
    if not same_kind(examples):
        return f"values such as {shown} are in units of different kinds; write one unit behind all"
    if bare and len(examples) > 1:
        return f"{bare} values without a unit stand beside {shown} and could be in either; write the unit behind each"
    if bare and not share and KIND_OF[next(iter(examples))] == SHARES:
        return (
            f"{bare} values without a % stand beside {shown} and could be per cent or shares; write the % behind each "
            "or behind none"
        )
    return ""


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
        if unit and KIND_OF[unit] == KIND_OF.get(form.unit, form.unit):
            return converted(parse_number(number, replace(form, unit="")), unit, form.unit)
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
    if isinstance(state, Mapping) and is_unit(state.get("unit", "")):
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
