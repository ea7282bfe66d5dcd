"""Plain cross-entropy."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from ..utils.numbers import Rate
from ._base import Loss


class CrossEntropy(Loss):
    """Cross-entropy.

    Args:
        label_smoothing: probability mass spread over all classes.
    """

    def __init__(self, class_counts: Sequence[int], label_smoothing: Rate = 0.0) -> None:
        super().__init__(class_counts)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(logits, target, label_smoothing=self.label_smoothing)
