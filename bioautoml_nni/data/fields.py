"""Encoders of single metadata fields: how one column, or a pair of coordinates, becomes numbers or a category.

A field learns from training rows only (`fit`), gives a missing value as 0 with its mask bit off, and keeps all that it
learned in its constructor's arguments, so that it goes through JSON and back unchanged. It reads texts as its `form`
says and numbers as they are, each row by itself: what stands in other rows never changes how one is read.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ._field import Field, column_of, numbers_of
from .coordinate_pairs import ORDERS
from .hours import parse_hours
from .manifest import as_strings
from .moments import DateForm, restore_form
from .numerals import NumberForm, parse_number, restore_number_form
from .place_fields import GeoField, PairField
from .tables import cell_text
from .times import DAYS, parse_times

LIMIT = 10.0
"""Largest absolute value of a standardised number; outliers are clipped to it."""


TRUTH = ("true", "false")


class NumberField(Field):
    """A number, standardised over the training rows.

    Args:
        columns: the column.
        transform: "none", "log1p" (sizes) or "logit" (fractions).
        center, scale: what was learned.
        form: how texts write numbers; see `NumberForm`.
    """

    kind = "number"

    def __init__(
        self,
        columns: list[str],
        transform: str = "none",
        center: float = 0.0,
        scale: float = 1.0,
        form: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(columns)
        self.form = dict(form) if form else None
        self.transform = transform
        self.center = center
        self.scale = scale

    def fit(self, table: pd.DataFrame) -> None:
        values = self._values(table)
        present = values[np.isfinite(values)]
        deviation = float(present.std()) if len(present) else 0.0
        self.center = float(present.mean()) if len(present) else 0.0
        self.scale = deviation if deviation > 1e-12 else 1.0

    def encode(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        values = self._values(table)
        present = np.isfinite(values)
        standard = np.clip((np.where(present, values, self.center) - self.center) / self.scale, -LIMIT, LIMIT)
        return standard[:, None], present

    def _values(self, table: pd.DataFrame) -> np.ndarray:
        values = numbers_of(table, self.columns[0], self.form)
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.transform == "log1p":
                values = np.log1p(np.where(values >= 0, values, np.nan))
            elif self.transform == "logit":
                inside = np.where((values >= 0) & (values <= 1), values, np.nan)
                inside = np.clip(inside, 1e-4, 1 - 1e-4)
                values = np.log(inside / (1 - inside))
        return values


class CycleField(Field):
    """A day of the year or an hour of the day as sines and cosines of the first two harmonics.

    Args:
        columns: the column.
        period: "day" (of the year) or "hour" (of the day; of a date that has none it is missing).
        form: how texts write dates; see `DateForm`.
    """

    kind = "cycle"
    HARMONICS: ClassVar[int] = 2

    def __init__(self, columns: list[str], period: str = "day", form: Mapping[str, str] | None = None) -> None:
        super().__init__(columns)
        self.period = period
        self.form = dict(form) if form else None

    def names(self) -> list[str]:
        waves = [f"{wave}{order}" for order in range(1, self.HARMONICS + 1) for wave in ("sin", "cos")]
        return [f"{self.columns[0]}_{self.period}_{wave}" for wave in waves]

    def encode(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        phase = self.phase(column_of(table, self.columns[0]))
        present = np.isfinite(phase)
        angle = 2 * np.pi * np.where(present, phase, 0.0)
        waves = [wave(order * angle) for order in range(1, self.HARMONICS + 1) for wave in (np.sin, np.cos)]
        return np.column_stack(waves) * present[:, None], present

    def phase(self, column: pd.Series) -> np.ndarray:
        """Return the position in the cycle (N,), from 0 to 1, NaN where it is missing."""
        form = restore_form(self.form) if self.form else DateForm()
        if self.period == "day":
            return (parse_times(column, form).dt.dayofyear.to_numpy(dtype=float, na_value=np.nan) - 1) / DAYS
        hours = parse_hours(column, form)
        if self.form is None:  # exports of 0.1 took a date without a time for midnight
            hours = np.where(np.isnan(hours) & parse_times(column, form).notna().to_numpy(), 0.0, hours)
        return hours / 24


class CategoryField(Field):
    """A category as an index: 0 is missing (<na>), 1 is unseen or rare in training (<unk>).

    Args:
        columns: the column.
        rare_below: values with fewer training rows are folded into <unk>, so that it is learned too.
        values: the values with an index of their own.
        spelling: "text": a value is its text; "number": 007 and 7.0 are 7, as exports of 0.1 have it.
    """

    kind = "category"
    MISSING: ClassVar[int] = 0
    UNKNOWN: ClassVar[int] = 1

    def __init__(
        self, columns: list[str], rare_below: int = 3, values: list[str] | None = None, spelling: str = "number"
    ) -> None:
        super().__init__(columns)
        self.rare_below = rare_below
        self.values = list(values or [])
        self.spelling = spelling

    @property
    def categories(self) -> int:
        return len(self.values) + 2

    def fit(self, table: pd.DataFrame) -> None:
        counts = as_strings(table[self.columns[0]]).value_counts()
        self.values = sorted(str(value) for value in counts.index[counts >= self.rare_below])

    def encode(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        index = {value: position + 2 for position, value in enumerate(self.values)}
        codes, values = pd.factorize(column_of(table, self.columns[0]))
        known = np.array([*(self._place(value, index) for value in values), self.MISSING], dtype=np.int64)
        encoded = known[codes]  # -1, a gap, is the last entry
        return encoded[:, None], encoded != self.MISSING

    def doubts(self, table: pd.DataFrame) -> list[tuple[str, str, str]]:
        """Return the values that training did not have, or had too seldom."""
        if self.columns[0] not in table:
            return []
        unknown = self.encode(table)[0][:, 0] == self.UNKNOWN
        return [
            (self.columns[0], "are no known category", cell_text(value) or "")
            for value in table[self.columns[0]][unknown]
        ]

    def _place(self, value: Any, index: Mapping[str, int]) -> int:
        text = (cell_text(value) or "").strip()
        if not text:
            return self.MISSING
        spellings = [text]
        if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
            spellings.append(repr(float(value)))  # a number has no spelling of its own: 7 may have been written 7.0
        elif text.lower() in TRUTH:
            spellings += [text.lower(), text.upper(), text.capitalize()]  # as programs write them: TRUE, True, true
        elif self.spelling == "number":
            spellings.append(cell_text(parse_number(text, NumberForm())) or "")
        return next((index[spelling] for spelling in spellings if spelling in index), self.UNKNOWN)


class TextField(Field):
    """Words as a hashed bag of fixed width, of length one (Weinberger et al., arXiv 0902.2206).

    Args:
        columns: the column.
        width: number of buckets.
    """

    kind = "text"
    WORD: ClassVar[re.Pattern[str]] = re.compile(r"[^\W\d_]{2,}")

    def __init__(self, columns: list[str], width: int = 64) -> None:
        super().__init__(columns)
        self.width = width

    def names(self) -> list[str]:
        return [f"{self.columns[0]}_{bucket}" for bucket in range(self.width)]

    def encode(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        codes, texts = pd.factorize(as_strings(column_of(table, self.columns[0])))
        bags = np.zeros((len(texts) + 1, self.width))
        for row, text in enumerate(texts):
            for word in self.WORD.findall(str(text).lower()):
                code = zlib.crc32(word.encode())
                bags[row, code % self.width] += 1 if code & 0x80000000 else -1
        bags /= np.maximum(np.linalg.norm(bags, axis=1, keepdims=True), 1e-12)
        return bags[codes], codes >= 0


KINDS: Mapping[str, type[Field]] = {
    field.kind: field for field in (NumberField, CycleField, GeoField, PairField, CategoryField, TextField)
}


def restore(state: Mapping[str, Any]) -> Field:
    """Rebuild a field from `Field.state`.

    Raises:
        ValueError: for a value that no field learns.
    """
    arguments = {key: value for key, value in state.items() if key != "kind"}
    form = restore_form if state["kind"] == "cycle" else restore_number_form
    if not _is_form(form)(arguments.get("form")):
        raise ValueError(f"metadata field {state['kind']!r}: form is {arguments['form']!r:.60}")
    for key, value in arguments.items():
        if key in LEARNED and not LEARNED[key](value):
            raise ValueError(f"metadata field {state['kind']!r}: {key} is {value!r:.60}")
    return KINDS[state["kind"]](**arguments)


def _is_form(restored: Callable[[Any], Any]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        try:
            return value is None or restored(value) is not None
        except ValueError:
            return False

    return check


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(float(value)))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


LEARNED: Mapping[str, Callable[[Any], bool]] = {
    "columns": lambda value: _are_texts(value) and len(value) > 0,
    "center": _is_number,
    "scale": lambda value: _is_number(value) and value > 0,
    "transform": lambda value: value in ("none", "log1p", "logit"),
    "period": lambda value: value in ("day", "hour"),
    "resolution_km": _is_number,
    "values": _are_texts,
    "width": lambda value: isinstance(value, int) and value > 0,
    "spelling": lambda value: value in ("text", "number"),
    "longitude_form": _is_form(restore_number_form),
    "order": lambda value: value in ORDERS,
    "nowhere": lambda value: isinstance(value, bool),
}
"""What the arguments of fields may be, where a file of somebody else's says them."""
