"""The charts of a run's report, from the files of its stages."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from sklearn.metrics import confusion_matrix, roc_auc_score, roc_curve

from ..data import splits
from ..evaluation.calibration import calibrated, reliability, risk_by_coverage
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from ..training.history import read_history
from .charts import Axis, Series, line_chart, matrix_chart
from .words import counted

LEAST_SPECIMENS = 10
"""Test specimens of a class below which its ROC curve is a few steps."""
LARGEST_MATRIX = 60
"""Classes above which a matrix has more cells than a page can show."""
LOSSES = {"train_loss": "training", "alpha_loss": "architecture", "weights_loss": "weights", "val_loss": "validation"}
SCORES = {"val_macro_f1": "macro-F1", "val_accuracy": "accuracy", "derived_macro_f1": "macro-F1 of what is derived"}


@dataclass(frozen=True)
class Scored:
    """What the network says of the test part.

    Attributes:
        probabilities, shipped: (N, K) as trained, and after temperature scaling.
        target: class indices (N,).
    """

    probabilities: np.ndarray
    shipped: np.ndarray
    target: np.ndarray
    classes: list[str]

    @classmethod
    def of(cls, run: RunDirectory, data: PreparedData) -> Scored | None:
        """Return the answers of a run's evaluation; None for one that kept no logits of these specimens."""
        file = run / "evaluation/logits.npz"
        target = data.targets[(data.part == splits.TEST).to_numpy()]
        if not file.is_file():
            return None
        logits = np.load(file)["test"]
        if logits.shape != (len(target), len(data.classes)):
            return None
        temperature = json.loads((run / "evaluation/calibration.json").read_text(encoding="utf-8"))["temperature"]
        return cls(calibrated(logits, 1.0), calibrated(logits, temperature), target, data.classes)


def learning_curves(run: RunDirectory, stage: str) -> list[Markup]:
    """Return the charts of losses and validation scores over a stage's epochs; none for a single epoch."""
    history = read_history(run / stage / "history.jsonl")
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


def roc_chart(scored: Scored) -> Markup | None:
    """Return ROC curves, one class against all others; None if no class has enough test specimens."""
    lines = []
    for label, name in enumerate(scored.classes):
        positive = scored.target == label
        if LEAST_SPECIMENS <= positive.sum() < len(positive):
            false, true, _ = roc_curve(positive, scored.probabilities[:, label])
            area = roc_auc_score(positive, scored.probabilities[:, label])
            lines.append(Series(name, false.tolist(), true.tolist(), note=f"{area:.3f}"))
    return line_chart(
        lines, Axis("false positive rate", 0, 1), Axis("true positive rate", 0, 1), "ROC curves", guide=True
    )


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix as it is shown.

    Attributes:
        absent: classes that neither occur in the test part nor were ever answered, and are left out.
        chart: None for more classes than a page can show.
    """

    absent: list[str]
    chart: Markup | None


def confusion(labels: Sequence[str], predicted: Sequence[str], classes: list[str]) -> Confusion:
    """Return the confusion matrix of answers."""
    counts = confusion_matrix(labels, predicted, labels=classes)
    present = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    absent = [name for number, name in enumerate(classes) if number not in set(present.tolist())]
    if len(present) > LARGEST_MATRIX:
        return Confusion(absent, None)
    title = "Confusion matrix: rows are true classes, columns answers"
    return Confusion(absent, matrix_chart(counts[np.ix_(present, present)], [classes[at] for at in present], title))
