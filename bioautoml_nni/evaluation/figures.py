"""Figures of an evaluation: confusion matrix, ROC curves and trust, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from ..utils.atomic import replacing
from .areas import with_curves
from .probabilities import Probabilities

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")
"""Colours that remain apart for colour-blind eyes (Okabe and Ito)."""
STYLES = ("-", "--", ":", "-.")
MAX_CURVES = 2 * len(PALETTE)
"""ROC curves that can be told apart."""


def confusion_figure(path: Path, counts: np.ndarray, classes: Sequence[str], brand: str = "") -> None:
    """Draw the row-normalised confusion matrix; cells show counts.

    Args:
        counts: specimens (k, k) by true and predicted class; see `confusion.drawable`.
        classes: names of rows and columns.
        brand: stands over the figure.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    edge = min(14.0, max(5.0, 0.48 * len(classes) + 2))
    figure = Figure(figsize=(edge + 0.6, edge), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(classes)), classes, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    if len(classes) <= 30:
        for row, column in np.argwhere(counts):
            colour = "white" if shares[row, column] > 0.55 else "#1b1f24"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.75)
    _save(figure, path, brand)


def roc_figure(
    path: Path,
    target: np.ndarray,
    probabilities: np.ndarray | Probabilities,
    classes: Sequence[str],
    brand: str = "",
    areas: np.ndarray | None = None,
) -> None:
    """Draw one-vs-rest ROC curves of the classes with at least ten positives in the test split.

    Of more classes than there are line styles, those with the smallest and the largest areas are drawn.

    Args:
        areas: under the curve of each class (K,), where they are known; missing values are no curves.
    """
    found = Probabilities.of(probabilities)
    figure = Figure(figsize=(8.2, 5.2), layout="constrained")
    axes = figure.add_subplot()
    drawn = with_curves(target, len(classes))
    left_out = len(drawn) - MAX_CURVES
    if left_out > 0 and areas is not None:
        ranked = drawn[np.argsort(areas[drawn], kind="stable")]
        drawn = np.concatenate([ranked[: MAX_CURVES // 2], ranked[-MAX_CURVES // 2 :]])
        axes.set_title(f"the {MAX_CURVES // 2} smallest and largest areas; {left_out} classes lie between", fontsize=9)
    for number, label in enumerate(drawn.tolist()):
        false, true, _ = roc_curve(target == label, found.column(label))
        area = np.trapezoid(true, false)
        style = STYLES[number // len(PALETTE) % len(STYLES)]
        axes.plot(false, true, style, color=PALETTE[number % len(PALETTE)], label=f"{classes[label]} ({area:.2f})")
    axes.plot([0, 1], [0, 1], color="#8c959f", linewidth=0.8)
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    if len(drawn):
        figure.legend(loc="outside right upper", title="class (area)", fontsize=8)
    else:
        axes.set_title("no class has ten test specimens")
    _save(figure, path, brand)


def trust_figure(
    path: Path,
    reliabilities: Mapping[str, Sequence[Mapping[str, float]]],
    risks: np.ndarray,
    brand: str = "",
) -> None:
    """Draw whether confidence can be trusted: reliability diagram, and errors against the share that is answered.

    Args:
        reliabilities: for each name in the legend the bins of `reliability`.
        risks: the curve of `risk_by_coverage` (N,).
    """
    figure = Figure(figsize=(8.2, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color="#8c959f", linewidth=0.8)
    for colour, (name, bins) in zip(PALETTE, reliabilities.items(), strict=False):
        confidence, accuracy = ([row[key] for row in bins] for key in ("confidence", "accuracy"))
        left.plot(confidence, accuracy, "o-", color=colour, label=name, markersize=4)
    left.set_xlabel("confidence")
    left.set_ylabel("share that is right")
    left.legend(fontsize=8)
    left.set_title("reliability", fontsize=10)
    right.plot(np.arange(1, len(risks) + 1) / len(risks), risks, color=PALETTE[0])
    right.set_xlabel("share of specimens answered, the surest first")
    right.set_ylabel("share that is wrong")
    right.set_ylim(0, max(0.05, 1.1 * float(risks.max())))
    right.set_title("errors by coverage", fontsize=10)
    for axes in (left, right):
        axes.set_xlim(0, 1)
        axes.grid(alpha=0.25)
    _save(figure, path, brand)


def _save(figure: Figure, path: Path, brand: str) -> None:
    if brand:
        heading = figure.get_suptitle()
        figure.suptitle(f"{heading}\n{brand}".strip(), color="#b00020", fontsize=9, wrap=True)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
