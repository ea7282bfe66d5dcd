"""The choice among candidates that were scored on the same validation specimens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.intervals import NAMES, bootstrap

MACRO_F1 = NAMES.index("macro_f1")
ALIKE = 1.25
"""Up to so many times the parameters and FLOPs of the smallest, a model is about as small."""


@dataclass(frozen=True)
class Scored:
    """A candidate on validation.

    Attributes:
        macro_f1: of the whole validation split.
        resampled: macro-F1 (R,) of bootstrap samples, which must be the same samples for all candidates.
        parameters, flops, latency_ms: of one specimen's prediction.
        log_loss: mean negative log-likelihood of the validation split.
        images: whether it reads images.
    """

    name: str
    macro_f1: float
    resampled: np.ndarray
    parameters: float
    flops: float
    latency_ms: float
    log_loss: float = 0.0
    images: bool = True


@dataclass(frozen=True)
class Choice:
    """Which candidate is taken, and why.

    Attributes:
        winner: name of the one that is taken.
        best: name of the one with the highest validation macro-F1.
        within: names of those that are not told from the best, itself included.
        reason: in a sentence or two.
    """

    winner: str
    best: str
    within: tuple[str, ...]
    reason: str


def resampled_macro_f1(target: np.ndarray, predicted: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Return macro-F1 (R,) of bootstrap samples in which whole groups are drawn; with the same groups the same ones."""
    return bootstrap(target, predicted, groups, seed=0)[:, MACRO_F1]


def choose(candidates: Sequence[Scored], unit: str) -> Choice:
    """Return the smallest candidate within one standard error of the best; of about equally small ones the likeliest.

    The rule of one standard error (Breiman et al., Classification and Regression Trees, 1984, section 3.4.3), with the
    standard error of the difference: all are scored on the same specimens, so that what is easy for one is easy for the
    others, and the spread of one alone would overstate the doubt. Among candidates of about the same size that macro-F1
    does not tell apart, the one with the smallest log-loss is taken, which every specimen decides, not rare classes.

    A candidate that reads no images is not a smaller form of one that does: it cannot name a specimen that is no more
    than photographed. Where the best one reads images, only others that do are compared with it.

    Args:
        candidates: at least one.
        unit: what was drawn in the bootstrap, in the plural.
    """
    best = max(candidates, key=lambda candidate: (candidate.macro_f1, -candidate.parameters))
    rivals = [candidate for candidate in candidates if candidate.images or not best.images]
    within = [candidate for candidate in rivals if _not_told_apart(candidate, best)]
    smallest = min(within, key=lambda candidate: (candidate.parameters, candidate.flops, -candidate.macro_f1))
    alike = [candidate for candidate in within if _about_as_small(candidate, smallest)]
    winner = min(alike, key=lambda candidate: (candidate.log_loss, -candidate.macro_f1, candidate.parameters))
    names = tuple(candidate.name for candidate in within)
    reason = _reason(rivals, winner, best, unit)
    if len(alike) > 1:
        *before, last = [candidate.name for candidate in alike if candidate is not winner]
        others = f"{', '.join(before)} and {last}" if before else last
        ending = (
            "are about as small and score no differently, but have"
            if before
            else "is about as small and scores no differently, but has"
        )
        reason += f" {others} {ending} a larger log-loss."
    blind = [other for other in candidates if best.images and not other.images and _not_told_apart(other, best)]
    if blind:
        reason += f" Without reading images, {' and '.join(other.name for other in blind)} scored no differently."
    return Choice(winner.name, best.name, names, reason)


def _reason(candidates: Sequence[Scored], winner: Scored, best: Scored, unit: str) -> str:
    score = f"{best.name} has the highest macro-F1 on validation, {best.macro_f1:.3f}"
    if winner is not best:
        gap, error = _gap(winner, best)
        smaller = winner.parameters < best.parameters
        size = f"({winner.parameters:,.0f} parameters instead of {best.parameters:,.0f})"
        return (
            f"{score}, but {winner.name} is only {gap:.3f} behind, within the standard error of the difference over "
            f"{unit}, {error:.3f}, and is {'smaller' if smaller else 'about as small'} {size}."
        )
    others = [candidate for candidate in candidates if candidate.parameters < best.parameters]
    if not others:
        return f"{score}, and is the smallest of all."
    nearest = max(others, key=lambda candidate: candidate.macro_f1)
    gap, error = _gap(nearest, best)
    far = "more than" if gap > error else "within"
    return (
        f"{score}; the best smaller one, {nearest.name}, is {gap:.3f} behind, {far} the standard error of the "
        f"difference over {unit}, {error:.3f}."
    )


def _about_as_small(candidate: Scored, smallest: Scored) -> bool:
    return candidate.parameters <= ALIKE * smallest.parameters and candidate.flops <= ALIKE * smallest.flops


def _not_told_apart(candidate: Scored, best: Scored) -> bool:
    gap, error = _gap(candidate, best)
    return gap <= error


def _gap(candidate: Scored, best: Scored) -> tuple[float, float]:
    """Return how far a candidate is behind the best one, and the standard error of that."""
    return best.macro_f1 - candidate.macro_f1, float((best.resampled - candidate.resampled).std(ddof=1))
