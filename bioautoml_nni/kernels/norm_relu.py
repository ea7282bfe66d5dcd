"""Terms of a supernet's mixture whose forward and backward passes are written out, with fewer passes over memory.

The mathematics is that of the declared modules. Terms are added in place, so that a sum's gradient goes to each of them
as it is; the mixing weight goes into the batch norm; what a gradient does not need is neither computed nor kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .convolution import Convolution
from .mixture import GradientAccumulator, Term
from .operators import batch_norm, batch_norm_gradients, relu_gradients
from .passes import arranged, norm_relu, norm_relu_gradients, usable


class NormReLU(Term):
    """weight * ReLU(norm(convolutions(features))) for a scalar weight > 0.

    The weight goes into the batch norm, which is the same since it is positive.

    Args:
        convolutions: none, or some without bias; all but the first keep the shape of what they get.
        norm: the batch norm.
        dilation: of the convolutions, in the place of their own, see `Convolution`.
    """

    def __init__(self, convolutions: Sequence[Any], norm: Any, weight: Tensor, dilation: int | None = None) -> None:
        self.modules, self.norm, self.dilation = convolutions, norm, dilation
        self.parameters = (weight, norm.weight, norm.bias, *(module.weight for module in convolutions))
        self.training, self.eps = norm.training, norm.eps
        self.convolutions: list[Convolution] = []
        self.vectors: Any = None
        self.backend: Any = None

    def add(
        self, total: Tensor | None, features: Tensor, parameters: Sequence[Tensor], wanted: Sequence[bool]
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        norm = self.norm
        weight, gamma, beta, *kernels = parameters
        if self.training and norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        dense, last, maps = usable(features), features, []
        self.convolutions = [Convolution(module, self.dilation, dense) for module in self.modules]
        for convolution, kernel in zip(self.convolutions, kernels, strict=True):
            last = convolution(last, _as(kernel, features))
            maps.append(last)
        if self.training and last.numel() == last.shape[1]:
            raise ValueError(f"a batch norm needs more than one value of a channel in training, got {last.shape}")
        if not any(wanted[3:]):  # what comes between is for the gradients of the later kernels only
            maps = [last] * len(maps)
        if dense and usable(last) and (total is None or usable(total)):
            result, self.vectors = norm_relu(total, last, weight, gamma, beta, norm)
            return result, tuple(maps)
        still = (None, None) if self.training else (norm.running_mean.clone(), norm.running_var.clone())
        # a tensor of its own: torch 2.15 has wrong gradients for an expanded one in channels_last
        scaled, shift = weight * gamma, weight * beta
        result, own, self.backend = batch_norm(last, scaled, shift, norm, _momentum(norm), self.training)
        functional.relu_(result)
        kept = (*maps, result, scaled, *still, *own)
        return result.clone() if total is None else total.add_(result), kept  # what is kept must not be written into

    def gradients(
        self, accumulated: GradientAccumulator, gradient: Tensor, features: Tensor, parameters: Sequence[Tensor],
        kept: Sequence[Tensor | None], wanted: Sequence[bool],
    ) -> Sequence[Tensor | None]:  # fmt: skip
        weight, gamma, beta, *kernels = parameters
        maps: list[Any] = [features, *kept[: len(kernels)]]
        if self.vectors is not None:
            inner, by_gamma, by_beta = norm_relu_gradients(arranged(gradient), maps[-1], self.vectors, self.training)
        else:
            inner, by_gamma, by_beta = self._gradients_by_torch(gradient, maps[-1], *kept[len(kernels) :])
        by_weight = torch.dot(by_gamma, gamma).add_(torch.dot(by_beta, beta)) if wanted[0] else None
        by_affine = (by_gamma * weight if wanted[1] else None, by_beta * weight if wanted[2] else None)
        by_kernel: list[Tensor | None] = [None] * len(kernels)
        for index in reversed(range(len(kernels))):
            convolution, kernel = self.convolutions[index], _as(kernels[index], features)
            if wanted[3 + index]:
                by_kernel[index] = _as(convolution.by_kernel(inner, maps[index], kernel), kernels[index])
            if index:
                inner = convolution.by_features(inner, maps[index], kernel)
            elif accumulated.wanted:
                convolution.add_by_features(accumulated, inner, features, kernel)
        if not kernels:
            accumulated.add(inner)
        return by_weight, *by_affine, *by_kernel

    def _gradients_by_torch(
        self, gradient: Tensor, features: Tensor, result: Any, scaled: Any, running_mean: Any, running_variance: Any,
        mean: Any, spread: Any, reserve: Any,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return the gradients of ReLU(batch norm) w.r.t. its input, scale and shift."""
        return batch_norm_gradients(
            relu_gradients(gradient, result), features, scaled, (running_mean, running_variance), self.training,
            self.eps, (mean, spread, reserve), self.backend,
        )  # fmt: skip


def _momentum(norm: Any) -> float:
    if norm.momentum is None:
        return 1 / float(norm.num_batches_tracked)
    return float(norm.momentum)


def _as(values: Tensor, like: Tensor) -> Tensor:
    return values if values.dtype == like.dtype else values.to(like.dtype)
