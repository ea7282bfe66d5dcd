"""Tables of a report that come from the files of a run: classes, comparison, successive halving, evolution."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ..architecture.topology import EDGE
from ..artifacts.comparison import Comparison
from ..derivation.evolution import scored_candidates
from ..runs.directory import RunDirectory
from ..utils.own_files import read_json
from .page import score
from .words import percent, thousands

SHOWN_CANDIDATES = 10
"""Of those that evolution tried."""


def comparison_table(run: RunDirectory) -> Comparison | None:
    """Return the table of the comparison that was shown to this run, if it is about the data of today."""
    file = run / "evaluation/comparison.json"
    if not file.is_file():
        return None
    table = Comparison.read(file)
    return table if table.data_sha256 == run.provenance().data_sha256 else None


def halving_table(run: RunDirectory) -> dict[str, Any] | None:
    """Return what successive halving saw, the candidates that came furthest first; None without it."""
    file = run / "derive/halving.json"
    if run.experiment.derivation.method != "successive_halving" or not file.is_file():
        return None
    record = read_json(file)
    rounds = record["rounds"]
    rows = [
        {
            "number": number + 1,
            "parameters": candidate["parameters"],
            "scores": [entry["scores"].get(str(number)) for entry in rounds],
            "kept": number == record["winner"],
        }
        for number, candidate in enumerate(record["candidates"])
    ]
    reached = {row["number"]: [score for score in row["scores"] if score is not None] for row in rows}
    rows.sort(key=lambda row: (not row["kept"], -len(reached[row["number"]]), -reached[row["number"]][-1]))
    return {"epochs": [entry["epochs"] for entry in rounds], "rows": rows}


def _choices_text(choices: dict[str, str]) -> str:
    return ", ".join(f"{label.replace(EDGE, ' ').replace('_', '–')}: {choice}" for label, choice in choices.items())


def evolution_table(run: RunDirectory) -> dict[str, Any] | None:
    """Return the best candidates that the supernet's weights scored, and how many there were; None without them."""
    lines = scored_candidates(run)
    if not lines:
        return None
    order = sorted(range(len(lines)), key=lambda number: -lines[number]["score"])
    best = [
        {"number": number + 1, "score": lines[number]["score"], "choices": _choices_text(lines[number]["choices"])}
        for number in order[:SHOWN_CANDIDATES]
        if lines[number]["score"] >= 0
    ]
    return {"count": len(lines), "rejected": sum(line["score"] < 0 for line in lines), "best": best}


def class_texts(per_class: pd.DataFrame) -> list[list[str]]:
    """Return the rows of the table of classes as the page writes them."""
    return [
        [
            str(row["class"]), thousands(row["train"]), thousands(row["test"]),
            *([percent(row["precision"]), percent(row["recall"]), score(row["f1"])] if row["test"] else ["–"] * 3),
            score(row["auc"]),
        ]
        for row in per_class.to_dict("records")
    ]  # fmt: skip
