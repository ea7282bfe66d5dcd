"""The page about a portfolio: leaderboard, score against cost, and why the winner won."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from ..artifacts.metrics import Metrics
from ..registry import plugins
from ..report.charts import Axis, Series, line_chart
from ..report.page import render
from ..report.words import counted, thousands
from ..runs.prepared import PreparedData
from ..utils.atomic import write_text
from ..utils.progress import duration
from .attempt import doubt_unit
from .halving import FILE, Halving
from .limits import Limits
from .records import Record

if TYPE_CHECKING:
    from .portfolio import Finished

HEADINGS = {
    "candidate": "candidate", "status": "status", "validation_macro_f1": "macro-F1, validation",
    "validation_accuracy": "accuracy, validation", "test_macro_f1": "macro-F1, test", "test_accuracy": "accuracy, test",
    "test_balanced_accuracy": "balanced accuracy, test", "parameters": "parameters", "mflops": "MFLOPs",
    "latency_ms": "latency, ms", "seconds": "took", "weight": "weight",
}  # fmt: skip
"""Columns of the leaderboard that are shown, with their headings."""


def write_report(
    finished: Finished, data: PreparedData, records: Sequence[Record], limits: Limits, guesses: Sequence[str]
) -> None:
    """Write report.html beside the leaderboard. Whatever came out of a table is escaped."""
    folder, choice, known = finished.folder, finished.choice, plugins("candidates")
    metrics = Metrics.read(folder / f"candidates/{choice.winner}/evaluation/metrics.json").shown()
    baseline = next((record for record in records if record.status == "baseline"), None)
    html = render(
        "auto.html.j2", __package__,
        name=data.run.experiment.name,
        brand=data.brand,
        choice=choice,
        limits_of_device=str(limits),
        minutes=f"{finished.minutes:g}",
        guesses=list(guesses),
        headings=list(HEADINGS.values()),
        lines=table_lines(finished.leaderboard),
        halved=[sentence for state in Halving.load(folder / FILE).values() for sentence in state.sentences()],
        notes=[(record.name, record.note) for record in records if record.note],
        described=[
            (name, known[name].description if name in known else "A weighted mean of the others, as one file.")
            for name in finished.leaderboard["candidate"]
        ],
        metrics=metrics,
        beats_baseline=None if baseline is None else _beats(records, choice.winner, baseline),
        sizes=data.sizes(),
        unit=data.run.experiment.data.split.group,
        doubt=doubt_unit(data),
        figure=score_chart(records, choice.winner),
        folder=shlex.quote(str(folder)),
        report=f"candidates/{choice.winner}/report.html"
        if (folder / f"candidates/{choice.winner}/report.html").is_file()
        else None,
    )  # fmt: skip
    write_text(folder / "report.html", html)


def _beats(records: Sequence[Record], winner: str, baseline: Record) -> bool:
    own = next(record for record in records if record.name == winner)
    return own.validation["macro_f1"] > baseline.validation["macro_f1"] + (own.validation_macro_f1_se or 0.0)


def table_lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the cells of each line of the leaderboard, a text and what it is sorted by, and whether it won."""
    lines = []
    for row in table.to_dict("records"):
        cells = [(_text(name, row[name], row), _sorted_by(row[name])) for name in HEADINGS]
        lines.append({"cells": cells, "winner": row["status"] == "winner"})
    return lines


def _sorted_by(value: Any) -> float | None:
    return None if isinstance(value, str) or value is None or pd.isna(value) else float(value)


def _text(name: str, value: Any, row: dict[Any, Any]) -> str:
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return "–"
    if name == "validation_macro_f1":
        error = row["validation_macro_f1_se"]
        return f"{value:.3f} ± {error:.3f}" if pd.notna(error) else f"{value:.3f}, early"
    if name == "parameters":
        return thousands(value)
    if name == "seconds":
        return duration(value)
    digits = {"mflops": 1, "latency_ms": 2, "weight": 2}.get(name, 3)
    return f"{value:.{digits}f}"


def score_chart(records: Sequence[Record], winner: str) -> Markup | None:
    """Return a chart of validation macro-F1 against latency; bars are standard errors."""
    series = [
        Series(
            record.name + (", chosen" if record.name == winner else ""),
            [record.latency_ms], [record.validation["macro_f1"]], points=True,
            spread=[record.validation_macro_f1_se or 0.0],
            note="" if record.parameters is None else counted(record.parameters, "parameter"),
        )
        for record in records
        if record.scored and record.latency_ms is not None
    ]  # fmt: skip
    cost = Axis("latency of one specimen on one CPU thread, ms", log=True)
    return line_chart(series, cost, Axis("macro-F1 on validation"), "Macro-F1 on validation against latency")
