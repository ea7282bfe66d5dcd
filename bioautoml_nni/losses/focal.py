"""Focal loss. Lin et al., arXiv 1708.02002."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from ..utils.numbers import NonNegative
from ._base import Loss


class Focal(Loss):
    """Cross-entropy times (1 - p)^gamma, p being the probability of the right class: what is easy counts less.

    Args:
        class_counts: number of training specimens of each class.
        gamma: 0 is plain cross-entropy.
    """

    def __init__(self, class_counts: Sequence[int], gamma: NonNegative = 2.0) -> None:
        super().__init__(class_counts)
        if gamma < 0:
            raise ValueError(f"gamma must not be negative, not {gamma}")
        self.gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        losses = functional.cross_entropy(logits, target, reduction="none")
        return ((-losses).expm1().neg().clamp_min(0) ** self.gamma * losses).mean()
