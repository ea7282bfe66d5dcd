"""What a run asks of its teacher."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.console import Console

from ..data import splits
from ..training.top_logits import Answers
from .directory import RunDirectory
from .prepared import PreparedData


@dataclass(frozen=True)
class Asked:
    """What a run asks of its teacher.

    Attributes:
        key: of the configuration that names the teacher, for messages.
        rows: which specimens it is asked about (N,).
        views: in how many views of each image.
        folds: of an encoder: by how many heads its answers are cross-fitted; 0 is not.
        top_k: how many logits of each answer are kept; None is all.
        temperature: at which the other classes share the rest of its probability.
        features: whether its features are wanted beside its logits.
        refit: whether the student, and so its teacher, learns from the validation split too.
    """

    run: RunDirectory
    data: PreparedData
    key: str
    console: Console
    rows: np.ndarray
    views: int = 1
    folds: int = 0
    top_k: int | None = None
    temperature: float = 1.0
    features: bool = False
    refit: bool = False

    @property
    def learned(self) -> np.ndarray:
        """Which specimens the teacher may have learned from (N,)."""
        return learned_rows(self.data, self.refit)

    def answers(self) -> Answers:
        """Return where answers about all rows and views go."""
        return self._answers(self.views)

    def plain_answers(self) -> Answers:
        """Return where answers about the plain view of all rows go, of a teacher that knows no other."""
        return self._answers(1)

    def _answers(self, views: int) -> Answers:
        data = self.data
        return Answers(views, len(data.table), len(data.classes), self.top_k, self.temperature, self.learned)


def learned_rows(data: PreparedData, refit: bool) -> np.ndarray:
    """Return which specimens a training learns from (N,), those of the validation split too if it is a refit."""
    found: np.ndarray = data.in_training | (data.mask_of(splits.VALIDATION) if refit else False)
    return found
