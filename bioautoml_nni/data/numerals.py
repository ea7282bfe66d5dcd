"""Numbers as people write them: decimal points or commas, thousands apart or not.

What `1,234` means is decided once for a column, from all of it, and applied to each value by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any, get_args

import numpy as np
import pandas as pd

from .coordinates import Axis, Notation, decide_notation, parse_degrees
from .distinct import DistinctTexts
from .tables import cell_text
from .units import KIND_OF, SHARES, ZEROS, converted, is_unit, same_kind, without_unit

GAP_WORDS = frozenset(
    ("na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "—", "?", ".", "n.a.", "k.a.", "missing", "unknown")
)
"""Words that many tables write for a gap, in small letters."""
CODE = re.compile(r"^[+-]?0\d|^\d+[eE]\d+$|^\+?\d{16,}$")
"""Digits that are no quantity: zeros in front, a code such as 12E3, more digits than a double holds."""
TWO_WAYS = re.compile(r"^[+-]?[1-9]\d{0,2}[.,]\d{3}$")
WHOLE = re.compile(r"^[+-]?\d+$")
WITHOUT_UNIT = re.compile(r"^[+-]?(?P<digits>[\d.,' ]*\d[.,]?)(?:[eE][+-]?\d+)?$")
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


EXAMPLES = 3
"""Values that are no numbers of which a report tells."""
STARTS = frozenset("+-.,iI\u0130\u0131")
"""Letters besides digits that a number can begin with; the last two are i in the eyes of a pattern without case."""


Texts = Callable[[], Iterable[tuple[str, int]]]
"""Gives the different texts of a column with their counts, each time anew."""


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
    texts = DistinctTexts(column, clean)
    report, may_be_numbers = _decided(texts.items, axis)
    return _with_units(report, texts.items, share) if report.unreadable and may_be_numbers else report


def _with_units(report: NumberReport, texts: Texts, share: bool) -> NumberReport:
    """Decide how texts write numbers, some of which have a unit behind them."""
    units, zeros, odd = Counter[str](), 0, 0
    examples: dict[str, str] = {}
    for text, count in texts():
        unit = without_unit(text)[1] if _begins(text) else ""
        if unit:
            units[unit] += count
            examples.setdefault(unit, text)
        elif found := WITHOUT_UNIT.match(text):
            is_zero = not set(found["digits"]) & set("123456789")
            zeros += count if is_zero else 0
            odd += 0 if is_zero or (share and _is_share(text)) else count
    if not units:
        return report
    odd += zeros if ZEROS.keys() & units else 0  # 0 is the same in all other units of a kind
    if unclear := _unclear(examples, odd):
        return replace(report, units=tuple(units.most_common()), unclear=unclear)
    unit = max(units, key=lambda unit: (units[unit], unit))
    unit = SHARES if share and KIND_OF[unit] == SHARES else unit

    def bare() -> Iterator[tuple[str, int]]:
        for text, count in texts():
            yield without_unit(text)[0] if _begins(text) else text, count

    without, _ = _decided(bare, "")
    if without.read <= report.read:
        return report
    form = replace(without.form, unit=unit)
    return replace(without, form=form, units=tuple(units.most_common()), measure=next(iter(examples.values())))


def _is_share(text: str) -> bool:
    """Whether a number, however it is written, is one from 0 to 1, as a share is and per cent hardly are."""
    try:
        return abs(float(text.replace(",", "."))) <= 1
    except ValueError:
        return False


def _unclear(examples: Mapping[str, str], bare: int) -> str:
    """Say why units behind numbers cannot be read, of which there is an example each, beside so many without one."""
    shown = " and ".join(repr(text) for text in list(examples.values())[:3])
    if not same_kind(examples):
        return f"values such as {shown} are in units of different kinds; write one unit behind all"
    if bare and len(examples) > 1:
        return f"{bare} values without a unit stand beside {shown} and could be in either; write the unit behind each"
    if bare and KIND_OF[next(iter(examples))] == SHARES:
        return (
            f"{bare} values without a % stand beside {shown} and could be per cent or shares; write the % behind each "
            "or behind none"
        )
    return ""


def _begins(text: str) -> bool:
    """Whether a text begins as a number can."""
    return text[0] in STARTS or text[0].isdecimal()


def _decided(texts: Texts, axis: Axis) -> tuple[NumberReport, bool]:
    """Decide how texts write numbers; also return whether one of them begins as a number can."""
    patterns = {form: _pattern(form).match for form in FORMS}
    readings = dict.fromkeys(FORMS, 0)
    gaps = total = 0
    first: dict[str, None] = {}
    begins = False
    for text, count in texts():
        if text.lower() in GAP_WORDS:
            gaps += count
            continue
        total += count
        if _begins(text):
            begins = True
            for form, match in patterns.items():
                readings[form] += count if match(text) else 0
        if len(first) < EXAMPLES:
            first[text] = None
    form = max(readings, key=lambda form: readings[form])  # the first of equals
    if total != readings[form] and (angles := _as_angles(texts, axis, gaps, readings[form], total)) is not None:
        return angles, begins
    if not begins:
        return NumberReport(form, 0, gaps, total, 0, tuple(first), whole=not total, codes=False), begins
    return _report(texts, form, readings[form], gaps), begins


def _report(texts: Texts, form: NumberForm, read: int, gaps: int) -> NumberReport:
    """Return what texts say as numbers of a form, in which so many are written."""
    pattern, signs = _pattern(form), form in (NumberForm(","), NumberForm(".", ","))
    wrong: dict[str, None] = {}
    unreadable = ambiguous = 0
    whole, two_ways, codes = True, True, False
    for text, count in texts():
        if text.lower() in GAP_WORDS:
            continue
        if not _begins(text) or not pattern.match(text):
            unreadable += count
            if len(wrong) < EXAMPLES:
                wrong[text] = None
        whole = whole and WHOLE.match(text) is not None
        codes = codes or CODE.match(text) is not None
        if signs and "," in text:
            ambiguous += count
            two_ways = two_ways and TWO_WAYS.match(text) is not None
    return NumberReport(form, read, gaps, unreadable, ambiguous if two_ways else 0, tuple(wrong), whole, codes)


def _as_angles(texts: Texts, axis: Axis, gaps: int, numbers: int, total: int) -> NumberReport | None:
    """Return a report on a column of which more texts are angles than numbers, None on any other.

    Args:
        numbers, total: how many texts are numbers, and how many there are besides words for a gap.
    """

    def angles() -> Iterator[tuple[str, int]]:
        return ((text, count) for text, count in texts() if text.lower() not in GAP_WORDS)

    if not (notation := decide_notation(angles, axis)):
        return None
    wrong: dict[str, None] = {}
    unreadable = 0
    for text, count in angles():
        if np.isnan(parse_degrees(text, notation)):
            unreadable += count
            if len(wrong) < EXAMPLES:
                wrong[text] = None
    read = total - unreadable
    if read <= numbers and notation == "degrees":
        return None
    return NumberReport(
        NumberForm(notation=notation), read, gaps, unreadable, 0, tuple(wrong), whole=False, codes=False
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
    numbers = np.fromiter((parse_number(value, form or NumberForm()) for value in values), float, len(values))
    return np.append(numbers, np.nan)[codes]


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
            return converted(parse_number(number, _without_unit(form)), unit, form.unit)
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
def _without_unit(form: NumberForm) -> NumberForm:
    return replace(form, unit="")


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
    counts = column.value_counts()  # without gaps
    known = GAP_WORDS | {word.lower() for word in more}
    return {str(text): int(count) for text, count in counts.items() if str(text).strip().lower() in known}
