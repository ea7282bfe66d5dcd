"""How well answers agree with labels that a person gives beside them."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from typing import Any

import pandas as pd
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from ..data.naming import Naming
from ..utils.errors import DataError

PLAIN = Naming()


def scores_on(labels: pd.Series, answers: pd.DataFrame, classes: Collection[str], naming: Naming = PLAIN) -> pd.Series:
    """Return accuracy, balanced accuracy and macro-F1, and how many specimens they are of.

    Args:
        labels: of each specimen (N,), None where there is none.
        answers: with `prediction` and `error`, which is empty for specimens that were answered.
        classes: that were learned; a label that is none of them counts as wrong, with a warning.
        naming: by which labels became these classes in training: spellings, synonyms, rare labels that are one.

    Raises:
        DataError: if no specimen has both a label and an answer.
    """
    learned, known = set(classes), labels.notna() & (answers["error"] == "")
    truth = labels[known].map(lambda label: _name(label, learned, naming))
    unseen = sorted(set(truth) - learned)
    if unseen:
        told = ", ".join(map(repr, unseen[:5])) + (", ..." if len(unseen) > 5 else "")
        warnings.warn(
            f"{len(unseen)} of the labels were not learned and count as wrong: {told}", UserWarning, stacklevel=3
        )
    if not known.any():
        raise DataError("evaluate: no specimen has both a label and an image that can be read.")
    named = answers["prediction"][known].astype(str)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class that is named and does not occur
        return pd.Series(
            {
                "accuracy": accuracy_score(truth, named),
                "balanced_accuracy": balanced_accuracy_score(truth, named),
                "macro_f1": f1_score(truth, named, average="macro", zero_division=0),
                "specimens": int(known.sum()),
                "left_out": int((~known).sum()),
            }
        )


def _name(label: Any, learned: Collection[str], naming: Naming) -> str:
    """Return the name of a label's class: numbers beside empty cells are floats in memory, not in files."""
    text = str(label).strip()
    if isinstance(label, float) and label.is_integer() and text not in learned:
        text = str(int(label))
    return text if text in learned else naming.name(text)
