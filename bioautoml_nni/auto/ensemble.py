"""A weighted mean of candidates, by greedy selection on validation.

Caruana et al., Ensemble Selection from Libraries of Models, ICML 2004: starting from nothing, add (with replacement)
the candidate that makes the mean's score highest; how often each was added is its weight. Rare classes of a few
validation specimens decide macro-F1, and weights that follow it follow chance; the log-likelihood, which every specimen
decides, gives steadier ones, and macro-F1 has the last word. As there, selection starts from several good candidates
once each, so that few weights are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.model_selection import GroupKFold, KFold

from .choice import resampled_macro_f1

ROUNDS, FOLDS = 20, 5
MIN_PROBABILITY = 1e-12

Fits = Callable[[np.ndarray], bool]
"""Whether the device has room for the candidates with these weights (C,)."""


def by_macro_f1(probabilities: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return macro-F1 over classes that occur or are named and, which decides between equals, the log-likelihood."""
    classes, predicted = probabilities.shape[1], probabilities.argmax(1)
    right = np.bincount(target[predicted == target], minlength=classes)
    both = np.bincount(target, minlength=classes) + np.bincount(predicted, minlength=classes)
    score = float((2 * right[both > 0] / both[both > 0]).mean())
    return round(score, 12), by_likelihood(probabilities, target)[0]


def by_likelihood(probabilities: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Return the mean log-likelihood; nothing decides between equals."""
    return float(log_likelihoods(probabilities, target).mean()), 0.0


def log_likelihoods(probabilities: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return that of each specimen (M,)."""
    own = probabilities[np.arange(len(target)), target] / probabilities.sum(1)
    return np.log(np.maximum(own, MIN_PROBABILITY))


def select(
    probabilities: Sequence[np.ndarray],
    target: np.ndarray,
    fits: Fits = lambda weights: True,
    rounds: int = ROUNDS,
    score: Callable[[np.ndarray, np.ndarray], tuple[float, float]] = by_macro_f1,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Return weights (C,) that sum to one; the best of all rounds, the earliest of equals.

    Args:
        probabilities: (M, K) of each candidate.
        target: class indices (M,).
        fits: candidates are not added where it says no.
        score: of a mean, the higher the better.
        start: how often each candidate (C,) is there at the start; none is by default.
    """
    counts = np.zeros(len(probabilities)) if start is None else start.astype(float)
    best, best_counts = (-np.inf, -np.inf), counts
    if counts.any():
        best = score(mix(probabilities, counts / counts.sum()), target)
    for _ in range(rounds):
        total = sum((count * values for count, values in zip(counts, probabilities, strict=True)), start=0.0)
        trials = []
        for index, values in enumerate(probabilities):
            added = counts + (np.arange(len(counts)) == index)
            if fits(added / added.sum()):
                trials.append((*score((total + values) / added.sum(), target), -index))
        if not trials:
            break
        *found, index = max(trials)
        counts = counts + (np.arange(len(counts)) == -index)
        if tuple(found) > best:
            best, best_counts = (found[0], found[1]), counts
    return best_counts / max(1.0, best_counts.sum())


def weigh(probabilities: Sequence[np.ndarray], target: np.ndarray, fits: Fits = lambda weights: True) -> np.ndarray:
    """Return weights (C,) that sum to one, by the log-likelihood.

    The likeliest candidate is there first; each next one joins unless the plain mean gets clearly less likely; then
    greedy selection adds as many again, so that weights stay near equal ones. Where the best candidate alone has a
    higher macro-F1, weights are equal ones of fewer candidates, the likeliest of them, or follow macro-F1.
    """
    joined = _likely_together(probabilities, target, fits)
    if not joined:
        return np.zeros(len(probabilities))
    alone = select(probabilities, target, fits, rounds=1)
    least = by_macro_f1(mix(probabilities, alone), target)[0]
    together = _once(joined, len(probabilities))
    trials = [select(probabilities, target, fits, len(joined), by_likelihood, together)]
    trials += [_once(joined[:count], len(probabilities)) / count for count in range(len(joined), 1, -1)]
    for weights in trials:
        if fits(weights) and by_macro_f1(mix(probabilities, weights), target)[0] >= least:
            return weights
    return select(probabilities, target, fits)


def _once(joined: Sequence[int], count: int) -> np.ndarray:
    return np.isin(np.arange(count), joined).astype(float)


def _likely_together(probabilities: Sequence[np.ndarray], target: np.ndarray, fits: Fits) -> list[int]:
    """Return the indices of candidates that join, the likeliest first; see `weigh`."""
    scores = [by_likelihood(values, target)[0] for values in probabilities]
    joined: list[int] = []
    known: np.ndarray | None = None
    for index in sorted(range(len(probabilities)), key=lambda index: -scores[index]):
        weights = _once([*joined, index], len(probabilities)) / (len(joined) + 1)
        found = log_likelihoods(mix(probabilities, weights), target)
        if fits(weights) and (known is None or _not_clearly_less(found - known)):
            joined, known = [*joined, index], found
    return joined


def _not_clearly_less(difference: np.ndarray) -> bool:
    """Whether log-likelihoods have not fallen by more than the standard error of the difference."""
    return bool(difference.mean() >= -difference.std() / np.sqrt(len(difference)))


def promising(
    probabilities: Sequence[np.ndarray], target: np.ndarray, groups: np.ndarray | None, errors: float = 3.0
) -> list[int]:
    """Return the indices of candidates that are not clearly worse than the best.

    Args:
        errors: standard errors of the difference in macro-F1, over specimens or groups, that are clear.
    """
    scores = [by_macro_f1(values, target)[0] for values in probabilities]
    drawn = [resampled_macro_f1(target, values.argmax(1), groups) for values in probabilities]
    best = int(np.argmax(scores))
    return [
        index
        for index, score in enumerate(scores)
        if scores[best] - score <= errors * float((drawn[best] - drawn[index]).std(ddof=1))
    ]


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
    if folds < 2:
        return None
    splitter = KFold(folds, shuffle=True, random_state=0) if groups is None else GroupKFold(folds)
    mixed = np.zeros_like(probabilities[0])
    for chosen_on, answered in splitter.split(target, target, groups):
        weights = weigh([values[chosen_on] for values in probabilities], target[chosen_on], fits)
        mixed[answered] = mix([values[answered] for values in probabilities], weights)
    return mixed


def mix(probabilities: Sequence[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """Return the weighted mean (M, K).

    Example:
        >>> import numpy as np
        >>> mix([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])], np.array([0.75, 0.25]))
        array([[0.75, 0.25]])
    """
    return np.tensordot(weights, np.stack(probabilities), axes=1)
