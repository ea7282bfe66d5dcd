"""Areas under the ROC curves of many classes, each against all others, by ranks."""

from __future__ import annotations

import math

import numpy as np

from .probabilities import BLOCK, Probabilities

MIN_POSITIVES = 10
"""Specimens of a class below which its ROC curve is a few steps."""


def with_curves(target: np.ndarray, classes: int) -> np.ndarray:
    """Return the classes that have enough specimens for a curve, and not all of them.

    Args:
        target: class indices (N,).
        classes: number of classes, K.
    """
    support = np.bincount(target, minlength=classes)
    return np.flatnonzero((support >= MIN_POSITIVES) & (support < len(target)))


def areas_under_curves(target: np.ndarray, probabilities: Probabilities) -> np.ndarray:
    """Return the one-vs-rest area of each class (K,), those of scikit-learn's `roc_auc_score`; missing without a curve.

    An area is the share of pairs of a specimen of the class and another one in which the first is given the larger
    probability, where ties count half: the sum of the positives' mid-ranks, less the smallest that it can be, by the
    number of pairs. Columns are sorted in blocks, so that N x K probabilities cost N K log N and are never held whole.

    Args:
        target: class indices (N,).
        probabilities: of N specimens and K classes.
    """
    areas = np.full(probabilities.classes, np.nan)
    scored = with_curves(target, probabilities.classes)
    by_class = np.argsort(target, kind="stable")
    starts = np.searchsorted(target[by_class], np.arange(probabilities.classes + 1))
    width = max(1, BLOCK // max(1, len(target)))
    for start in range(0, len(scored), width):
        labels = scored[start : start + width]
        columns = probabilities.columns(labels)
        members = [by_class[starts[label] : starts[label + 1]] for label in labels]
        positives = [column[own] for column, own in zip(columns, members, strict=True)]
        columns.sort(axis=1)
        areas[labels] = [_area(own, column) for own, column in zip(positives, columns, strict=True)]
    return areas


def _area(positives: np.ndarray, ascending: np.ndarray) -> float:
    """Return the area by the values of the positives (P,) and of all, in ascending order (N,); none of what is NaN."""
    if np.isnan(ascending[-1]):
        return math.nan
    before, up_to = (np.searchsorted(ascending, positives, side) for side in ("left", "right"))
    count = len(positives)
    doubled = int(before.sum()) + int(up_to.sum()) + count  # a mid-rank is (before + 1 + up to) / 2
    return (doubled - count * (count + 1)) / (2 * count * (len(ascending) - count))
