"""Bootstrap intervals of scores, over groups of specimens that belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

NAMES = ("accuracy", "balanced_accuracy", "macro_f1")


def bootstrap(
    target: np.ndarray, predicted: np.ndarray, groups: np.ndarray | None, *, resamples: int = 1000, seed: int = 0
) -> np.ndarray:
    """Return scores (resamples, 3), in the order of `NAMES`, of test splits drawn with replacement.

    Whole groups are drawn, since specimens of one trap event or site resemble each other: intervals over single
    specimens would be too narrow. Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 8.

    Args:
        target: class indices (N,).
        predicted: class indices (N,).
        groups: group of each specimen (N,), or None when each stands for itself.
    """
    codes = np.arange(len(target)) if groups is None else pd.factorize(groups)[0]
    count, classes = int(codes.max()) + 1, int(max(target.max(), predicted.max())) + 1
    rng = np.random.default_rng(seed)
    right = target == predicted
    scores = np.empty((resamples, len(NAMES)))
    for number in range(resamples):
        weights = np.bincount(rng.integers(count, size=count), minlength=count)[codes].astype(np.float64)
        true = np.bincount(target, weights, classes)
        claimed = np.bincount(predicted, weights, classes)
        hits = np.bincount(target[right], weights[right], classes)
        scores[number] = scores_of_counts(true, claimed, hits)
    return scores


def scores_of_counts(true: np.ndarray, claimed: np.ndarray, hits: np.ndarray) -> tuple[float, float, float]:
    """Return accuracy, balanced accuracy and macro-F1 from counts per class, as scikit-learn defines them.

    Args:
        true: specimens of each class (K,).
        claimed: predictions of each class (K,).
        hits: right predictions of each class (K,).
    """
    f1 = 2 * hits[true + claimed > 0] / (true + claimed)[true + claimed > 0]
    return float(hits.sum() / true.sum()), float((hits[true > 0] / true[true > 0]).mean()), float(f1.mean())


def intervals(
    target: np.ndarray, predicted: np.ndarray, groups: np.ndarray | None, *, level: float = 0.95, seed: int = 0
) -> dict[str, Any]:
    """Return percentile intervals [low, high] of the three scores by name, and what they were made of."""
    scores = bootstrap(target, predicted, groups, seed=seed)
    tails = (50 * (1 - level), 100 - 50 * (1 - level))
    low, high = np.percentile(scores, tails, axis=0)
    units = len(target) if groups is None else int(pd.Series(groups).nunique())
    found = {name: [float(low[index]), float(high[index])] for index, name in enumerate(NAMES)}
    return {"level": level, "resamples": len(scores), "units": units, **found}
