"""Does the network notice what it does not know? Scores on specimens of labels that it never learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from ..audit.names import RANKS, is_rank
from .probabilities import Probabilities, row_blocks


def known_scores(logits: np.ndarray, temperature: float) -> dict[str, np.ndarray]:
    """Return for each specimen (N,) how much it looks like something known.

    ``max_softmax`` is the calibrated probability of the answer (Hendrycks and Gimpel, arXiv 1610.02136), ``energy`` the
    logarithm of the sum of the exponentials of the logits (Liu et al., arXiv 2010.03759, its sign turned).
    """
    energy = [logsumexp(logits[rows].astype(np.float64, copy=False), axis=1) for rows in row_blocks(logits)]
    return {"max_softmax": Probabilities(logits, temperature).confidence, "energy": np.concatenate(energy)}


def detection(known: np.ndarray, unknown: np.ndarray) -> dict[str, float]:
    """Return how well a score tells known (N,) from unknown specimens (M,).

    Returns:
        ``auroc``: probability that a known specimen scores higher than an unknown one; ``fpr95``: share of the unknown
        that pass a threshold which 95 % of the known ones pass.
    """
    truth = np.repeat([1, 0], [len(known), len(unknown)])
    threshold = np.sort(known)[::-1][int(np.ceil(0.95 * len(known))) - 1]
    return {
        "auroc": float(roc_auc_score(truth, np.concatenate([known, unknown]))),
        "fpr95": float((unknown >= threshold).mean()),
    }


def open_set(
    known: np.ndarray,
    unknown: np.ndarray,
    temperature: float,
    thresholds: Sequence[Mapping[str, Any]],
    table: pd.DataFrame,
    taxa: dict[str, list[str]],
) -> dict[str, Any]:
    """Return what happens to specimens of unknown labels.

    Args:
        known: logits (N, K) of the test split.
        unknown: logits (M, K) of specimens whose labels are no class.
        temperature: of the calibrated probabilities.
        thresholds: confidences above which answers are given; see `accuracy_thresholds`.
        table: the rows of the unknown specimens.
        taxa: taxon of every class by coarser rank; see `coarser_taxa`.

    Returns:
        ``specimens``; ``detection`` by score; ``answered``: for each threshold the shares of known and of unknown
        specimens above it; ``by_rank``: of the unknown whose coarser taxon is known, how many are put into it.
    """
    scores = {name: (value, known_scores(unknown, temperature)[name])
              for name, value in known_scores(known, temperature).items()}  # fmt: skip
    sure, unsure = scores["max_softmax"]
    return {
        "specimens": len(unknown),
        "detection": {name: detection(*pair) for name, pair in scores.items()},
        "answered": [
            {
                "accuracy": row["accuracy"],
                "threshold": row["threshold"],
                "known": float((sure >= row["threshold"]).mean()),
                "unknown": float((unsure >= row["threshold"]).mean()),
            }
            for row in thresholds
            if row["threshold"] is not None
        ],
        "by_rank": _by_rank(unknown, temperature, table, taxa),
    }


def _by_rank(
    logits: np.ndarray, temperature: float, table: pd.DataFrame, taxa: dict[str, list[str]]
) -> dict[str, dict[str, Any]]:
    columns = {is_rank(str(name)): str(name) for name in reversed(list(table.columns))}
    found = {}
    for rank in sorted(taxa, key=RANKS.index, reverse=True):
        names, member = np.unique(taxa[rank], return_inverse=True)
        truth = table[columns[rank]].astype(str).to_numpy()
        inside = np.isin(truth, names)
        if inside.any() and len(names) > 1:
            answer = names[Probabilities(logits[inside], temperature).summed(member)]
            found[rank] = {"specimens": int(inside.sum()), "accuracy": float((answer == truth[inside]).mean())}
    return found
