"""Draws score against MFLOPs of all networks with committed results on fold 4 of neon_pitfall (benchmarks/results).

    python benchmarks/score_against_cost.py

Points are means over seeds, bars their standard deviations where there are several. Written:
docs/images/pitfall_cost.svg, readable on light and on dark pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pandas as pd

matplotlib.use("svg")
from matplotlib import pyplot

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
TARGET = HERE.parent / "docs" / "images" / "pitfall_cost.svg"
FOLD = "4"
GREY = "#7f7f7f"  # as far from white as from black
KINDS = {
    "searched": ("o", "#1f83d6"),
    "random cells": ("s", "#d6762c"),
    "on an encoder, nothing searched": ("^", "#8d6fd1"),
    "of timm, by the student's recipe and teacher": ("D", "#3c9a52"),
}
TICKS = (2, 5, 10, 20, 50, 100, 200, 400)
COLUMNS = ((0, 11, True), (11, 30, False), (30, 150, True), (150, 1000, True))
"""Points that stand below one another, from and to so many MFLOPs, and whether their names are on their left."""
COMPARED = {
    "as_configured": "from scratch, 64 px",
    "random": "random, from scratch",
    "nni_darts": "NNI's DARTS, from scratch",
}

LEFT_OUT = {
    "student", "student, split of seed 0", "student with a trained trunk",
    "linear head, refit, as 64 features", "searched cells, all open", "random cells, all open",
    "random cells as a student, 60 epochs, split of seed 0", "student, 60 epochs, other temperatures",
    "student, 60 epochs, split of seed 0", "student, eight views, teacher not refitted",
}  # fmt: skip
"""Rows that others have replaced, or that stand in the tables alone."""
BEFORE = ", variance 1"
"""How rows end that were measured when every feature of an embedding still had variance 1."""


def points() -> Iterator[dict[str, object]]:
    """Yield name, kind, MFLOPs and scores of every committed result of fold 4 with images and measurements."""
    for file in ("pitfall_probe.csv", "pitfall_transfer.csv"):
        table = pd.read_csv(RESULTS / file, dtype={"fold": str})
        for _, row in table[(table["fold"] == FOLD) & (table["modality"] == "fused")].iterrows():
            name = row["row"].partition(", architecture")[0]
            if name in LEFT_OUT or row["row"].endswith(BEFORE):
                continue
            yield {"name": name, "kind": kind_of(name), **row[["mflops", "accuracy", "macro_f1"]]}
    for _, row in pd.read_csv(RESULTS / "pitfall_compare.csv").iterrows():
        if row["row"] in COMPARED:
            cost = {"mflops": row["flops"] / 1e6, "accuracy": row["accuracy"], "macro_f1": row["macro_f1"]}
            yield {"name": COMPARED[row["row"]], "kind": kind_of(COMPARED[row["row"]]), **cost}
    students = RESULTS / "pitfall_student.csv"
    table = pd.read_csv(students, keep_default_na=False) if students.is_file() else pd.DataFrame(columns=["row"])
    for _, row in table[~table["row"].isin(LEFT_OUT) & ~table["row"].astype(str).str.endswith(BEFORE)].iterrows():
        taught = "without teacher" if row["teacher"] == "none" else "with teacher"
        own = str(row["row"]).startswith("student")
        name = f"{str(row['row']).partition(',')[0]}, {taught}" if own else str(row["row"])
        kind = "searched" if own else "of timm, by the student's recipe and teacher"
        yield {"name": name, "kind": kind, **row[["mflops", "accuracy", "macro_f1"]]}


def kind_of(name: str) -> str:
    """Return the kind of a row by its name."""
    if "random" in name:
        return "random cells"
    unsearched = name.startswith(("probe", "linear head", "fine-tuned"))
    return "on an encoder, nothing searched" if unsearched else "searched"


def draw() -> None:
    """Write the figure."""
    table = pd.DataFrame(points()).astype({"mflops": float, "accuracy": float, "macro_f1": float})
    means = table.groupby(["kind", "name"], sort=False).agg(["mean", "std"])
    settings = {"svg.fonttype": "none", "font.size": 9, "svg.hashsalt": "pitfall", "font.family": "sans-serif"}
    settings |= dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), GREY)
    with pyplot.rc_context(settings):
        figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
        for axis, (score, title) in zip(axes, {"accuracy": "accuracy", "macro_f1": "macro-F1"}.items(), strict=True):
            draw_score(axis, means, score, title)
        handles, labels = axes[0].get_legend_handles_labels()
        unique = dict(zip(labels, handles, strict=True))
        figure.legend(unique.values(), unique.keys(), loc="outside lower center", ncols=4, frameon=False)
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(TARGET, transparent=True, metadata={"Date": None})
    print(means.round(4).to_string())


def draw_score(axis: pyplot.Axes, means: pd.DataFrame, score: str, title: str) -> None:
    """Draw one score of all rows, each with its name."""
    for (kind, _), row in means.iterrows():
        marker, colour = KINDS[kind]
        cost, value, error = row["mflops", "mean"], row[score, "mean"], row[score, "std"]
        axis.errorbar(
            cost, value, None if pd.isna(error) else error, marker=marker, color=colour, linestyle="", label=kind,
            capsize=2, markersize=6,
        )  # fmt: skip
    axis.set_xscale("log")
    axis.set_xlim(means["mflops", "mean"].min() / 5, means["mflops", "mean"].max() * 1.25)
    axis.set_xticks(TICKS, map(str, TICKS))
    axis.set_xticks([], minor=True)
    axis.set_xlabel("MFLOPs of one specimen (a multiply-add counts as two)")
    axis.set_title(f"{title}, fold 4", color=GREY)
    axis.grid(alpha=0.25, color=GREY)
    axis.spines[["top", "right"]].set_visible(False)
    name_points(axis, means, score)


def name_points(axis: pyplot.Axes, means: pd.DataFrame, score: str) -> None:
    """Write the names beside the points, those that would overlap below one another."""
    low, high = axis.get_ylim()
    least = (high - low) / 26
    for cheapest, dearest, left in COLUMNS:
        column = means[means["mflops", "mean"].between(cheapest, dearest)]
        rows = [(name, row) for (_, name), row in column.iterrows()]
        last = float("inf")
        for name, row in sorted(rows, key=lambda entry: -entry[1][score, "mean"]):
            last = min(row[score, "mean"], last - least)
            axis.annotate(
                name, (row["mflops", "mean"], row[score, "mean"]), (-14 if left else 14, last),
                textcoords=("offset points", "data"), fontsize=7.5, va="center", ha="right" if left else "left",
                color=GREY, arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.4, "shrinkB": 3},
            )  # fmt: skip


if __name__ == "__main__":
    draw()
