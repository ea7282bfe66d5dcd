"""The contract of a loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..utils.renamed import accept_former_name


class Loss(nn.Module):
    """A training loss over logits.

    Args:
        class_counts: number of training specimens of each class.

    Attributes:
        capabilities: "imbalance" if it makes rare classes count more than their number does.
    """

    capabilities: tuple[str, ...] = ()

    def __init__(self, class_counts: Sequence[int]) -> None:
        super().__init__()
        self.num_classes = len(class_counts)

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        accept_former_name(cls, "natural_logits", "prior_logits")

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return the mean loss of logits (N, K) for class indices (N,)."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def start_epoch(self, progress: float) -> None:
        """Adapt to the share of the training that is done, from 0 to 1, before each epoch."""

    def prior_logits(self, logits: Tensor) -> Tensor:
        """Return logits whose softmax estimates class probabilities under the training distribution."""
        return logits


class PriorAdjusted(Loss):
    """A loss over logits + tau * log(prior), so that the plain logits decide as if classes were equally frequent.

    Menon et al., Long-tail learning via logit adjustment, arXiv 2007.07314.

    Args:
        tau: strength; 0 keeps the training prior.
    """

    adjustment: Tensor

    def __init__(self, class_counts: Sequence[int], tau: float) -> None:
        super().__init__(class_counts)
        counts = torch.as_tensor(class_counts, dtype=torch.float32).clamp(min=0.5)
        self.register_buffer("adjustment", tau * torch.log(counts / counts.sum()), persistent=False)

    def prior_logits(self, logits: Tensor) -> Tensor:
        """Return logits + tau * log(prior)."""
        return logits + self.adjustment
