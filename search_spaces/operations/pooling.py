"""3x3 average and maximum pooling (Pa, Pm). arXiv 2510.05888, section on operations."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from bioautoml_nni.kernels import operators
from bioautoml_nni.kernels.mixture import LinearTerm, Mixture, product_sum
from bioautoml_nni.kernels.passes import (
    arranged,
    average_pool,
    average_pool_gradients,
    max_pool,
    max_pool_gradients,
    usable,
)

from ._base import Operation
from ._shared import Shared


class AveragePool(Operation):
    """3x3 average pooling (Pa); padding is not counted."""

    capabilities = ("parameter_free",)

    def forward(self, features: Tensor) -> Tensor:
        return functional.avg_pool2d(features, 3, self.stride, padding=1, count_include_pad=False)

    def add_to(self, mixture: Mixture, weight: Tensor) -> None:
        mixture.add_term(LinearTerm(*_AVERAGE[self.stride], weight))


class MaxPool(Operation):
    """3x3 maximum pooling (Pm)."""

    capabilities = ("parameter_free",)

    def forward(self, features: Tensor) -> Tensor:
        return functional.max_pool2d(features, 3, self.stride, padding=1)

    def add_to(self, mixture: Mixture, weight: Tensor) -> None:
        mixture.add_term(LinearTerm(*_MAXIMUM[self.stride], weight))


def _average(features: Tensor, stride: int) -> tuple[Tensor, None]:
    if stride == 1 and usable(features):
        return average_pool(features), None
    return functional.avg_pool2d(features, 3, stride, padding=1, count_include_pad=False), None


def _average_gradients(
    accumulated: Tensor | None, gradient: Tensor, features: Tensor, _: None, weight: Tensor, stride: int
) -> tuple[Tensor, Tensor]:
    if stride == 1 and usable(features):
        return average_pool_gradients(accumulated, arranged(gradient), features, weight)
    back = operators.average_pool_gradients(gradient, features, stride)
    return _weighted(accumulated, back, features, weight)


def _maximum(features: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return maximum pooling and where each maximum was, in as few bytes as it takes."""
    if stride == 1 and usable(features):
        return max_pool(features)
    value, where = functional.max_pool2d(features, 3, stride, padding=1, return_indices=True)
    short = features.device.type == "cpu" and features.shape[2] * features.shape[3] <= torch.iinfo(torch.int16).max
    return value, where.to(torch.int16) if short else where


def _maximum_gradients(
    accumulated: Tensor | None, gradient: Tensor, features: Tensor, where: Tensor, weight: Tensor, stride: int
) -> tuple[Tensor, Tensor]:
    if stride == 1 and usable(features):
        return max_pool_gradients(accumulated, arranged(gradient), where, features, weight)
    back = operators.maximum_pool_gradients(gradient, features, where.to(torch.int64), stride)
    return _weighted(accumulated, back, features, weight)


def _weighted(accumulated: Tensor | None, back: Tensor, features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return accumulated + weight * back and <back, features>."""
    by_weight = product_sum(back, features)
    weight = weight.to(back.dtype)
    return back.mul_(weight) if accumulated is None else accumulated.addcmul_(back, weight), by_weight


_AVERAGE, _MAXIMUM = (
    {stride: (Shared(partial(pool, stride=stride)), partial(back, stride=stride)) for stride in (1, 2)}
    for pool, back in ((_average, _average_gradients), (_maximum, _maximum_gradients))
)
"""By stride: the pool, which all edges of a state share, and its gradients."""
