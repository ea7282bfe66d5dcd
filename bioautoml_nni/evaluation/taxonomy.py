"""Results at coarser ranks: scores after summing probabilities up the tree."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import metrics as sk

from ..audit.names import RANKS
from .probabilities import Probabilities


def by_rank(
    target: np.ndarray, probabilities: np.ndarray | Probabilities, taxa: dict[str, list[str]]
) -> dict[str, dict[str, Any]]:
    """Return classes, accuracy and macro-F1 at each coarser rank with at least two taxa, finest first.

    The answer at a rank is the taxon whose classes have the largest probability together.

    Args:
        target: class indices (N,).
        probabilities: (N, K).
        taxa: taxon of every class by rank (see `coarser_taxa`).
    """
    scores = {}
    for rank in sorted(taxa, key=RANKS.index, reverse=True):
        names, member = np.unique(taxa[rank], return_inverse=True)
        if len(names) < 2:
            continue
        truth, answer = member[target], Probabilities.of(probabilities).summed(member)
        scores[rank] = {
            "classes": len(names),
            "accuracy": float(sk.accuracy_score(truth, answer)),
            "macro_f1": float(sk.f1_score(truth, answer, average="macro", zero_division=0)),
        }
    return scores
