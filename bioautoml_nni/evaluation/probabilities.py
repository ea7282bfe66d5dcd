"""Probabilities of many specimens for many classes: computed block by block from logits, and never kept whole."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from scipy.special import softmax

BLOCK = 1 << 22
"""Values that are looked at at once: 32 MB in double precision."""


def row_blocks(values: np.ndarray, size: int = BLOCK) -> Iterator[slice]:
    """Yield slices of rows that hold about `size` values each."""
    step = max(1, size // max(1, values.shape[1]))
    for start in range(0, len(values), step):
        yield slice(start, start + step)


class Probabilities:
    """Softmax of logits at a temperature, or probabilities as they are given, in double precision.

    Args:
        values: logits (N, K) of any precision; probabilities if there is no temperature.
        temperature: of the logits.
    """

    def __init__(self, values: np.ndarray, temperature: float | None = None) -> None:
        self.values = values
        self.temperature = temperature

    @classmethod
    def of(cls, given: np.ndarray | Probabilities) -> Probabilities:
        """Return what is given, an array taken as probabilities."""
        return given if isinstance(given, Probabilities) else cls(given)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def classes(self) -> int:
        """Number of classes, K."""
        return int(self.values.shape[1])

    def blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield rows and their probabilities (n, K)."""
        for rows in row_blocks(self.values):
            block = self.values[rows].astype(np.float64, copy=False)
            yield rows, block if self.temperature is None else softmax(block / self.temperature, axis=1)

    @cached_property
    def _answers(self) -> tuple[np.ndarray, np.ndarray]:
        predicted, confidence = np.empty(len(self), np.int64), np.empty(len(self))
        for rows, block in self.blocks():
            predicted[rows] = block.argmax(axis=1)
            confidence[rows] = block.max(axis=1)
        return predicted, confidence

    @property
    def predicted(self) -> np.ndarray:
        """The most probable class of each specimen (N,)."""
        return self._answers[0]

    @property
    def confidence(self) -> np.ndarray:
        """Its probability (N,)."""
        return self._answers[1]

    def at(self, target: np.ndarray) -> np.ndarray:
        """Return the probability of one class for each specimen (N,)."""
        found = np.empty(len(self))
        for rows, block in self.blocks():
            found[rows] = block[np.arange(len(block)), target[rows]]
        return found

    @cached_property
    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what is subtracted from logits before the exponential, and the sum that divides it (N,)."""
        assert self.temperature is not None  # probabilities that are given are asked directly
        peak, total = np.empty(len(self)), np.empty(len(self))
        for rows in row_blocks(self.values):
            block = self.values[rows].astype(np.float64, copy=False) / self.temperature
            peak[rows] = block.max(axis=1)
            total[rows] = np.exp(block - peak[rows, None]).sum(axis=1)
        return peak, total

    def column(self, label: int) -> np.ndarray:
        """Return the probability of a class for every specimen (N,)."""
        return self.columns(np.array([label]))[0]

    def columns(self, labels: np.ndarray) -> np.ndarray:
        """Return the probabilities of some classes for every specimen (classes, N), as a new array."""
        values = self.values[:, labels].T.astype(np.float64, order="C")
        if self.temperature is None:
            return values
        peak, total = self._scale
        if self.temperature != 1:
            values /= self.temperature
        values -= peak
        np.exp(values, out=values)
        values /= total
        return values

    def places(self, target: np.ndarray) -> np.ndarray:
        """Return how many classes are ranked before the target's (N,); of equals the later ones are, as scikit-learn
        does."""
        found = np.empty(len(self), np.int64)
        labels = np.arange(self.classes)
        for rows in row_blocks(self.values):
            block, own = self.values[rows], target[rows, None]
            score = np.take_along_axis(block, own, axis=1)
            found[rows] = (block > score).sum(axis=1) + ((block == score) & (labels > own)).sum(axis=1)
        return found

    def summed(self, member: np.ndarray) -> np.ndarray:
        """Return for each specimen (N,) the number of the set of classes that is the most probable together.

        Args:
            member: number of the set of each class (K,), from 0 and without gaps.
        """
        order = np.argsort(member, kind="stable")
        starts = np.searchsorted(member[order], np.arange(int(member.max()) + 1))
        found = np.empty(len(self), np.int64)
        for rows, block in self.blocks():
            found[rows] = np.add.reduceat(block[:, order], starts, axis=1).argmax(axis=1)
        return found
