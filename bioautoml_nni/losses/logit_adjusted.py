"""Logit-adjusted cross-entropy. Menon et al., Long-tail learning via logit adjustment, arXiv 2007.07314."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from ..utils.numbers import NonNegative, Rate
from ._base import PriorAdjusted


class LogitAdjustedCrossEntropy(PriorAdjusted):
    """Cross-entropy of logits + tau * log(prior); the plain logits then decide as if classes were equally frequent.

    Args:
        tau: strength; 0 is plain cross-entropy, 1 is balanced softmax.
        label_smoothing: probability mass spread over all classes.
    """

    capabilities = ("imbalance",)

    def __init__(self, class_counts: Sequence[int], tau: NonNegative = 1.0, label_smoothing: Rate = 0.0) -> None:
        super().__init__(class_counts, tau)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(self.prior_logits(logits), target, label_smoothing=self.label_smoothing)
