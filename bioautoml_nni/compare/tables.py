"""The tables of a comparison: every run as CSV, means and spreads as Markdown and HTML."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from ..artifacts.comparison import Comparison
from ..config import Experiment
from ..data.own_csv import csv_text
from ..registry import get
from ..report.page import render
from ..utils.atomic import write_text

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "tail_f1")
COSTS = ("parameters", "flops", "latency_ms", "search_seconds", "train_seconds")
HEADINGS = {
    "row": "row", "seeds": "seeds", "accuracy": "accuracy", "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1", "tail_f1": "tail F1", "against": "p against random", "parameters": "parameters",
    "flops": "MFLOPs", "latency_ms": "latency, ms", "search_seconds": "search, s", "train_seconds": "training, s",
}  # fmt: skip
REFERENCE = "random"


def write_tables(runs: pd.DataFrame, experiment: Experiment, output: Path, data_sha256: str) -> None:
    """Write compare.csv, and compare.md, compare.html and compare.json with rows by macro-F1, the best first.

    Args:
        runs: a line for each row and seed.
        data_sha256: digest of the data that all rows were scored on; it tells a report whether the table is
            about its run.
    """
    lines = summary_lines(runs)
    split = experiment.data.split
    by = split.group or split.column
    caption = (
        f"{experiment.name}: test split (split: {split.method}{f' by {by}' if by else ''}), seeds "
        f"{', '.join(map(str, sorted(runs['seed'].unique())))}; mean ± standard deviation over seeds. Tail: classes "
        "with fewer than 20 training specimens. p: paired t-test of macro-F1 over seeds against random architectures "
        "of the same space, if both have at least two. Latency: one specimen, one CPU thread. With --jobs above one, "
        "times are of runs side by side."
    )
    headings = list(HEADINGS.values())
    rows = ["| " + " | ".join(headings) + " |", "|---|" + "---:|" * (len(headings) - 1)]
    rows += ["| " + " | ".join(line) + " |" for line in lines]
    write_text(output / "compare.csv", csv_text(runs))
    write_text(output / "compare.md", "\n".join([*rows, "", caption, ""]))
    html = render("compare.html.j2", __package__, name=experiment.name, headings=headings, lines=lines, caption=caption)
    write_text(output / "compare.html", html)
    rows_mean = {str(row): get("methods", str(row).partition(":")[0]).description for row in runs["row"].unique()}
    table = Comparison(data_sha256=data_sha256, caption=caption, headings=headings, lines=lines, rows=rows_mean)
    table.write(output / "compare.json")


def summary_lines(runs: pd.DataFrame) -> list[list[str]]:
    """Return one line of texts per row, in the order of `HEADINGS`."""
    means = runs.groupby("row")["macro_f1"].mean().sort_values(ascending=False, kind="stable")
    lines = []
    for row in means.index:
        own = runs[runs["row"] == row]
        texts = {"row": str(row), "seeds": str(len(own)), "against": _against_reference(runs, str(row))}
        texts |= {score: _spread(own[score]) for score in SCORES}
        texts |= {cost: _cost(cost, own[cost]) for cost in COSTS}
        lines.append([texts[name] for name in HEADINGS])
    return lines


def paired_p_value(runs: pd.DataFrame, row: str, other: str) -> float | None:
    """Return the p-value of a paired t-test of two rows' macro-F1 over their common seeds; None below two seeds."""
    scores = runs.pivot(index="seed", columns="row", values="macro_f1")
    if row == other or row not in scores or other not in scores:
        return None
    both = scores[[row, other]].dropna()
    differences = both[row] - both[other]
    if len(both) < 2 or np.allclose(differences, differences.iloc[0]):
        return None
    return float(stats.ttest_rel(both[row], both[other]).pvalue)


def _against_reference(runs: pd.DataFrame, row: str) -> str:
    p = paired_p_value(runs, row, REFERENCE)
    return "–" if p is None else f"{p:.2f}" if p >= 0.01 else f"{p:.1g}"


def _spread(values: pd.Series) -> str:
    known = values.dropna().astype(float)
    if known.empty:
        return "–"
    return f"{known.mean():.3f}" + (f" ± {known.std():.3f}" if len(known) > 1 else "")


def _cost(name: str, values: pd.Series) -> str:
    known = values.dropna().astype(float)
    if known.empty:
        return "–"
    mean = known.mean()
    if name == "flops":
        return f"{mean / 1e6:,.1f}"
    return f"{mean:,.2f}" if name == "latency_ms" else f"{mean:,.0f}"
