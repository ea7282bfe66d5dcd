"""1x1 convolution (S): channel mixing and optional down-sampling. arXiv 2510.05888, section on operations."""

from __future__ import annotations

from torch import Tensor, nn

from ._base import Operation, folded, norm_relu


class PointwiseConv(Operation):
    """1x1 convolution with batch norm and ReLU (S)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, stride)
        self.layers = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), *norm_relu(channels))

    def weighted(self, features: Tensor, weight: Tensor) -> Tensor:
        return folded(self.layers[0](features[:, :, :: self.stride, :: self.stride]), self.layers[1], weight)

    def forward(self, features: Tensor) -> Tensor:
        # The stride is taken before the convolution: the same function, a quarter of the reads, and torch 2.15's
        # backward pass of strided 1x1 convolutions in channels_last writes outside its memory on a CPU.
        return self.layers(features[:, :, :: self.stride, :: self.stride])
