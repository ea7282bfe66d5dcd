"""1x1 convolution (S): channel mixing and optional down-sampling. arXiv 2510.05888, section on operations."""

from __future__ import annotations

from torch import Tensor, nn

from bioautoml_nni.kernels.mixture import Mixture
from bioautoml_nni.kernels.norm_relu import NormReLU

from ._base import Operation, norm_relu
from ._shared import subsampled


class PointwiseConv(Operation):
    """1x1 convolution with batch norm and ReLU (S)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, stride)
        self.layers = nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), *norm_relu(channels))

    def forward(self, features: Tensor) -> Tensor:
        # The stride is taken before the convolution: the same function, a quarter of the reads, and torch 2.15's
        # backward pass of strided 1x1 convolutions in channels_last writes outside its memory on a CPU.
        return self.layers(features[:, :, :: self.stride, :: self.stride])

    def add_to(self, mixture: Mixture, weight: Tensor) -> None:
        term = NormReLU((self.layers[0],), self.layers[1], weight)
        mixture.add_term(term, subsampled(mixture.features, self.stride))
