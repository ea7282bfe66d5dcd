"""The charts of a run's report, from the files of its stages."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from sklearn.metrics import roc_curve

from ..data import splits
from ..evaluation.areas import areas_under_curves, with_curves
from ..evaluation.calibration import reliability, risk_by_coverage
from ..evaluation.confusion import MAX_DRAWN, drawable
from ..evaluation.probabilities import Probabilities
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from ..utils.own_files import reading
from .charts import Axis, Series, line_chart, matrix_chart
from .words import counted

MAX_CURVES = 16
"""ROC curves that can be told apart."""
LOSSES = {"train_loss": "training", "alpha_loss": "architecture", "weights_loss": "weights", "val_loss": "validation"}
SCORES = {"val_macro_f1": "macro-F1", "val_accuracy": "accuracy", "derived_macro_f1": "macro-F1 of what is derived"}


@dataclass(frozen=True)
class Scored:
    """What the network says of the test split.

    Attributes:
        probabilities, shipped: (N, K) as trained, and after temperature scaling.
        target: class indices (N,).
    """

    probabilities: Probabilities
    shipped: Probabilities
    target: np.ndarray
    classes: list[str]

    @classmethod
    def of(cls, run: RunDirectory, data: PreparedData) -> Scored | None:
        """Return the answers of a run's evaluation; None for one that kept no logits of these specimens."""
        file = run / "evaluation/logits.npz"
        target = data.targets_of(splits.TEST)
        if not file.is_file():
            return None
        with reading(file), np.load(file) as kept:
            logits = kept["test"]
        if logits.shape != (len(target), len(data.classes)):
            return None
        temperature = run.calibration().temperature
        return cls(Probabilities(logits, 1.0), Probabilities(logits, temperature), target, data.classes)


def learning_curves(run: RunDirectory, stage: str) -> list[Markup]:
    """Return the charts of losses and validation scores over a stage's epochs; none for a single epoch."""
    history = run.history(stage)
    if len(history) < 2:
        return []
    losses = {key: name for key, name in LOSSES.items() if any(key in line for line in history)}
    if "weights_loss" in losses:
        losses.pop("train_loss", None)
    charts = [
        line_chart(_lines(history, losses), Axis("epoch", whole=True), Axis("loss"), f"Losses of the {stage}"),
        line_chart(
            _lines(history, SCORES), Axis("epoch", whole=True), Axis("validation score", 0, 1), f"Scores of the {stage}"
        ),
    ]
    return [chart for chart in charts if chart is not None]


def _lines(history: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[Series]:
    epochs = [line["epoch"] + 1 for line in history]
    return [
        Series(name, epochs, [float(line.get(key, math.nan)) for line in history])
        for key, name in names.items()
        if any(key in line for line in history)
    ]


def reliability_chart(scored: Scored) -> Markup | None:
    """Return how often the network is right against how sure it says that it is."""
    lines = []
    for name, values in (("as trained", scored.probabilities), ("after temperature scaling", scored.shipped)):
        bins = reliability(values, scored.target)
        x, y = ([row[key] for row in bins] for key in ("confidence", "accuracy"))
        tips = [counted(row["count"], "specimen") for row in bins]
        lines.append(Series(name, x, y, dots=True, tips=tips))
    return line_chart(
        lines, Axis("confidence", 0, 1), Axis("share that is right", 0, 1), "Reliability diagram", guide=True
    )


def risk_chart(scored: Scored) -> Markup | None:
    """Return the share of errors against the share of specimens that are answered, the surest first."""
    risks = risk_by_coverage(scored.shipped, scored.target)
    shares = np.arange(1, len(risks) + 1) / len(risks)
    return line_chart(
        [Series("wrong", shares.tolist(), risks.tolist())],
        Axis("share answered, the surest first", 0, 1),
        Axis("share that is wrong", 0, max(0.05, 1.1 * float(risks.max()))),
        "Errors by share of specimens answered",
    )


def roc_chart(scored: Scored, areas: np.ndarray | None = None) -> Markup | None:
    """Return ROC curves, one class against all others; None if no class has enough test specimens.

    Of more classes than curves can be told apart, those with the smallest and the largest areas are drawn.

    Args:
        areas: under the curve of each class (K,), where the evaluation has kept them all; computed otherwise.
    """
    drawn = with_curves(scored.target, len(scored.classes))
    if areas is None or len(areas) != len(scored.classes) or np.isnan(areas[drawn]).any():
        areas = areas_under_curves(scored.target, scored.probabilities)
    if len(drawn) > MAX_CURVES:
        ranked = drawn[np.argsort(areas[drawn], kind="stable")]
        drawn = np.concatenate([ranked[: MAX_CURVES // 2], ranked[-MAX_CURVES // 2 :]])
    lines = []
    for label in drawn.tolist():
        false, true, _ = roc_curve(scored.target == label, scored.probabilities.column(label))
        lines.append(Series(scored.classes[label], false.tolist(), true.tolist(), note=f"{areas[label]:.3f}"))
    return line_chart(
        lines, Axis("false positive rate", 0, 1), Axis("true positive rate", 0, 1), "ROC curves", guide=True
    )


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix as it is shown.

    Attributes:
        absent: classes that neither occur in the test split nor were ever answered, and are left out.
        rows: what its rows are: class; a coarser rank where there are too many classes for a page; or "class of the
            worst pairs" where no rank brings their number down.
    """

    absent: list[str]
    chart: Markup
    rows: str = "class"


def confusion(
    labels: Sequence[str], predicted: Sequence[str], classes: list[str], taxa: Mapping[str, Sequence[str]]
) -> Confusion:
    """Return the confusion matrix of answers.

    Args:
        labels, predicted: names of the true classes and of the answers.
        classes: all of them.
        taxa: taxon of every class by coarser rank.
    """
    places = {name: place for place, name in enumerate(classes)}
    target, answer = (np.array([places[name] for name in names], dtype=np.int64) for names in (labels, predicted))
    present = np.unique(np.concatenate([target, answer]))
    if len(present) > MAX_DRAWN:
        counts, names, rows = drawable(target, answer, classes, taxa)
        return Confusion([], matrix_chart(counts, names, f"Confusion matrix by {rows}: rows are true"), rows)
    absent = [name for number, name in enumerate(classes) if number not in set(present.tolist())]
    pairs = (np.searchsorted(present, target), np.searchsorted(present, answer))
    counts, names, _ = drawable(*pairs, [classes[place] for place in present], {})
    return Confusion(absent, matrix_chart(counts, names, "Confusion matrix: rows are true classes, columns answers"))
