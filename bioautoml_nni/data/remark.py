"""What is said of a data set: a sentence on the whole, a verdict on a column. Loaders say it, and the audit does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["refused", "warning", "note"]
Verdict = Literal["pass", "warn", "drop", "refuse"]


@dataclass(frozen=True)
class Remark:
    """One sentence; any that is "refused" forbids training."""

    level: Level
    topic: str
    text: str


@dataclass(frozen=True)
class ColumnFinding:
    """What the screen says of a column.

    Attributes:
        verdict: "refuse": it gives the label away; "drop": no feature unless it is declared as one; "warn": usable,
            with the reservation that `reason` states; "pass".
        kind: taxonomy, identification, dna, text, names_label, follows_label, gaps, event, identifier, constant or "".
        reason: in words.
    """

    column: str
    verdict: Verdict
    kind: str = ""
    reason: str = ""
