"""Test metrics, by scikit-learn or equal to its; a class without test specimens is left out of means that need one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import metrics as sk

from ..data.own_csv import read_own
from .areas import areas_under_curves
from .probabilities import Probabilities

SMALLEST_MEDIUM, LARGEST_MEDIUM = 20, 100
"""Training specimens of the classes between tail and head."""


def classification_metrics(target: np.ndarray, probabilities: np.ndarray | Probabilities) -> dict[str, Any]:
    """Return the headline metrics.

    Args:
        target: class indices (N,).
        probabilities: (N, K), rows sum to one.

    Returns:
        accuracy, balanced_accuracy, top5_accuracy, and precision, recall and f1 as macro means (over all classes
        that occur among targets or predictions, as scikit-learn does) and weighted by support.
    """
    found = Probabilities.of(probabilities)
    return {**answer_metrics(target, found.predicted), "top5_accuracy": float((found.places(target) < 5).mean())}


def answer_metrics(target: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Return those of `classification_metrics` that the answers (N,) decide, without probabilities."""
    result: dict[str, Any] = {
        "accuracy": float(sk.accuracy_score(target, predicted)),
        "balanced_accuracy": float(
            sk.recall_score(target, predicted, average="macro", labels=np.unique(target), zero_division=0)
        ),
    }
    for average in ("macro", "weighted"):
        precision, recall, f1, _ = sk.precision_recall_fscore_support(
            target, predicted, average=average, zero_division=0
        )
        result[average] = {"precision": float(precision), "recall": float(recall), "f1": float(f1)}
    return result


def by_training_size(per_class: pd.DataFrame) -> dict[str, dict[str, float | int | None]]:
    """Return mean precision, recall and f1 of head, medium and tail classes that have test specimens.

    Head classes have more than 100 training specimens, tail classes fewer than 20 (Liu et al., Large-Scale Long-Tailed
    Recognition in an Open World, arXiv 1904.05160). Means of an empty set are None.

    Args:
        per_class: the table of `per_class_table`.
    """
    scored = per_class[per_class["test"] > 0]
    sets = {
        "head": scored["train"] > LARGEST_MEDIUM,
        "medium": scored["train"].between(SMALLEST_MEDIUM, LARGEST_MEDIUM),
        "tail": scored["train"] < SMALLEST_MEDIUM,
    }
    return {
        name: {
            "classes": int(chosen.sum()),
            **{
                score: float(scored.loc[chosen, score].mean()) if chosen.any() else None
                for score in ("precision", "recall", "f1")
            },
        }
        for name, chosen in sets.items()
    }


def majority_baseline(target: np.ndarray, train_counts: np.ndarray) -> dict[str, Any]:
    """Return the metrics of always answering the most frequent training class."""
    largest = int(np.argmax(train_counts))
    scores = answer_metrics(target, np.full(len(target), largest))
    return {
        "class": largest,
        "accuracy": scores["accuracy"],
        "balanced_accuracy": scores["balanced_accuracy"],
        "macro_f1": scores["macro"]["f1"],
    }


def per_class_table(
    target: np.ndarray, probabilities: np.ndarray | Probabilities, classes: list[str], train_counts: np.ndarray
) -> pd.DataFrame:
    """Return one row per class: precision, recall, f1, support in test, training specimens, one-vs-rest AUC.

    The AUC is missing where the test split has fewer than ten positives or no negative.
    """
    found = Probabilities.of(probabilities)
    labels = np.arange(len(classes))
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        target, found.predicted, labels=labels, zero_division=0
    )
    return pd.DataFrame(
        {
            "class": classes,
            "train": train_counts,
            "test": support,
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "auc": areas_under_curves(target, found),
        }
    )


def read_per_class(path: Path) -> pd.DataFrame:
    """Return what `per_class_table` gave and a CSV file keeps; names of classes are text, be they "7" or "NA"."""
    return read_own(path, numbers=("train", "test", "precision", "recall", "f1", "auc"))
