"""The different texts of a column, which are made again whenever they are gone through."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pandas as pd

from .tables import cell_text

BLOCK = 1 << 16
"""Texts that are held at a time."""


class DistinctTexts:
    """Different texts of a column with their counts, as a function writes them; what it leaves empty is left out.

    A dictionary of as many texts as a table has rows takes more memory than the column, so that they are made a block
    at a time. Of a column with more than a block of them, two that the function makes alike come twice.

    Args:
        column: of a table; gaps do not count.
        form: how a text is written.
    """

    def __init__(self, column: pd.Series, form: Callable[[str], str]) -> None:
        self._form = form
        counts = column.value_counts()  # without gaps
        self._few = self._made(counts) if len(counts) <= BLOCK else None
        self._counts = counts.iloc[:0] if self._few is not None else counts

    def items(self) -> Iterator[tuple[str, int]]:
        """Yield each text with its count, the commonest first."""
        if self._few is not None:
            yield from self._few.items()
        for start in range(0, len(self._counts), BLOCK):
            yield from self._made(self._counts.iloc[start : start + BLOCK]).items()

    def __iter__(self) -> Iterator[str]:
        return (text for text, _ in self.items())

    def __bool__(self) -> bool:
        return next(iter(self), None) is not None

    def _made(self, counts: pd.Series) -> dict[str, int]:
        found: dict[str, int] = {}
        for value, count in zip(counts.index.tolist(), counts.tolist(), strict=True):
            if text := self._form(cell_text(value) or ""):
                found[text] = found.get(text, 0) + int(count)
        return found
