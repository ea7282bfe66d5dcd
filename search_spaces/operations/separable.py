"""Depth-wise separable convolutions (D3, D5): ReLU(BN(W_pw * (x *_dw W_dw))). arXiv 2510.05888."""

from __future__ import annotations

from torch import Tensor, nn

from bioautoml_nni.kernels.mixture import Mixture
from bioautoml_nni.kernels.norm_relu import NormReLU

from ._base import Operation, norm_relu


class _SeparableConv(Operation):
    kernel_size: int

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, stride)
        kernel = self.kernel_size
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1, bias=False),
            *norm_relu(channels),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)

    def add_to(self, mixture: Mixture, weight: Tensor) -> None:
        mixture.add_term(NormReLU((self.layers[0], self.layers[1]), self.layers[2], weight))


class SeparableConv3x3(_SeparableConv):
    """Depth-wise separable 3x3 convolution (D3)."""

    kernel_size = 3


class SeparableConv5x5(_SeparableConv):
    """Depth-wise separable 5x5 convolution (D5)."""

    kernel_size = 5
