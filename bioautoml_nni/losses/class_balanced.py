"""Class-balanced cross-entropy. Cui et al., arXiv 1901.05555."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..utils.numbers import Rate
from ._base import Loss


def effective_number_weights(class_counts: Sequence[int], beta: Rate) -> Tensor:
    """Return architecture weights (K,) that are inverse to the effective number of specimens and sum to K.

    The effective number is (1 - beta^n) / (1 - beta), equation 2; a class without specimens counts as one.
    """
    counts = torch.tensor(class_counts, dtype=torch.float64).clamp_min(1)
    weights = (1 - beta) / (1 - beta**counts)
    return (weights / weights.sum() * len(counts)).to(torch.float32)


class ClassBalanced(Loss):
    """Cross-entropy, each specimen weighted inversely to the effective number of its class.

    Args:
        class_counts: number of training specimens of each class.
        beta: 0 does not weight; towards 1 the weights become inverse frequencies.
    """

    capabilities = ("imbalance",)
    weights: Tensor

    def __init__(self, class_counts: Sequence[int], beta: Rate = 0.999) -> None:
        super().__init__(class_counts)
        if not 0 <= beta < 1:
            raise ValueError(f"beta must be at least 0 and below 1, not {beta}")
        self.register_buffer("weights", effective_number_weights(class_counts, beta), persistent=False)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        losses = functional.cross_entropy(logits, target, reduction="none")
        return (self.weights[target].to(losses) * losses).mean()
