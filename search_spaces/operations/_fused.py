"""Terms of a supernet's mixture whose forward and backward passes are written out, with fewer passes over memory.

The mathematics is that of the declared modules. Terms are added in place, so that a sum's gradient goes to each of them
as it is; the mixing weight goes into the batch norm; what a gradient does not need is neither computed nor kept.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from ...kernels import arranged, depthwise_gradient, norm_relu, norm_relu_gradients, usable

aten = torch.ops.aten


class Chain(NamedTuple):
    """Convolutions one after the other, without bias; all but the first keep the shape of what they get.

    Attributes:
        modules: their modules.
        dilation: what is used in the place of the modules' own, None for that; stride is then 1 and padding even.
    """

    modules: tuple[nn.Module, ...]
    dilation: int | None = None

    def settings(self, index: int) -> tuple[list[int], list[int], list[int], int]:
        """Return stride, padding, dilation and groups of a convolution."""
        module: Any = self.modules[index]
        if self.dilation is None:
            return list(module.stride), list(module.padding), list(module.dilation), module.groups
        padding = [self.dilation * (size - 1) // 2 for size in module.kernel_size]
        return [1, 1], padding, [self.dilation, self.dilation], module.groups

    def run(self, features: Tensor, kernels: tuple[Tensor, ...]) -> list[Tensor]:
        """Return the input and every convolution's output."""
        maps = [features]
        for index, kernel in enumerate(kernels):
            stride, padding, dilation, groups = self.settings(index)
            maps.append(functional.conv2d(maps[-1], kernel, None, stride, padding, dilation, groups))
        return maps


def add_norm_relu(total: Tensor | None, features: Tensor, chain: Chain, norm: Any, weight: Tensor) -> Tensor:
    """Return total + weight * ReLU(norm(chain(features))) for a scalar weight > 0; `total` is written into.

    The weight goes into the batch norm, which is the same since it is positive.
    """
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    kernels = [module.weight.to(features.dtype) for module in chain.modules]
    result: Tensor = _ConvNormReLU.apply(total, features, weight, norm.weight, norm.bias, norm, chain, *kernels)
    return result


class _ConvNormReLU(torch.autograd.Function):
    """total + weight * ReLU(batch_norm(convolutions(features))), in place."""

    @staticmethod
    def forward(
        ctx: Any, total: Tensor | None, features: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, norm: Any,
        chain: Chain, *kernels: Tensor,
    ) -> Tensor:  # fmt: skip
        maps = chain.run(features, kernels)
        if norm.training and maps[-1].numel() == maps[-1].shape[1]:
            raise ValueError(f"a batch norm needs more than one value of a channel in training, got {maps[-1].shape}")
        ctx.eps, ctx.chain, ctx.training, ctx.adds = norm.eps, chain, norm.training, total is not None
        if not any(ctx.needs_input_grad[8:]):  # what comes between is for the gradients of the later kernels only
            maps = [features, *[maps[-1]] * len(kernels)]
        still = (None, None) if norm.training else (norm.running_mean.clone(), norm.running_var.clone())
        own = usable(maps[-1]) and (total is None or usable(total))
        if own:
            result, ctx.vectors = norm_relu(total, maps[-1], weight, gamma, beta, norm)
            ctx.save_for_backward(weight, gamma, beta, *kernels, *maps)
        else:
            # a tensor of its own: torch 2.15 has wrong gradients for an expanded one in channels_last
            scaled, shift, ctx.vectors = weight * gamma, weight * beta, None
            result, mean, spread, reserve, ctx.backend = aten._batch_norm_impl_index(
                maps[-1], scaled, shift, norm.running_mean, norm.running_var, norm.training, _momentum(norm),
                norm.eps, torch.backends.cudnn.enabled,
            )  # fmt: skip
            functional.relu_(result)
            of_norm = (result, scaled, *still, mean, spread, reserve)
            ctx.save_for_backward(weight, gamma, beta, *kernels, *maps, *of_norm)
            if total is None:
                return result.clone()  # what is kept must not be written into
            result = total.add_(result)
        if total is not None:
            ctx.mark_dirty(total)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        weight, gamma, beta, *rest = ctx.saved_tensors
        count, wanted = len(ctx.chain.modules), ctx.needs_input_grad
        kernels, maps, of_norm = rest[:count], rest[count : 2 * count + 1], rest[2 * count + 1 :]
        if ctx.vectors is not None:
            slope = arranged(gradient)
            slope, by_gamma, by_beta = norm_relu_gradients(slope, maps[-1], ctx.vectors, ctx.training)
        else:
            slope, by_gamma, by_beta = _gradients_by_torch(ctx, gradient, maps[-1], *of_norm)
        by_weight = torch.dot(by_gamma, gamma).add_(torch.dot(by_beta, beta)) if wanted[2] else None
        by_kernel: list[Tensor | None] = [None] * count
        for index in reversed(range(count)):
            slope, by_kernel[index] = _convolution_gradients(
                slope, maps[index], kernels[index], ctx.chain.settings(index), index > 0 or wanted[1], wanted[7 + index]
            )
        by_affine = (by_gamma * weight if wanted[3] else None, by_beta * weight if wanted[4] else None)
        return gradient if ctx.adds else None, slope, by_weight, *by_affine, None, None, *by_kernel


def _momentum(norm: Any) -> float:
    if norm.momentum is None:
        return 1 / float(norm.num_batches_tracked)
    return float(norm.momentum)


def _gradients_by_torch(
    ctx: Any, gradient: Tensor, features: Tensor, result: Tensor, scaled: Tensor,
    running_mean: Tensor, running_variance: Tensor, mean: Tensor, spread: Tensor, reserve: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return the gradients of ReLU(batch norm) by its input, scale and shift."""
    by_all: tuple[Tensor, Tensor, Tensor] = aten._batch_norm_impl_index_backward(
        ctx.backend, features, aten.threshold_backward(gradient, result, 0), scaled, running_mean, running_variance,
        mean, spread, ctx.training, ctx.eps, [True, True, True], reserve,
    )  # fmt: skip
    return by_all


def _convolution_gradients(
    gradient: Tensor, features: Tensor, kernel: Tensor, settings: tuple[list[int], list[int], list[int], int],
    by_features: bool, by_kernel: bool,
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """Return the gradients of a convolution by its input and by its kernel, those that are wanted."""
    stride, padding, dilation, groups = settings
    own = (
        by_kernel
        and groups == features.shape[1]
        and kernel.shape[2] == kernel.shape[3] >= 5
        and stride == dilation == [1, 1]
        and usable(features)
        and usable(gradient)
    )
    first: Tensor | None = None
    second: Tensor | None = depthwise_gradient(features, gradient, kernel.shape[2]) if own else None
    if by_features or not own:
        masks = [by_features, by_kernel and not own, False]
        first, other, _ = aten.convolution_backward(
            gradient, features, kernel, None, stride, padding, dilation, False, [0, 0], groups, masks
        )
        second = other if second is None else second
    return first, second
