"""What a source leaves out: counted by reason, with the first of each named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..data.remark import Lost


class LeftOut(Counter[str]):
    """Numbers of entries left out, by reason in words."""

    def __init__(self) -> None:
        super().__init__()
        self._first: dict[str, str] = {}

    def note(self, words: str, entry: dict[str, Any], key: str = "id") -> None:
        """Count an entry, and keep the id of the first for each reason."""
        self[words] += 1
        if entry.get(key) is not None:
            self._first.setdefault(words, str(entry[key]))

    def sentences(self, name: str, but: str = "") -> Iterator[str]:
        """Yield what was left out of a file, with the id of the first where it has one.

        Args:
            but: a reason that has a sentence of its own.
        """
        for words, count in self.items():
            if count and words != but:
                first = f" (the first has the id {self._first[words]})" if words in self._first else ""
                end = "," if words.endswith(",") else ""
                yield Lost(f"{name}: {count} {words.removesuffix(',')}{first}{end} left out.")
