"""Dilated convolutions of rate 2 (L3, L5): ReLU(BN(Conv(x))). arXiv 2510.05888, section on operations."""

from __future__ import annotations

from torch import Tensor, nn

from ._base import Operation, norm_relu


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
        return self.layers(features)


class DilatedConv3x3(_DilatedConv):
    """Dilated 3x3 convolution of rate 2 (L3), receptive field 5x5."""

    kernel_size = 3


class DilatedConv5x5(_DilatedConv):
    """Dilated 5x5 convolution of rate 2 (L5), receptive field 9x9."""

    kernel_size = 5
