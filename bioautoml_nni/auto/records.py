"""What is known of each candidate: kept as JSON while the portfolio runs, a leaderboard for the reader."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..utils.atomic import write_json
from ..utils.own_files import read_json

DATA, CANDIDATES = "data", "candidates"
"""Folders of a portfolio: the prepared data, and a run for each candidate with its record beside it."""

Status = Literal[
    "planned", "done", "failed", "left out", "out of time", "over the limits", "baseline", "winner", "stopped early"
]

SCORES = ("accuracy", "balanced_accuracy", "macro_f1")
COLUMNS = (
    "candidate", "status", *(f"validation_{name}" for name in SCORES), "validation_macro_f1_se",
    *(f"test_{name}" for name in SCORES), "parameters", "mflops", "latency_ms", "seconds", "weight", "note",
)  # fmt: skip
NUMBERS = tuple(name for name in COLUMNS if name not in ("candidate", "status", "note"))


@dataclass(frozen=True)
class Record:
    """One candidate.

    Attributes:
        name: of the candidate.
        row: method that it is, with its argument.
        status: see `Status`; "baseline" is a finished one that is never chosen, "stopped early" one whose validation
            macro-F1 is the mean of its last epochs when it stopped.
        note: why it is not among the finished ones, or what it changed, in a sentence.
        estimate: seconds that were expected.
        seconds: that it took, its export included.
        validation, test: accuracy, balanced accuracy and macro-F1 by name.
        validation_macro_f1_se: standard error of the validation macro-F1 over groups.
        parameters, flops, latency_ms: of one specimen's prediction.
        weight: in the ensemble, None without one.
        settings: dotted keys that were changed.
    """

    name: str
    row: str
    status: Status = "planned"
    note: str = ""
    estimate: float | None = None
    seconds: float | None = None
    validation: Mapping[str, float] = field(default_factory=dict)
    test: Mapping[str, float] = field(default_factory=dict)
    validation_macro_f1_se: float | None = None
    parameters: int | None = None
    flops: int | None = None
    latency_ms: float | None = None
    weight: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scored(self) -> bool:
        """Whether it has scores."""
        return bool(self.validation)

    @property
    def finished(self) -> bool:
        """Whether it has the scores of a whole training."""
        return self.scored and self.status != "stopped early"

    def line(self) -> dict[str, Any]:
        """Return its line of the leaderboard."""
        line: dict[str, Any] = {"candidate": self.name, "status": self.status}
        line |= {f"validation_{name}": self.validation.get(name) for name in SCORES}
        line |= {f"test_{name}": self.test.get(name) for name in SCORES}
        return line | {
            "validation_macro_f1_se": self.validation_macro_f1_se,
            "parameters": self.parameters,
            "mflops": None if self.flops is None else self.flops / 1e6,
            "latency_ms": self.latency_ms,
            "seconds": self.seconds,
            "weight": self.weight,
            "note": self.note,
        }

    def save(self, folder: Path) -> Record:
        """Keep it as NAME.json in a folder, and return it."""
        write_json(folder / f"{self.name}.json", dataclasses.asdict(self))
        return self


def load_record(folder: Path, name: str) -> Record | None:
    """Return a candidate's record from a folder, None if there is none."""
    file = folder / f"{name}.json"
    return Record(**read_json(file)) if file.is_file() else None


def leaderboard(records: Iterable[Record]) -> pd.DataFrame:
    """Return the table: the winner, others by validation macro-F1, baselines, stopped ones, those without scores."""
    table = pd.DataFrame([record.line() for record in records], columns=list(COLUMNS))
    order = table.assign(
        place=table["status"].map({"winner": 0, "baseline": 2, "stopped early": 3}).fillna(1)
        + 4 * table["validation_macro_f1"].isna(),
        score=-pd.to_numeric(table["validation_macro_f1"]),
    ).sort_values(["place", "score", "candidate"], kind="stable")
    found = table.loc[order.index].reset_index(drop=True)
    found[list(NUMBERS)] = found[list(NUMBERS)].apply(pd.to_numeric)
    return found
