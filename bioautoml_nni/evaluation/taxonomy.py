"""Results at coarser ranks: which taxon a class belongs to, and scores after summing probabilities up the tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from ..audit.names import RANKS, is_rank
from ..data.manifest import LABEL


def coarser_taxa(table: pd.DataFrame, classes: list[str], rank: str) -> dict[str, list[str]]:
    """Return for each coarser rank that the table states the taxon of every class, by rank.

    A rank is left out unless all specimens of a class agree on it, for every class, and it joins some classes.

    Args:
        table: a manifest's rows, those of the training part.
        classes: names of the classes.
        rank: what the label is; a label of no standard rank may lie below any.
    """
    found: dict[str, list[str]] = {}
    for column in table.columns:
        name = is_rank(str(column))
        if name is None or name in found or (rank in RANKS and RANKS.index(name) >= RANKS.index(rank)):
            continue
        stated = table[table[column].notna()].groupby(LABEL)[column].agg(["nunique", "first"])
        taxa = [
            str(stated.loc[label, "first"]) if label in stated.index and stated.loc[label, "nunique"] == 1 else None
            for label in classes
        ]
        known = [taxon for taxon in taxa if taxon is not None]
        if len(known) == len(classes) > len(set(known)):
            found[name] = known
    return found


def by_rank(target: np.ndarray, probabilities: np.ndarray, taxa: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
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
        together = probabilities @ np.eye(len(names))[member]
        truth, answer = member[target], together.argmax(axis=1)
        scores[rank] = {
            "classes": len(names),
            "accuracy": float(sk.accuracy_score(truth, answer)),
            "macro_f1": float(sk.f1_score(truth, answer, average="macro", zero_division=0)),
        }
    return scores


def most_confused(
    target: np.ndarray, predicted: np.ndarray, classes: list[str], most: int = 30
) -> list[dict[str, Any]]:
    """Return the pairs of classes that are taken for one another most often, either way round, the worst first."""
    matrix = sk.confusion_matrix(target, predicted, labels=np.arange(len(classes)))
    both = np.triu(matrix + matrix.T, k=1)
    order = np.argsort(-both, axis=None, kind="stable")[:most]
    pairs = [np.unravel_index(place, both.shape) for place in order if both.flat[place] > 0]
    return [
        {
            "first": classes[first],
            "second": classes[second],
            "specimens": int(both[first, second]),
            "first_taken_for_second": int(matrix[first, second]),
            "second_taken_for_first": int(matrix[second, first]),
        }
        for first, second in pairs
    ]
