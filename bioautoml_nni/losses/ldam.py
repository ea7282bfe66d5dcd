"""Label-distribution-aware margins with deferred re-weighting. Cao et al., arXiv 1906.07413."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..utils.numbers import Positive, Rate, Share
from ._base import Loss
from .class_balanced import effective_number_weights


class LDAM(Loss):
    """Cross-entropy with a margin for the right class that is larger for rarer classes, n^(-1/4); weighted late.

    The paper has normalised features and classifier weights, and a scale of 30. The classifier here is an ordinary
    one, so that the scale is 1 by default.

    Args:
        class_counts: number of training specimens of each class.
        largest_margin: of the rarest class, in units of a logit.
        scale: factor of the logits after the margin.
        defer: share of the training after which specimens are weighted by the effective number of their class; 1 never.
        beta: of these weights.
    """

    capabilities = ("imbalance",)
    margins: Tensor
    weights: Tensor

    def __init__(
        self,
        class_counts: Sequence[int],
        largest_margin: Positive = 0.5,
        scale: Positive = 1.0,
        defer: Share = 0.8,
        beta: Rate = 0.9999,
    ) -> None:
        super().__init__(class_counts)
        if largest_margin < 0 or scale <= 0 or not 0 <= defer <= 1 or not 0 <= beta < 1:
            raise ValueError(
                "largest_margin must not be negative, scale must be positive, defer between 0 and 1, beta at least 0 "
                "and below 1"
            )
        margins = torch.tensor(class_counts, dtype=torch.float64).clamp_min(1) ** -0.25
        margins = margins / margins.max() * largest_margin
        self.scale = scale
        self.defer = defer
        self.progress = 0.0
        self.register_buffer("margins", margins.to(torch.float32), persistent=False)
        self.register_buffer("weights", effective_number_weights(class_counts, beta), persistent=False)

    def start_epoch(self, progress: float) -> None:
        self.progress = progress

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        margins = functional.one_hot(target, self.num_classes) * self.margins[target].to(logits).unsqueeze(1)
        losses = functional.cross_entropy(self.scale * (logits - margins), target, reduction="none")
        if self.training and self.defer < 1 and self.progress >= self.defer:
            losses = self.weights[target].to(losses) * losses
        return losses.mean()
