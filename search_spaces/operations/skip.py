"""Skip connection (SK): identity, or at stride 2 a factorised reduction as in DARTS (arXiv 1806.09055)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bioautoml_nni.kernels.mixture import Mixture

from ._base import Operation
from ._shared import subsampled


class SkipConnection(Operation):
    """Identity (SK); at stride 2 two shifted 1x1 convolutions with batch norm that see every pixel diagonal."""

    capabilities = ("skip",)

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, stride)
        if stride == 2:
            self.even = nn.Conv2d(channels, channels - channels // 2, 1, bias=False)
            self.odd = nn.Conv2d(channels, channels // 2, 1, bias=False)
            self.norm: Any = nn.BatchNorm2d(channels)

    def forward(self, features: Tensor) -> Tensor:
        if self.stride == 1:
            return features
        return self._halved(features, features[:, :, ::2, ::2])

    def _halved(self, features: Tensor, even: Tensor) -> Tensor:
        missing = (0, features.shape[3] % 2, 0, features.shape[2] % 2)  # zeros beyond the last pixel, if it is even
        odd = functional.pad(features, missing) if any(missing) else features
        return self.norm(torch.cat([self.even(even), self.odd(odd[:, :, 1::2, 1::2])], dim=1))

    def add_to(self, mixture: Mixture, weight: Tensor) -> None:
        if self.stride == 1:
            mixture.scale(weight)
        else:
            mixture.add(weight * self._halved(mixture.features, subsampled(mixture.features, 2)))

    def fold_norm(self) -> None:
        """Fold the batch norm into both convolutions, for inference."""
        if self.stride == 1 or isinstance(self.norm, nn.Identity):
            return
        scale = self.norm.weight / torch.sqrt(self.norm.running_var + self.norm.eps)
        bias = self.norm.bias - self.norm.running_mean * scale
        middle = self.even.out_channels
        with torch.no_grad():
            for convolution, part in ((self.even, slice(0, middle)), (self.odd, slice(middle, None))):
                convolution.weight.mul_(scale[part].view(-1, 1, 1, 1))
                convolution.bias = nn.Parameter(bias[part].clone())
        self.norm = nn.Identity()
