"""What all metadata fields have in common; see `fields`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from .numerals import parse_numbers, restore_number_form
from .tables import cell_text


class Field:
    """One field of the metadata.

    Attributes:
        columns: the columns it reads.
        kind: name in preprocessing.json.
    """

    kind: ClassVar[str]

    def __init__(self, columns: list[str]) -> None:
        self.columns = list(columns)

    @property
    def categories(self) -> int:
        """Number of values of a categorical field, 0 for a numeric one."""
        return 0

    def fit(self, table: pd.DataFrame) -> None:
        """Learn from training rows."""

    def names(self) -> list[str]:
        """Names of the numbers (or of the one category) that the field gives."""
        return list(self.columns)

    def encode(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return values (N, len(names)) and what is present (N,) bool."""
        raise NotImplementedError

    def doubts(self, table: pd.DataFrame) -> list[tuple[str, str, str]]:
        """Return column, what is wrong and text of each value that is there and cannot be read."""
        return [
            (name, "cannot be read and count as missing", text)
            for name in self.columns
            if name in table
            for text in self._unread(table, name)
        ]

    def _unread(self, table: pd.DataFrame, name: str) -> list[str]:
        return self._texts(table[name], self.encode(table)[1])

    @staticmethod
    def _texts(column: pd.Series, present: np.ndarray) -> list[str]:
        return [text for value in column[~present] if (text := (cell_text(value) or "").strip())]

    def state(self) -> dict[str, Any]:
        """Return everything that the constructor needs, ready for JSON."""
        return {"kind": self.kind, **vars(self)}


def column_of(table: pd.DataFrame, name: str) -> pd.Series:
    """Return a column; one that the table lacks counts as missing."""
    return table[name] if name in table else pd.Series(np.nan, index=table.index, dtype=object)


def numbers_of(table: pd.DataFrame, name: str, form: Mapping[str, str] | None) -> np.ndarray:
    """Return a column's numbers (N,), read as its form says."""
    return parse_numbers(column_of(table, name), restore_number_form(form) if form else None)
