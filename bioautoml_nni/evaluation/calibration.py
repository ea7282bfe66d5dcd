"""Calibration of probabilities: temperature scaling, expected calibration error, thresholds and prediction sets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from ..runtime.decisions import in_prediction_set
from .probabilities import Probabilities, row_blocks

BINS = 15


def negative_log_likelihood(logits: np.ndarray, target: np.ndarray, temperature: float = 1.0) -> float:
    """Return the mean of -log p(target) for logits (N, K) and class indices (N,), in nats."""
    losses = np.empty(len(target))
    for rows in row_blocks(logits):
        block = log_softmax(logits[rows].astype(np.float64, copy=False) / temperature, axis=1)
        losses[rows] = -block[np.arange(len(block)), target[rows]]
    return float(losses.mean())


def fit_temperature(logits: np.ndarray, target: np.ndarray) -> float:
    """Return the temperature between 0.05 and 20 with the least negative log-likelihood. Guo et al., arXiv 1706.04599.

    Args:
        logits: (N, K) of specimens that did not train the network.
        target: class indices (N,).
    """
    bounds = (math.log(0.05), math.log(20.0))
    found = minimize_scalar(
        lambda log: negative_log_likelihood(logits, target, math.exp(log)), bounds=bounds, method="bounded"
    )
    return round(math.exp(float(found.x)), 6)


def expected_calibration_error(
    probabilities: np.ndarray | Probabilities, target: np.ndarray, bins: int = BINS
) -> float:
    """Return the mean distance of confidence and accuracy over equally wide bins, weighted by their size."""
    rows = reliability(probabilities, target, bins)
    return sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / len(target)


def reliability(
    probabilities: np.ndarray | Probabilities, target: np.ndarray, bins: int = BINS
) -> list[dict[str, float]]:
    """Return mean confidence, accuracy and count of each bin of confidence that holds a specimen."""
    confidence, right = _confidence_and_right(probabilities, target)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        {
            "confidence": float(confidence[place == number].mean()),
            "accuracy": float(right[place == number].mean()),
            "count": int((place == number).sum()),
        }
        for number in range(bins)
        if (place == number).any()
    ]


def risk_by_coverage(probabilities: np.ndarray | Probabilities, target: np.ndarray) -> np.ndarray:
    """Return for each number 1..N of answered specimens, the surest first, the share of wrong answers (N,).

    The mean of these is the area under the risk-coverage curve. Geifman and El-Yaniv, arXiv 1705.08500.
    """
    confidence, right = _confidence_and_right(probabilities, target)
    order = np.argsort(-confidence, kind="stable")
    wrong = ~right[order]
    return np.cumsum(wrong) / np.arange(1, len(order) + 1)


def accuracy_thresholds(
    probabilities: np.ndarray | Probabilities, target: np.ndarray, wanted: Sequence[float]
) -> list[dict[str, float | None]]:
    """Return for each wanted accuracy the least confidence above which it holds, and the share of specimens there.

    The threshold is None where no confidence reaches the accuracy.

    >>> probabilities = np.array([[0.75, 0.25], [0.625, 0.375]])
    >>> accuracy_thresholds(probabilities, np.array([0, 1]), [0.9])
    [{'accuracy': 0.9, 'threshold': 0.75, 'coverage': 0.5}]
    """
    confidence, right = _confidence_and_right(probabilities, target)
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    confidence = confidence[order]
    last = np.append(confidence[1:] != confidence[:-1], True)  # equal confidences are accepted together
    rows: list[dict[str, float | None]] = []
    for share in wanted:
        good = np.flatnonzero((accuracy >= share) & last)
        count = int(good[-1]) + 1 if len(good) else 0
        threshold = float(confidence[count - 1]) if count else None
        rows.append({"accuracy": share, "threshold": threshold, "coverage": count / len(order)})
    return rows


def conformal_levels(
    probabilities: np.ndarray | Probabilities, target: np.ndarray, coverages: Sequence[float]
) -> dict[str, float]:
    """Return for each coverage the least probability with which a class belongs to the prediction set.

    Split conformal prediction with the score 1 - p(target). Sadinle et al., arXiv 1609.00451. A level of 0 means that
    there are too few specimens for that coverage, so that the set holds every class.

    >>> probabilities = np.array([[0.75, 0.25], [0.5, 0.5], [0.25, 0.75]])
    >>> conformal_levels(probabilities, np.array([0, 1, 1]), [0.5, 0.9])
    {'0.5': 0.75, '0.9': 0.0}
    """
    scores = np.sort(1 - Probabilities.of(probabilities).at(target))
    levels = {}
    for coverage in coverages:
        rank = math.ceil((len(scores) + 1) * coverage)
        levels[f"{coverage:g}"] = float(1 - scores[rank - 1]) if rank <= len(scores) else 0.0
    return levels


def prediction_sets(probabilities: np.ndarray | Probabilities, target: np.ndarray, level: float) -> dict[str, float]:
    """Return the level, how often the sets of it hold the truth, and how many classes they have on average."""
    held, sizes = np.empty(len(target), bool), np.empty(len(target), np.int64)
    for rows, block in Probabilities.of(probabilities).blocks():
        inside = in_prediction_set(block, level)
        held[rows] = inside[np.arange(len(inside)), target[rows]]
        sizes[rows] = inside.sum(axis=1)
    return {"level": level, "held": float(held.mean()), "mean_size": float(sizes.mean())}


def calibrated(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (N, K) of logits at a temperature, all at once."""
    return softmax(logits / temperature, axis=1)


def _confidence_and_right(
    probabilities: np.ndarray | Probabilities, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    found = Probabilities.of(probabilities)
    return found.confidence, found.predicted == target
