"""A weighted mean of candidates, by greedy selection on validation.

Caruana et al., Ensemble Selection from Libraries of Models, ICML 2004: starting from nothing, add (with replacement)
the candidate that makes the mean's score highest; how often each was added is its weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.metrics import f1_score, log_loss
from sklearn.model_selection import GroupKFold, StratifiedKFold

ROUNDS, FOLDS = 20, 5

Fits = Callable[[np.ndarray], bool]
"""Whether the device has room for the candidates with these weights (C,)."""


def select(
    probabilities: Sequence[np.ndarray], target: np.ndarray, fits: Fits = lambda weights: True, rounds: int = ROUNDS
) -> np.ndarray:
    """Return weights (C,) that sum to one; the best of all rounds, the earliest of equals.

    Args:
        probabilities: (M, K) of each candidate.
        target: class indices (M,).
        fits: candidates are not added where it says no.
    """
    counts = np.zeros(len(probabilities))
    best, best_counts = (-1.0, 0.0), counts
    for _ in range(rounds):
        total = sum((count * values for count, values in zip(counts, probabilities, strict=True)), start=0.0)
        trials = []
        for index, values in enumerate(probabilities):
            added = counts + (np.arange(len(counts)) == index)
            if fits(added / added.sum()):
                trials.append((*_quality((total + values) / added.sum(), target), -index))
        if not trials:
            break
        *found, index = max(trials)
        counts = counts + (np.arange(len(counts)) == -index)
        if tuple(found) > best:
            best, best_counts = (found[0], found[1]), counts
    return best_counts / max(1.0, best_counts.sum())


def cross_fitted(
    probabilities: Sequence[np.ndarray],
    target: np.ndarray,
    groups: np.ndarray | None,
    fits: Fits = lambda weights: True,
) -> np.ndarray | None:
    """Return the ensemble's probabilities (M, K) for specimens on which its weights were not chosen.

    Weights that are chosen on the specimens which score them score too well; each fold is answered with the weights of
    the other folds, and no group is in two.

    Returns:
        None where there are too few groups or specimens to do so.
    """
    units = len(target) if groups is None else len(np.unique(groups))
    folds = min(FOLDS, units)
    smallest = int(np.bincount(target)[np.unique(target)].min())
    if folds < 2 or (groups is None and smallest < 2):
        return None
    if groups is None:
        splitter = StratifiedKFold(min(folds, smallest), shuffle=True, random_state=0).split(target, target)
    else:
        splitter = GroupKFold(folds).split(target, target, groups)
    mixed = np.zeros_like(probabilities[0])
    for chosen_on, answered in splitter:
        weights = select([values[chosen_on] for values in probabilities], target[chosen_on], fits)
        mixed[answered] = mix([values[answered] for values in probabilities], weights)
    return mixed


def mix(probabilities: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean (M, K)."""
    return np.tensordot(weights, np.stack(probabilities), axes=1)


def _quality(probabilities: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return macro-F1 and, which decides between equals, the mean log-likelihood."""
    score = float(f1_score(target, probabilities.argmax(1), average="macro", zero_division=0))
    return round(score, 12), -float(log_loss(target, probabilities, labels=np.arange(probabilities.shape[1])))
