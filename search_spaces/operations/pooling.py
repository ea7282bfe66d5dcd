"""3x3 average and maximum pooling (Pa, Pm). arXiv 2510.05888, section on operations."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from ...mixture import Mixture
from ._base import Operation
from ._fused import LinearTerm, add_linear
from ._shared import Shared

aten = torch.ops.aten


class AveragePool(Operation):
    """3x3 average pooling (Pa); padding is not counted."""

    capabilities = ("parameter_free",)

    def forward(self, features: Tensor) -> Tensor:
        return functional.avg_pool2d(features, 3, self.stride, padding=1, count_include_pad=False)

    def add_to(self, mixture: Mixture, weight: Tensor) -> None:
        mixture.accumulate(lambda total: add_linear(total, mixture.features, _AVERAGE[self.stride], weight))


class MaxPool(Operation):
    """3x3 maximum pooling (Pm)."""

    capabilities = ("parameter_free",)

    def forward(self, features: Tensor) -> Tensor:
        return functional.max_pool2d(features, 3, self.stride, padding=1)

    def add_to(self, mixture: Mixture, weight: Tensor) -> None:
        mixture.accumulate(lambda total: add_linear(total, mixture.features, _MAXIMUM[self.stride], weight))


def _average(features: Tensor, stride: int) -> tuple[Tensor, None]:
    """Return average pooling; unstrided it is a depth-wise convolution with ones, which is faster on a CPU."""
    if stride != 1 or features.device.type != "cpu":
        return functional.avg_pool2d(features, 3, stride, padding=1, count_include_pad=False), None
    return _sums(features).mul_(_shares(features)), None


def _average_transpose(gradient: Tensor, features: Tensor, _: None, stride: int) -> Tensor:
    if stride != 1 or features.device.type != "cpu":
        result: Tensor = aten.avg_pool2d_backward(gradient, features, [3], [stride], [1], False, False, None)
        return result
    return _sums(gradient * _shares(features))


def _sums(features: Tensor) -> Tensor:
    channels = features.shape[1]
    return functional.conv2d(features, features.new_ones(channels, 1, 3, 3), padding=1, groups=channels)


def _shares(features: Tensor) -> Tensor:
    """Return one over the number of pixels in every window (1, C, H, W), in the layout of the features."""
    rows, columns = (features.new_full((size,), 3.0) for size in features.shape[2:])
    for counts in (rows, columns):
        counts[0] -= 1
        counts[-1] -= 1
    shares = 1 / torch.outer(rows, columns)
    shape = (1, features.shape[1], *shares.shape)
    return shares.expand(shape).contiguous(memory_format=torch.channels_last)


def _maximum(features: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Return maximum pooling and where each maximum was, in as few bytes as it takes."""
    value, where = functional.max_pool2d(features, 3, stride, padding=1, return_indices=True)
    short = features.device.type == "cpu" and features.shape[2] * features.shape[3] <= torch.iinfo(torch.int16).max
    return value, where.to(torch.int16) if short else where


def _maximum_transpose(gradient: Tensor, features: Tensor, where: Tensor, stride: int) -> Tensor:
    result: Tensor = aten.max_pool2d_with_indices_backward(
        gradient, features, [3], [stride], [1], [1], False, where.to(torch.int64)
    )
    return result


_AVERAGE, _MAXIMUM = (
    {stride: LinearTerm(Shared(partial(to, stride=stride)), partial(back, stride=stride)) for stride in (1, 2)}
    for to, back in ((_average, _average_transpose), (_maximum, _maximum_transpose))
)
