"""The choice among candidates that were scored on the same validation specimens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..evaluation.intervals import NAMES, bootstrap

MACRO_F1 = NAMES.index("macro_f1")


@dataclass(frozen=True)
class Scored:
    """A candidate on validation.

    Attributes:
        macro_f1: of the whole validation part.
        resampled: macro-F1 (R,) of bootstrap samples, which must be the same samples for all candidates.
        parameters, flops, latency_ms: of one specimen's prediction.
    """

    name: str
    macro_f1: float
    resampled: np.ndarray
    parameters: float
    flops: float
    latency_ms: float

    @property
    def standard_error(self) -> float:
        """Of the macro-F1."""
        return float(self.resampled.std(ddof=1))


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
    """Return the smallest candidate within one standard error of the best.

    The rule of one standard error (Breiman et al., Classification and Regression Trees, 1984, section 3.4.3), with the
    standard error of the difference: all are scored on the same specimens, so that what is easy for one is easy for the
    others, and the spread of one alone would overstate the doubt.

    Args:
        candidates: at least one.
        unit: what was drawn in the bootstrap, in the plural.
    """
    best = max(candidates, key=lambda candidate: (candidate.macro_f1, -candidate.parameters))
    within = [candidate for candidate in candidates if _not_told_apart(candidate, best)]
    winner = min(within, key=lambda candidate: (candidate.parameters, candidate.flops, -candidate.macro_f1))
    names = tuple(candidate.name for candidate in within)
    if winner is best:
        smaller = [candidate for candidate in candidates if candidate.parameters < best.parameters]
        reason = f"{best.name} has the highest macro-F1 on validation, {best.macro_f1:.3f}"
        reason += ", and is the smallest of all." if not smaller else ""
        if smaller:
            nearest = max(smaller, key=lambda candidate: candidate.macro_f1)
            gap, error = _gap(nearest, best)
            reason += (
                f"; the best smaller one, {nearest.name}, is {gap:.3f} behind, more than the standard error of the "
                f"difference over {unit}, {error:.3f}."
            )
    else:
        gap, error = _gap(winner, best)
        reason = (
            f"{best.name} has the highest macro-F1 on validation, {best.macro_f1:.3f}, but {winner.name} is only "
            f"{gap:.3f} behind, within the standard error of the difference over {unit}, {error:.3f}, and is smaller "
            f"({winner.parameters:,.0f} parameters instead of {best.parameters:,.0f})."
        )
    return Choice(winner.name, best.name, names, reason)


def _not_told_apart(candidate: Scored, best: Scored) -> bool:
    gap, error = _gap(candidate, best)
    return gap <= error


def _gap(candidate: Scored, best: Scored) -> tuple[float, float]:
    """Return how far a candidate is behind the best one, and the standard error of that."""
    return best.macro_f1 - candidate.macro_f1, float((best.resampled - candidate.resampled).std(ddof=1))
