"""What of the metadata could not be read or is not known, counted."""

from __future__ import annotations

from collections import Counter

SHOWN = 3


class Doubts:
    """Values of metadata that could not be read, or are unknown, counted over all rows."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str], Counter[str]] = {}

    def add(self, found: list[tuple[str, str, str]]) -> None:
        """Take up what `Model.doubts` says."""
        for column, what, text in found:
            self.counts.setdefault((column, what), Counter())[text] += 1

    def sentences(self) -> list[str]:
        """Return one sentence for each column and kind of doubt."""
        result = []
        for (column, what), texts in self.counts.items():
            shown = ", ".join(repr(text) for text in list(texts)[:SHOWN]) + (", ..." if len(texts) > SHOWN else "")
            result.append(f"{column}: {texts.total()} values {what} ({shown}).")
        return result
