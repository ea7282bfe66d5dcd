"""A convolution without bias with its gradients, each in the equal form that is fast for the maps at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from .mixture import GradientAccumulator
from .operators import convolution_gradients
from .passes import arranged, as_map, depthwise_gradient, pixels


class Convolution:
    """What a `nn.Conv2d` without bias computes.

    A 1x1 convolution is the product of pixels and a matrix, whose gradient adds to others in place. The gradient of an
    unstrided depth-wise one w.r.t. its input is a convolution, with the kernel turned round, and oneDNN takes half
    the time for it (torch 2.15).

    Args:
        module: holds kernel (D, C / groups, K, K) and settings.
        dilation: used in the place of the module's own, None for that; stride is then 1 and padding even.
        dense: whether the maps are `kernels.usable`.
    """

    def __init__(self, module: nn.Module, dilation: int | None, dense: bool) -> None:
        declared: Any = module
        sizes, self.groups = declared.kernel_size, declared.groups
        if dilation is None:
            self.stride, self.padding = list(declared.stride), list(declared.padding)
            self.dilation = list(declared.dilation)
        else:
            self.stride, self.padding = [1, 1], [dilation * (size - 1) // 2 for size in sizes]
            self.dilation = [dilation, dilation]
        plain = dense and self.stride == [1, 1]
        self.is_product = plain and sizes == (1, 1) and self.groups == 1 and self.padding == [0, 0]
        self.is_depthwise = (
            plain
            and self.groups == declared.in_channels == declared.out_channels
            and self.dilation == [1, 1]
            and sizes[0] == sizes[1]
            and self.padding == [sizes[0] // 2] * 2
            and sizes[0] % 2 == 1
        )

    def __call__(self, features: Tensor, kernel: Tensor) -> Tensor:
        """Return the result (N, D, H', W')."""
        if self.is_product:
            return as_map(pixels(features) @ kernel[:, :, 0, 0].t(), features)
        return functional.conv2d(features, kernel, None, self.stride, self.padding, self.dilation, self.groups)

    def by_kernel(self, gradient: Tensor, features: Tensor, kernel: Tensor) -> Tensor:
        """Return the gradient w.r.t. the kernel."""
        if self.is_product:
            return (pixels(gradient).t() @ pixels(features)).view_as(kernel)
        if self.is_depthwise and kernel.shape[2] >= 5:
            return depthwise_gradient(features, gradient, kernel.shape[2])
        return self._gradients(gradient, features, kernel, [False, True])[1]

    def by_features(self, gradient: Tensor, features: Tensor, kernel: Tensor) -> Tensor:
        """Return the gradient w.r.t. the input."""
        if self.is_product:
            return as_map(pixels(gradient) @ kernel[:, :, 0, 0], features)
        if self.is_depthwise:
            turned = kernel.flip(2, 3)
            return functional.conv2d(gradient, turned, None, self.stride, self.padding, self.dilation, self.groups)
        return self._gradients(gradient, features, kernel, [True, False])[0]

    def add_by_features(
        self, accumulated: GradientAccumulator, gradient: Tensor, features: Tensor, kernel: Tensor
    ) -> None:
        """Add the gradient w.r.t. the input to `accumulated`."""
        if self.is_product and accumulated.first is not None:
            accumulated.first = arranged(accumulated.first)
            pixels(accumulated.first).addmm_(pixels(gradient), kernel[:, :, 0, 0])
        else:
            accumulated.add(self.by_features(gradient, features, kernel))

    def _gradients(self, gradient: Tensor, features: Tensor, kernel: Tensor, wanted: list[bool]) -> Any:
        return convolution_gradients(
            gradient, features, kernel, self.stride, self.padding, self.dilation, self.groups, wanted
        )


def mixed_channels(states: Sequence[Tensor], kernel: Tensor) -> Tensor:
    """Return the 1x1 convolution of `kernels.usable` maps (N, C_i, H, W), as if they were concatenated.

    Args:
        kernel: (D, sum of C_i, 1, 1).
    """
    result: Tensor = _MixedChannels.apply(kernel, *states)
    return result


class _MixedChannels(torch.autograd.Function):
    """A sum of products, one for each map; neither the concatenation nor slices of its gradient are made."""

    @staticmethod
    def forward(ctx: Any, kernel: Tensor, *states: Tensor) -> Tensor:
        ctx.save_for_backward(kernel, *states)
        total: Tensor | None = None
        for state, matrix in zip(states, _matrices(kernel, states), strict=True):
            total = pixels(state) @ matrix.t() if total is None else total.addmm_(pixels(state), matrix.t())
        assert total is not None  # a cell has at least one node
        return as_map(total, states[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        kernel, *states = ctx.saved_tensors
        outgoing, matrices = pixels(gradient), _matrices(kernel, states)
        by_kernel: Tensor | None = None
        if ctx.needs_input_grad[0]:
            by_kernel = torch.cat([outgoing.t() @ pixels(state) for state in states], dim=1).view_as(kernel)
        by_state = [
            as_map(outgoing @ matrix, state) if wanted else None
            for matrix, state, wanted in zip(matrices, states, ctx.needs_input_grad[1:], strict=True)
        ]
        return by_kernel, *by_state


def _matrices(kernel: Tensor, states: Sequence[Tensor]) -> Sequence[Tensor]:
    return kernel[:, :, 0, 0].split([state.shape[1] for state in states], dim=1)
