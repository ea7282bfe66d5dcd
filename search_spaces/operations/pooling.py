"""3x3 average and maximum pooling (Pa, Pm). arXiv 2510.05888, section on operations."""

from __future__ import annotations

from functools import partial

from torch import Tensor
from torch.nn import functional

from ._base import Operation
from ._shared import Shared

_shared_average = {
    stride: Shared(partial(functional.avg_pool2d, kernel_size=3, stride=stride, padding=1, count_include_pad=False))
    for stride in (1, 2)
}
_shared_maximum = {
    stride: Shared(partial(functional.max_pool2d, kernel_size=3, stride=stride, padding=1)) for stride in (1, 2)
}


class AveragePool(Operation):
    """3x3 average pooling (Pa); padding is not counted."""

    capabilities = ("parameter_free",)

    def forward(self, features: Tensor) -> Tensor:
        return functional.avg_pool2d(features, 3, self.stride, padding=1, count_include_pad=False)

    def weighted(self, features: Tensor, weight: Tensor) -> Tensor:
        return weight * _shared_average[self.stride](features)


class MaxPool(Operation):
    """3x3 maximum pooling (Pm)."""

    capabilities = ("parameter_free",)

    def forward(self, features: Tensor) -> Tensor:
        return functional.max_pool2d(features, 3, self.stride, padding=1)

    def weighted(self, features: Tensor, weight: Tensor) -> Tensor:
        return weight * _shared_maximum[self.stride](features)
