"""Squeeze-and-excitation (SE): y = x * sigmoid(W2 relu(W1 GAP(x))). Hu et al., arXiv 1709.01507."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioautoml_nni.kernels.mixture import Mixture

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
        pooled = features.mean((2, 3), keepdim=True)
        return features * torch.sigmoid(self.excite(functional.relu(self.squeeze(pooled))))

    def add_to(self, mixture: Mixture, weight: Tensor) -> None:
        if self.stride == 2:
            super().add_to(mixture, weight)
            return
        gate = _pooled(mixture.features)
        for convolution, activation in ((self.squeeze, functional.relu), (self.excite, torch.sigmoid)):
            gate = activation(functional.linear(gate, convolution.weight.flatten(1), convolution.bias))
        mixture.scale(weight * gate[:, :, None, None])


class _Mean(torch.autograd.Function):
    """The mean over pixels (N, C), whose gradient is not a map of its own but one value repeated."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.shape = features.shape
        return features.mean((2, 3))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        count, channels, height, width = ctx.shape
        return (gradient / (height * width)).view(count, channels, 1, 1).expand(ctx.shape)


_pooled = Shared(_Mean.apply)
