"""Which classes are taken for which, as pairs: there are no more of them than specimens, whatever the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..audit.names import RANKS

MAX_DRAWN = 60
"""Classes of a matrix that can be read."""
MAX_PAIRED = 30
"""Classes that stand for themselves where no rank brings their number down."""


def confusion_pairs(target: np.ndarray, predicted: np.ndarray, count: int) -> pd.DataFrame:
    """Return ``true``, ``predicted`` (class indices) and ``specimens``, for every pair that occurs.

    Args:
        target, predicted: class indices (N,).
        count: number of classes.
    """
    codes, specimens = np.unique(target.astype(np.int64) * count + predicted, return_counts=True)
    return pd.DataFrame({"true": codes // count, "predicted": codes % count, "specimens": specimens})


def named_pairs(pairs: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Return pairs with the names of their classes, those of the most specimens first."""
    names = np.asarray(classes, dtype=object)
    named = pairs.assign(true=names[pairs["true"]], predicted=names[pairs["predicted"]])
    return named.sort_values("specimens", ascending=False, kind="stable")


def most_confused(
    target: np.ndarray, predicted: np.ndarray, classes: Sequence[str], most: int = 30
) -> list[dict[str, Any]]:
    """Return the pairs of classes that are taken for one another most often, either way round, the worst first."""
    pairs = confusion_pairs(target, predicted, len(classes))
    wrong = pairs[pairs["true"] != pairs["predicted"]]
    swapped = wrong["true"] > wrong["predicted"]
    table = pd.DataFrame(
        {
            "first": wrong[["true", "predicted"]].min(axis=1),
            "second": wrong[["true", "predicted"]].max(axis=1),
            "first_taken_for_second": wrong["specimens"].where(~swapped, 0),
            "second_taken_for_first": wrong["specimens"].where(swapped, 0),
        }
    )
    both = table.groupby(["first", "second"], as_index=False).sum()
    both["specimens"] = both["first_taken_for_second"] + both["second_taken_for_first"]
    worst = both.sort_values(["specimens", "first", "second"], ascending=[False, True, True]).head(most)
    return [
        {
            "first": classes[row.first],
            "second": classes[row.second],
            "specimens": int(row.specimens),
            "first_taken_for_second": int(row.first_taken_for_second),
            "second_taken_for_first": int(row.second_taken_for_first),
        }
        for row in worst.itertuples()
    ]


def drawable(
    target: np.ndarray, predicted: np.ndarray, classes: Sequence[str], taxa: Mapping[str, Sequence[str]]
) -> tuple[np.ndarray, list[str], str]:
    """Return a confusion matrix that can be read (k, k), the names of its rows, and what they are.

    Up to 60 classes stand for themselves. More are put together at the finest rank with 60 taxa at most; without such
    a rank the classes of the worst pairs stand for themselves, and all others are one.
    """
    if len(classes) <= MAX_DRAWN:
        return _matrix(target, predicted, len(classes)), list(classes), "class"
    for rank in sorted(taxa, key=RANKS.index, reverse=True):
        names, member = np.unique(taxa[rank], return_inverse=True)
        if len(names) <= MAX_DRAWN:
            return _matrix(member[target], member[predicted], len(names)), names.tolist(), rank
    places = {name: place for place, name in enumerate(classes)}
    worst = most_confused(target, predicted, classes)
    chosen = list(dict.fromkeys(places[pair[side]] for pair in worst for side in ("first", "second")))[:MAX_PAIRED]
    member = np.full(len(classes), len(chosen))
    member[chosen] = np.arange(len(chosen))
    names_drawn = [*(classes[place] for place in chosen), f"{len(classes) - len(chosen)} others"]
    return _matrix(member[target], member[predicted], len(names_drawn)), names_drawn, "class of the worst pairs"


def _matrix(target: np.ndarray, predicted: np.ndarray, count: int) -> np.ndarray:
    return np.bincount(target * count + predicted, minlength=count * count).reshape(count, count)
