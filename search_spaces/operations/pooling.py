"""3x3 average and maximum pooling (Pa, Pm). arXiv 2510.05888, section on operations."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from ._base import Operation


class AveragePool(Operation):
    """3x3 average pooling (Pa); padding is not counted."""

    capabilities = ("parameter_free",)

    def forward(self, features: Tensor) -> Tensor:
        return functional.avg_pool2d(features, 3, self.stride, padding=1, count_include_pad=False)


class MaxPool(Operation):
    """3x3 maximum pooling (Pm)."""

    capabilities = ("parameter_free",)

    def forward(self, features: Tensor) -> Tensor:
        return functional.max_pool2d(features, 3, self.stride, padding=1)
