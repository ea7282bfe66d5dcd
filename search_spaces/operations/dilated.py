"""Dilated convolutions of rate 2 (L3, L5): ReLU(BN(Conv(x))). arXiv 2510.05888, section on operations.

At rate 2 the four grids of every second pixel never meet, and padding is even. So a strided convolution is a plain one
on one of the grids, and an unstrided one is a plain one on the four grids as a batch. On a CPU the weight gradient of a
dilated convolution can be two to five times slower than that (torch 2.15, oneDNN).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioautoml_nni.kernels.mixture import Mixture
from bioautoml_nni.kernels.norm_relu import NormReLU

from ._base import Operation, norm_relu
from ._shared import Shared, subsampled


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

    def convolved(self, features: Tensor) -> Tensor:
        """Return the convolution alone, in whichever equal form is fast."""
        convolution: Any = self.layers[0]
        weight, padding = convolution.weight, (self.kernel_size - 1) // 2
        if self.stride == 2:
            return functional.conv2d(features[:, :, ::2, ::2], weight, convolution.bias, padding=padding)
        if not _grids_pay(features, weight):
            return convolution(features)
        return joined(functional.conv2d(grids(features), weight, convolution.bias, padding=padding))

    def add_to(self, mixture: Mixture, weight: Tensor) -> None:
        convolution: Any = self.layers[0]
        features, arrangement, dilation = mixture.features, None, 1
        if self.stride == 2:
            features = subsampled(features, 2)
        elif _grids_pay(features, convolution.weight):
            features, arrangement = _shared_grids(features), joined
        else:
            dilation = self.dilation
        mixture.add_term(NormReLU((convolution,), self.layers[1], weight, dilation), features, arrangement)


def _grids_pay(features: Tensor, kernel: Tensor) -> bool:
    """Return whether the four grids are faster: where a CPU computes the gradient of the kernel.

    With AVX-512 that gradient is slow only for kernels that reach over the whole map.
    """
    height, width = features.shape[2:]
    if features.device.type != "cpu" or not kernel.requires_grad or not torch.is_grad_enabled():
        return False
    reach = 2 * (kernel.shape[2] - 1) + 1
    slow = min(height, width) < reach or not torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return slow and height % 2 == 0 and width % 2 == 0


def grids(features: Tensor) -> Tensor:
    """Return the four grids of every second pixel (4 N, C, H / 2, W / 2) of (N, C, H, W).

    Example:
        >>> import torch
        >>> grids(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([8, 3, 4, 4])
    """
    count, channels, height, width = features.shape
    split = features.permute(0, 2, 3, 1).reshape(count, height // 2, 2, width // 2, 2, channels)
    return split.permute(2, 4, 0, 1, 3, 5).reshape(4 * count, height // 2, width // 2, channels).permute(0, 3, 1, 2)


_shared_grids = Shared(grids)


def joined(features: Tensor) -> Tensor:
    """Undo `grids`."""
    count, channels, height, width = features.shape
    split = features.permute(0, 2, 3, 1).reshape(2, 2, count // 4, height, width, channels)
    return split.permute(2, 3, 0, 4, 1, 5).reshape(count // 4, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


class DilatedConv3x3(_DilatedConv):
    """Dilated 3x3 convolution of rate 2 (L3), receptive field 5x5."""

    kernel_size = 3


class DilatedConv5x5(_DilatedConv):
    """Dilated 5x5 convolution of rate 2 (L5), receptive field 9x9."""

    kernel_size = 5
