"""Squeeze-and-excitation (SE): y = x * sigmoid(W2 relu(W1 GAP(x))). Hu et al., arXiv 1709.01507."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...mixture import Mixture
from ._base import Operation
from ._shared import Shared


class SqueezeExcitation(Operation):
    """Squeeze-and-excitation channel attention (SE); stride 2 averages 2x2 windows first."""

    reduction = 4

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, stride)
        hidden = max(channels // self.reduction, 4)
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        if self.stride == 2:
            features = functional.avg_pool2d(features, 2, ceil_mode=True)
        return features * self._gate(features)

    def add_to(self, mixture: Mixture, weight: Tensor) -> None:
        if self.stride == 1:
            mixture.scale(weight * self._gate(mixture.features))
        else:
            super().add_to(mixture, weight)

    def _gate(self, features: Tensor) -> Tensor:
        return torch.sigmoid(self.excite(functional.relu(self.squeeze(_pooled(features)))))


_pooled = Shared(lambda features: features.mean((2, 3), keepdim=True))
