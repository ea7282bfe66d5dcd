"""Dilated convolutions of rate 2 (L3, L5): ReLU(BN(Conv(x))). arXiv 2510.05888, section on operations."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ._base import Operation, folded, norm_relu
from ._shared import Shared


class _DilatedConv(Operation):
    kernel_size: int
    dilation = 2

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, stride)
        padding = self.dilation * (self.kernel_size - 1) // 2
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, self.kernel_size, stride, padding, dilation=self.dilation, bias=False),
            *norm_relu(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers[1:](self.convolved(features))

    def weighted(self, features: Tensor, weight: Tensor) -> Tensor:
        return folded(self.convolved(features), self.layers[1], weight)

    def convolved(self, features: Tensor) -> Tensor:
        """Return the convolution alone, in whichever equal form is fast.

        At rate 2 the four grids of every second pixel never meet, and padding is even. So a strided convolution is a
        plain one on one of the grids, and an unstrided one is a plain one on the four grids as a batch. The weight
        gradient of dilated convolutions is two to three times slower than that on a CPU (torch 2.15, oneDNN).
        """
        convolution: Any = self.layers[0]
        weight, bias = convolution.weight, convolution.bias
        padding = (self.kernel_size - 1) // 2
        if self.stride == 2:
            return functional.conv2d(features[:, :, ::2, ::2], weight, bias, padding=padding)
        count, _, height, width = features.shape
        trains_on_cpu = features.device.type == "cpu" and weight.requires_grad and torch.is_grad_enabled()
        if not trains_on_cpu or height % 2 or width % 2:
            return convolution(features)
        return _joined(functional.conv2d(_shared_grids(features), weight, bias, padding=padding), count)


def _grids(features: Tensor) -> Tensor:
    """Return the four grids of every second pixel (4 N, C, H / 2, W / 2) of (N, C, H, W)."""
    count, channels, height, width = features.shape
    split = features.permute(0, 2, 3, 1).reshape(count, height // 2, 2, width // 2, 2, channels)
    return split.permute(2, 4, 0, 1, 3, 5).reshape(4 * count, height // 2, width // 2, channels).permute(0, 3, 1, 2)


_shared_grids = Shared(_grids)


def _joined(grids: Tensor, count: int) -> Tensor:
    """Undo `_grids` for a batch of `count`."""
    _, channels, height, width = grids.shape
    split = grids.permute(0, 2, 3, 1).reshape(2, 2, count, height, width, channels)
    return split.permute(2, 3, 0, 4, 1, 5).reshape(count, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


class DilatedConv3x3(_DilatedConv):
    """Dilated 3x3 convolution of rate 2 (L3), receptive field 5x5."""

    kernel_size = 3


class DilatedConv5x5(_DilatedConv):
    """Dilated 5x5 convolution of rate 2 (L5), receptive field 9x9."""

    kernel_size = 5
