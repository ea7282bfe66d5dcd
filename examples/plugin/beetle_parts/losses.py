"""A loss."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from bioautoml_nni.losses._base import Loss


class SmoothedCrossEntropy(Loss):
    """Cross-entropy that leaves a little probability to the other classes."""

    def __init__(self, class_counts: Sequence[int], smoothing: float = 0.1) -> None:
        super().__init__(class_counts)
        self.smoothing = smoothing

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return functional.cross_entropy(logits, target, label_smoothing=self.smoothing)
