"""A guess: what was found of data, with the reason for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Ask = Callable[[str, list[str]], str]
"""Given a key and what it could be, the likeliest first, returns one of them."""


@dataclass
class Guess:
    """A guess at how data are to be read.

    Attributes:
        source: name of the source.
        root: folder of the data.
        values: further keys of the data section.
        reasons: in words, by key.
        unsure: choices between equals, by key: a person may know better.
        rows: number of specimens, as far as it is known.
        given: columns that a person named, by key.
    """

    source: str
    root: Path
    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    unsure: dict[str, list[str]] = field(default_factory=dict)
    rows: int | None = None
    given: Mapping[str, str] = field(default_factory=dict)

    def set(self, key: str, value: Any, reason: str) -> None:
        """Note a value with its reason."""
        self.values[key], self.reasons[key] = value, reason
