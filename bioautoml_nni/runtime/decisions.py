"""From calibrated probabilities to answers: species list, best classes, roll-up to coarser taxa, prediction sets."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from ..audit.names import RANKS
from ..utils.errors import DataError
from .name_lists import joined_names

TOP = 5
UNSURE = ""


class Decisions:
    """Rules for a table of classes.

    Args:
        classes: index, name, and one column for each coarser rank that is known.
        rank: rank of the names.
        threshold: below this probability the answer is the finest coarser taxon that reaches it, or none at all.
        species_list: names that can occur; all other classes get probability 0 and the rest is scaled up.
        level: least probability of a member of the prediction set; None makes no sets.

    Raises:
        DataError: for names in the list that are not classes, and a threshold that is not a probability.
    """

    def __init__(
        self,
        classes: pd.DataFrame,
        rank: str,
        threshold: float = 0.0,
        species_list: Collection[str] | None = None,
        level: float | None = None,
    ) -> None:
        if isinstance(threshold, str) or not 0 <= threshold <= 1:
            raise DataError(f"threshold {threshold!r}: must be a probability from 0 to 1.")
        self.names = classes["name"].astype(str).to_numpy()
        self.rank = rank
        self.threshold = threshold
        self.level = level
        self.parents = {name: classes[name].astype(str).to_numpy() for name in reversed(RANKS) if name in classes}
        self.allowed = np.ones(len(self.names), bool)
        if species_list is not None:
            unknown = sorted(set(species_list) - set(self.names))
            if unknown:
                what = "is not a class" if len(unknown) == 1 else "are not classes"
                raise DataError(
                    f"species list: {', '.join(unknown[:5])} {what} of this model; see classes.csv for its names."
                )
            self.allowed = np.isin(self.names, list(species_list))
            if not self.allowed.any():
                raise DataError("species list: names no class at all.")

    def taxa(self) -> list[str]:
        """Return all names that an answer may be."""
        return list(dict.fromkeys([*self.names, *(name for names in self.parents.values() for name in names)]))

    def masked(self, probabilities: np.ndarray) -> np.ndarray:
        """Return probabilities (N, K) with classes outside of the species list at 0."""
        kept = probabilities * self.allowed
        total = kept.sum(axis=1, keepdims=True)
        even = self.allowed / self.allowed.sum()
        return np.where(total > 0, kept / np.where(total > 0, total, 1), even)

    def answers(self, probabilities: np.ndarray) -> pd.DataFrame:
        """Return one row per specimen.

        Columns: ``prediction`` (empty if unsure), ``rank`` of it, ``confidence``; ``label_1`` and ``probability_1`` to
        5 of the best classes; ``set``, names of the prediction set as `joined_names` writes them. Rows that are not
        numbers are empty.
        """
        readable = np.isfinite(probabilities).all(axis=1)
        found = self.masked(np.where(readable[:, None], probabilities, 1 / len(self.names)))
        order = best_first(found, min(TOP, int(self.allowed.sum())))
        best = np.take_along_axis(found, order, axis=1)
        names, ranks, confidence = self._rolled_up(found, order[:, 0], best[:, 0])
        columns: dict[str, np.ndarray] = {"prediction": names, "rank": ranks, "confidence": confidence.round(6)}
        for place in range(order.shape[1]):
            columns[f"label_{place + 1}"] = self.names[order[:, place]].astype(object)
            columns[f"probability_{place + 1}"] = best[:, place].round(6)
        if self.level is not None:
            inside = in_prediction_set(found, self.level)
            columns["set"] = np.array([joined_names(self.names[row]) for row in inside], dtype=object)
        table = pd.DataFrame(columns)
        for name in table:
            table[name] = table[name].where(readable, np.nan if pd.api.types.is_numeric_dtype(table[name]) else "")
        return table

    def _rolled_up(
        self, probabilities: np.ndarray, first: np.ndarray, confidence: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        names = self.names[first].astype(object)
        ranks = np.full(len(names), self.rank, dtype=object)
        unsure = confidence < self.threshold
        confidence = confidence.copy()
        for rank, parents in self.parents.items():
            if not unsure.any():
                break
            taxa, place = np.unique(parents, return_inverse=True)
            summed = np.zeros((int(unsure.sum()), len(taxa)))
            np.add.at(summed.T, place, probabilities[unsure].T)
            sure = summed.max(axis=1) >= self.threshold
            rows = np.flatnonzero(unsure)[sure]
            names[rows], ranks[rows] = taxa[summed.argmax(axis=1)[sure]], rank
            confidence[rows] = summed.max(axis=1)[sure]
            unsure[rows] = False
        names[unsure], ranks[unsure] = UNSURE, UNSURE
        return names, ranks, confidence


def best_first(values: np.ndarray, count: int) -> np.ndarray:
    """Return the places (N, count) of the largest values of each row (N, K), of equals the first ones first.

    Example:
        >>> import numpy as np
        >>> best_first(np.array([[0.1, 0.4, 0.1, 0.4]]), 3)
        array([[1, 3, 0]])
    """
    least = np.partition(values, -count, axis=1)[:, -count, None]
    above, equal = values > least, values == least
    wanted = count - above.sum(axis=1, keepdims=True)
    chosen = above | (equal & (np.cumsum(equal, axis=1, dtype=np.int32) <= wanted))
    places = np.nonzero(chosen)[1].reshape(len(values), count)
    order = np.argsort(-np.take_along_axis(values, places, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places, order, axis=1)


def in_prediction_set(probabilities: np.ndarray, level: float) -> np.ndarray:
    """Return (N, K) bool: the classes of at least that probability, and always the likeliest, as an empty set helps
    nobody.

    Example:
        >>> import numpy as np
        >>> in_prediction_set(np.array([[0.6, 0.3, 0.1], [0.2, 0.1, 0.1]]), 0.25)
        array([[ True,  True, False],
               [ True, False, False]])
    """
    inside: np.ndarray = probabilities >= min(level, 1.0)
    inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
    return inside
