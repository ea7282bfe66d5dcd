"""Terms of a supernet's mixture whose forward and backward passes are written out, with fewer passes over memory.

The mathematics is that of the declared modules. Terms are added in place, so that a sum's gradient goes to each of them
as it is; the mixing weight goes into the batch norm; what a gradient does not need is neither computed nor kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

aten = torch.ops.aten


class Chain(NamedTuple):
    """Convolutions one after the other, without bias.

    Attributes:
        modules: their modules.
        dilation: what is used in the place of the modules' own, None for that; stride is then 1 and padding even.
        costly: whether the result is worth keeping where memory counts.
    """

    modules: tuple[nn.Module, ...]
    dilation: int | None = None
    costly: bool = False

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


def add_norm_relu(
    total: Tensor | None, features: Tensor, chain: Chain, norm: Any, weight: Tensor, lean: bool = False
) -> Tensor:
    """Return total + weight * ReLU(norm(chain(features))) for a scalar weight > 0; `total` is written into.

    The weight goes into the batch norm, which is the same since it is positive.

    Args:
        lean: keep for the backward pass only what is costly to compute again.
    """
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    kernels = [module.weight.to(features.dtype) for module in chain.modules]
    result: Tensor = _ConvNormReLU.apply(total, features, weight, norm.weight, norm.bias, norm, chain, lean, *kernels)
    return result


class _ConvNormReLU(torch.autograd.Function):
    """total + weight * ReLU(batch_norm(convolutions(features))), in place."""

    @staticmethod
    def forward(
        ctx: Any, total: Tensor | None, features: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, norm: Any,
        chain: Chain, lean: bool, *kernels: Tensor,
    ) -> Tensor:  # fmt: skip
        maps = chain.run(features, kernels)
        momentum = 0.0 if norm.momentum is None else norm.momentum
        scaled = (
            weight * gamma
        )  # a tensor of its own: torch 2.15 has wrong gradients for an expanded one in channels_last
        result, mean, spread, reserve, backend = aten._batch_norm_impl_index(
            maps[-1], scaled, weight * beta, norm.running_mean, norm.running_var, norm.training, momentum, norm.eps,
            torch.backends.cudnn.enabled,
        )  # fmt: skip
        functional.relu_(result)
        ctx.eps, ctx.chain, ctx.training, ctx.adds, ctx.backend = (
            norm.eps,
            chain,
            norm.training,
            total is not None,
            backend,
        )
        still = (None, None) if norm.training else (norm.running_mean.clone(), norm.running_var.clone())
        kept = [None, features, maps[-1] if chain.costly else None] if lean else [result, *maps]
        ctx.lean, ctx.shift = lean, weight * beta if lean else None
        ctx.save_for_backward(weight, gamma, beta, scaled, mean, spread, reserve, *still, *kernels, *kept)
        if total is None:
            return result if lean else result.clone()  # what is kept must not be written into
        ctx.mark_dirty(total)
        return total.add_(result)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        weight, gamma, beta, scaled, mean, spread, reserve, *rest = ctx.saved_tensors
        count, wanted = len(ctx.chain.modules), ctx.needs_input_grad
        still, kernels, (result, *maps) = rest[:2], rest[2 : 2 + count], rest[2 + count :]
        if ctx.lean:
            if maps[-1] is None:
                maps = ctx.chain.run(maps[0], tuple(kernels))
            middle, deviation = (mean, spread) if ctx.training else (still[0], torch.rsqrt(still[1] + ctx.eps))
            result = _affine(maps[-1], scaled * deviation, ctx.shift, middle)
        slope, by_gamma, by_beta = aten._batch_norm_impl_index_backward(
            ctx.backend, maps[-1], aten.threshold_backward(gradient, result, 0), scaled, *still, mean, spread,
            ctx.training, ctx.eps, [True, True, True], reserve,
        )  # fmt: skip
        by_weight = torch.dot(by_gamma, gamma).add_(torch.dot(by_beta, beta)) if wanted[2] else None
        by_kernel: list[Tensor | None] = [None] * count
        for index in reversed(range(count)):
            stride, padding, dilation, groups = ctx.chain.settings(index)
            slope, by_kernel[index], _ = aten.convolution_backward(
                slope, maps[index], kernels[index], None, stride, padding, dilation, False, [0, 0], groups,
                [index > 0 or wanted[1], wanted[8 + index], False],
            )  # fmt: skip
        of_norm = (by_gamma * weight if wanted[3] else None, by_beta * weight if wanted[4] else None)
        return gradient if ctx.adds else None, slope, by_weight, *of_norm, None, None, None, *by_kernel


def _affine(features: Tensor, scale: Tensor, shift: Tensor, mean: Tensor) -> Tensor:
    """Return scale * (features - mean) + shift, in the form in which a batch norm computes it on a CPU."""
    ones, zeros = torch.ones_like(scale), torch.zeros_like(scale)
    result: Tensor = aten.native_batch_norm(features, scale, shift - mean * scale, zeros, ones, False, 0.0, 0.0)[0]
    return result


class LinearTerm(NamedTuple):
    """A linear map of feature maps without parameters.

    Attributes:
        forward: (features) -> (result, what the transpose needs or None).
        transpose: (gradient, features, what forward said) -> the gradient by the features.
    """

    forward: Callable[[Tensor], tuple[Tensor, Tensor | None]]
    transpose: Callable[[Tensor, Tensor, Tensor | None], Tensor]


def add_linear(total: Tensor | None, features: Tensor, term: LinearTerm, weight: Tensor) -> Tensor:
    """Return total + weight * term(features), for a linear term; `total` is written into."""
    result: Tensor = _Linear.apply(total, features, weight, term)
    return result


class _Linear(torch.autograd.Function):
    """total + weight * L(features). The gradient by the weight is <g, L x> = <L' g, x>, so that L x is not kept."""

    @staticmethod
    def forward(ctx: Any, total: Tensor | None, features: Tensor, weight: Tensor, term: LinearTerm) -> Tensor:
        value, extra = term.forward(features)
        ctx.term, ctx.adds = term, total is not None
        ctx.save_for_backward(features, weight, extra)
        if total is None:
            return value * weight
        ctx.mark_dirty(total)
        return total.addcmul_(value, weight.to(value.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        features, weight, extra = ctx.saved_tensors
        slope = ctx.term.transpose(gradient, features, extra)
        by_weight = inner_product(slope, features).to(weight.dtype) if ctx.needs_input_grad[2] else None
        return gradient if ctx.adds else None, slope.mul_(weight), by_weight, None


def inner_product(first: Tensor, second: Tensor) -> Tensor:
    """Return the sum of the products of two feature maps."""
    if first.device.type == "cpu" and first.dtype == second.dtype and first.dtype in (torch.float32, torch.float64):
        return torch.dot(first.permute(0, 2, 3, 1).reshape(-1), second.permute(0, 2, 3, 1).reshape(-1))
    return (first * second).sum(dtype=torch.promote_types(first.dtype, torch.float32))
