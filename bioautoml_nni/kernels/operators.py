"""Operators of torch that no public function names, each with a fall-back by autograd for a torch without it.

This is the one file that knows `torch.ops.aten`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional, grad

Kept = tuple[Tensor | None, Tensor | None, Tensor | None]
"""What the gradients of a batch norm need of its forward pass: mean, spread and a reserve of the backend."""


def known(name: str) -> Callable[..., Any] | None:
    """Return an operator of torch by its name, None in a torch that has none."""
    return getattr(torch.ops.aten, name, None)


def batch_norm(
    features: Tensor, scale: Tensor, shift: Tensor, norm: Any, momentum: float, training: bool
) -> tuple[Tensor, Kept, Any]:
    """Return a batch norm of features, what its gradients need, and which backend computed it.

    Args:
        norm: the module, whose running statistics are updated in training.
    """
    statistics = (norm.running_mean, norm.running_var)
    operator = known("_batch_norm_impl_index")
    if operator is None or known("_batch_norm_impl_index_backward") is None:
        result = functional.batch_norm(features, *statistics, scale, shift, training, momentum, norm.eps)
        return result, (None, None, None), None
    result, mean, spread, reserve, backend = operator(
        features, scale, shift, *statistics, training, momentum, norm.eps, torch.backends.cudnn.enabled
    )
    return result, (mean, spread, reserve), backend


def batch_norm_gradients(
    gradient: Tensor, features: Tensor, scale: Tensor, statistics: tuple[Tensor | None, Tensor | None], training: bool,
    eps: float, kept: Kept, backend: Any,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Return the gradients of a batch norm w.r.t. its input, scale and shift.

    Args:
        statistics: running mean and variance outside of training, else None and None.
        kept, backend: as `batch_norm` gave them.
    """
    if backend is None:
        return _by_autograd(
            lambda inputs, by, plus: functional.batch_norm(inputs, *statistics, by, plus, training, 0.0, eps),
            (features, scale, torch.zeros_like(scale)),
            gradient,
        )
    mean, spread, reserve = kept
    operator = known("_batch_norm_impl_index_backward")
    assert operator is not None  # the forward pass had it
    found: tuple[Tensor, Tensor, Tensor] = operator(
        backend, features, gradient, scale, *statistics, mean, spread, training, eps, [True, True, True], reserve
    )
    return found


def relu_gradients(gradient: Tensor, result: Tensor) -> Tensor:
    """Return the gradient of a ReLU w.r.t. its input, by its result."""
    operator = known("threshold_backward")
    found: Tensor = torch.where(result > 0, gradient, 0) if operator is None else operator(gradient, result, 0)
    return found


def convolution_gradients(
    gradient: Tensor, features: Tensor, kernel: Tensor, stride: Any, padding: Any, dilation: Any, groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None]:  # fmt: skip
    """Return the gradients of a convolution without bias w.r.t. features and kernel, each where it is wanted."""
    operator = known("convolution_backward")
    if operator is None:
        settings = (stride, padding, dilation, groups)
        return (
            grad.conv2d_input(features.shape, kernel, gradient, *settings) if wanted[0] else None,
            grad.conv2d_weight(features, kernel.shape, gradient, *settings) if wanted[1] else None,
        )
    found = operator(
        gradient, features, kernel, None, stride, padding, dilation, False, [0, 0], groups, [*wanted, False]
    )
    return found[0], found[1]


def average_pool_gradients(gradient: Tensor, features: Tensor, stride: int) -> Tensor:
    """Return the gradient of 3x3 average pooling, which does not count its padding, w.r.t. its input."""
    operator = known("avg_pool2d_backward")
    if operator is None:
        (alone,) = _by_autograd(
            lambda inputs: functional.avg_pool2d(inputs, 3, stride, 1, count_include_pad=False), (features,), gradient
        )
        return alone
    found: Tensor = operator(gradient, features, [3], [stride], [1], False, False, None)
    return found


def maximum_pool_gradients(gradient: Tensor, features: Tensor, places: Tensor, stride: int) -> Tensor:
    """Return the gradient of 3x3 maximum pooling w.r.t. its input.

    Args:
        places: of the maxima, int64, as pooling with ``return_indices`` gives them.
    """
    operator = known("max_pool2d_with_indices_backward")
    if operator is None:
        flat = torch.zeros_like(features, memory_format=torch.contiguous_format).flatten(2)
        return flat.scatter_add_(2, places.flatten(2), gradient.flatten(2)).view(features.shape)
    found: Tensor = operator(gradient, features, [3], [stride], [1], [1], False, places)
    return found


def _by_autograd(function: Callable[..., Tensor], inputs: Sequence[Tensor], gradient: Tensor) -> Any:
    """Return the gradients of a function w.r.t. its inputs, computing it again."""
    with torch.enable_grad():
        leaves = [value.detach().requires_grad_() for value in inputs]
        return torch.autograd.grad(function(*leaves), leaves, gradient)
