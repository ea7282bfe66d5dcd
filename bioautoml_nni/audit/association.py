"""How well one column names another: the one statistic behind the leakage screen.

The leave-one-out majority rule answers, for each row, with the commonest partner value among the *other* rows that
share its value. If that is nearly always right, the first column determines the second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Association:
    """How well values of one column name those of another.

    Attributes:
        accuracy: of the leave-one-out majority rule, over the rows that share their value with another row.
        coverage: share of rows that do.
        majority: share of the commonest answer among these rows; what could be had without looking.
    """

    accuracy: float
    coverage: float
    majority: float

    @property
    def skill(self) -> float:
        """Share of the possible gain over the majority answer that is reached; 1 is perfect, 0 is none."""
        return (self.accuracy - self.majority) / (1 - self.majority) if self.majority < 1 else 0.0

    def determines(self, min_accuracy: float = 0.98, min_skill: float = 0.9, min_coverage: float = 0.2) -> bool:
        """Whether the one column gives the other away."""
        return self.coverage >= min_coverage and self.accuracy >= min_accuracy and self.skill >= min_skill


def encode(column: pd.Series) -> np.ndarray:
    """Return integer codes (N,) int32, -1 for missing values; equal values have equal codes."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy().astype(np.int32)
    try:
        return pd.factorize(column)[0].astype(np.int32)
    except TypeError:  # lists and other values without a hash
        return pd.factorize(column.map(str, na_action="ignore"))[0].astype(np.int32)


def associate(source: np.ndarray, target: np.ndarray) -> Association:
    """Return how well the codes `source` name the codes `target`; rows in which either is missing (-1) are left out.

    Sorts the pairs once: O(N log N) time, some 40 bytes per row.
    """
    total = len(source)
    present = (source >= 0) & (target >= 0)
    if not present.any():
        return Association(0.0, 0.0, 0.0)
    width = np.int64(target.max()) + 1
    pairs, count = np.unique(source[present] * width + target[present], return_counts=True)
    value, answer = np.divmod(pairs, width)
    starts = np.flatnonzero(np.r_[True, value[1:] != value[:-1]])
    group = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(value)]))
    size = np.add.reduceat(count, starts)[group]
    best = np.maximum.reduceat(count, starts)[group]
    leaders = np.add.reduceat((count == best).astype(np.int64), starts)[group]
    # Of the rivals of a pair, the strongest is the leader, unless the pair leads alone: then it is the runner-up.
    without_best = np.where(count == best, -1, count)
    runner_up = np.maximum(np.maximum.reduceat(without_best, starts)[group], 0)
    rival = np.where((count == best) & (leaders == 1), runner_up, best)
    shared = size >= 2
    rows = int(count[shared].sum())
    if rows == 0:
        return Association(0.0, 0.0, 0.0)
    right = int(count[shared & (count - 1 > rival)].sum())
    answers = np.bincount(answer[shared], weights=count[shared])
    return Association(right / rows, rows / total, float(answers.max()) / rows)
