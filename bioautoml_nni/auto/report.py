"""The page about a portfolio: leaderboard, score against cost, and why the winner won."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from ..data import splits
from ..evaluation.figures import PALETTE
from ..runs.prepared import PreparedData
from ..utils.atomic import write_text
from ..utils.progress import duration
from .attempt import doubt_unit
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
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string((files(__package__) / "auto.html.j2").read_text(encoding="utf-8"))
    folder, choice = finished.folder, finished.choice
    metrics = json.loads((folder / f"candidates/{choice.winner}/evaluation/metrics.json").read_text(encoding="utf-8"))
    baseline = next((record for record in records if record.status == "baseline"), None)
    html = template.render(
        name=data.run.experiment.name,
        brand=data.brand,
        choice=choice,
        limits=str(limits),
        minutes=f"{finished.minutes:g}",
        guesses=list(guesses),
        headings=list(HEADINGS.values()),
        lines=table_lines(finished.leaderboard),
        notes=[(record.name, record.note) for record in records if record.note],
        metrics=metrics,
        beats_baseline=None if baseline is None else _beats(records, choice.winner, baseline),
        sizes={part: int((data.part == part).sum()) for part in splits.PARTS},
        unit=data.run.experiment.data.split.group,
        doubt=doubt_unit(data),
        figure=score_figure(records, choice.winner, data.brand),
        report=f"candidates/{choice.winner}/report.html"
        if (folder / f"candidates/{choice.winner}/report.html").is_file()
        else None,
    )
    write_text(folder / "report.html", html)


def _beats(records: Sequence[Record], winner: str, baseline: Record) -> bool:
    own = next(record for record in records if record.name == winner)
    return own.validation["macro_f1"] > baseline.validation["macro_f1"] + (own.validation_macro_f1_se or 0.0)


def table_lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return texts of each line of the leaderboard, and whether it is the winner's."""
    lines = []
    for row in table.to_dict("records"):
        texts = [_text(name, row[name], row) for name in HEADINGS]
        lines.append({"texts": texts, "winner": row["status"] == "winner"})
    return lines


def _text(name: str, value: Any, row: dict[Any, Any]) -> str:
    if isinstance(value, str):
        return value
    if value is None or pd.isna(value):
        return "–"
    if name == "validation_macro_f1":
        return f"{value:.3f} ± {row['validation_macro_f1_se']:.3f}"
    if name == "parameters":
        return f"{value:,.0f}"
    if name == "seconds":
        return duration(value)
    digits = {"mflops": 1, "latency_ms": 2, "weight": 2}.get(name, 3)
    return f"{value:,.{digits}f}"


def score_figure(records: Sequence[Record], winner: str, brand: str = "") -> str:
    """Return a figure of validation macro-F1 against latency as a data URL; bars are standard errors."""
    shown = [record for record in records if record.scored and record.latency_ms is not None]
    figure = Figure(figsize=(8.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    for number, record in enumerate(shown):
        assert record.latency_ms is not None  # of those that are shown
        chosen = record.name == winner
        axes.errorbar(
            record.latency_ms, record.validation["macro_f1"], yerr=record.validation_macro_f1_se,
            fmt="*" if chosen else "o", markersize=15 if chosen else 7, capsize=3,
            color=PALETTE[number % len(PALETTE)],
            label=f"{record.name} ({record.parameters or 0:,} parameters)" + (", chosen" if chosen else ""),
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xlabel("latency of one specimen on one CPU thread, ms")
    axes.set_ylabel("macro-F1 on validation")
    axes.grid(alpha=0.3)
    if shown:
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    if brand:
        figure.suptitle(brand, color="#cf222e", fontsize=9, wrap=True)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
