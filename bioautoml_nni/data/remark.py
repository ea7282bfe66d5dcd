"""What is said of a data set: a sentence on the whole, a verdict on a column. Loaders say it, and the audit does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..utils.yaml_files import flow

Level = Literal["refused", "warning", "note"]
Verdict = Literal["pass", "warn", "drop", "refuse"]


@dataclass(frozen=True)
class Answer:
    """What experiment.yml would say to a remark.

    Attributes:
        key: dotted key of a section's entry, such as data.labels.
        value: of it; a mapping is added to what stands there.
        sure: whether it needs no judgement, so that `bioautoml check --fix` writes it.
    """

    key: str
    value: Any
    sure: bool = False

    @property
    def line(self) -> str:
        """The line to write."""
        return f"{self.key}: {flow(self.value)}"


@dataclass(frozen=True)
class Remark:
    """What is said in a sentence or two; any that is "refused" forbids training.

    Attributes:
        answer: the line of experiment.yml that answers it, with which the text ends.
    """

    level: Level
    topic: str
    text: str
    answer: Answer | None = None

    def __post_init__(self) -> None:
        if self.answer is not None:
            object.__setattr__(self, "text", f"{self.text} Write {self.answer.line}.")

    @property
    def plain(self) -> str:
        """The text without the line that answers it."""
        return self.text if self.answer is None else self.text.removesuffix(f" Write {self.answer.line}.")

    def record(self) -> dict[str, Any]:
        """Return it for audit.json."""
        record: dict[str, Any] = {"level": self.level, "topic": self.topic, "text": self.text}
        if self.answer is not None:
            record |= {"line": self.answer.line, "sure": self.answer.sure}
        return record


class Lost(str):
    """A source's note on what is missing from then on: rows, images or columns left out, labels that became one."""


class TableAt(str):
    """A note on which part of a file is read as its table: which sheet, which row as the header."""


class Rounded(str):
    """A note on numbers that lost digits before they were read."""


class Answerable(str):
    """A note that ends with the line of a table's experiment that answers it.

    Attributes:
        fact: the note without that line, which other sources have no key for.
    """

    fact: str

    def __new__(cls, fact: str, answer: str) -> Answerable:
        """Join the two."""
        note = super().__new__(cls, f"{fact} {answer}")
        note.fact = fact
        return note


def of_kind(notes: Sequence[str], *kinds: type[str]) -> list[str]:
    """Return the notes of a source that are of one of these kinds; a note that is a plain text is of none."""
    return [note for note in notes if isinstance(note, kinds)]


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
