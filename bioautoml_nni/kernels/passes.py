"""Passes over feature maps on a CPU that torch has no fused form of: maps in, maps out; `loops` has what is compiled.

Maps are channels_last, so that a map is an array of rows of C values, and a row of an image one of W * C. Rows of few
channels are taken several at a time, and are shared out over as many threads as torch uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import loops

WIDTH = 128
"""Values that a loop over channels should have, so that it fills the registers of a CPU."""
PART = 1 << 16
"""Values of a map that are worth a thread."""
_TYPES = (torch.float32, torch.float64)


def usable(features: Tensor) -> bool:
    """Return whether the kernels take this map: a dense channels_last one of float32 or float64 on a CPU."""
    return (
        features.dtype in _TYPES
        and features.ndim == 4
        and features.is_contiguous(memory_format=torch.channels_last)
        and features.device.type == "cpu"
        and features.numel() > 0
        and not torch.compiler.is_compiling()  # torch's form is what it can see through
    )


def arranged(features: Tensor) -> Tensor:
    """Return a map, such as a gradient that autograd has made, as the kernels take it."""
    return features.contiguous(memory_format=torch.channels_last)


def pixels(features: Tensor) -> Tensor:
    """Return the pixels of a usable map as rows (N H W, C), in the same memory."""
    return features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])


def as_map(rows: Tensor, like: Tensor) -> Tensor:
    """Return rows of pixels (N H W, D) as a map (N, D, H, W) of the shape of another one."""
    count, _, height, width = like.shape
    return rows.view(count, height, width, -1).permute(0, 3, 1, 2)


def added(maps: Sequence[Tensor]) -> Tensor:
    """Return the sum of maps, made in the memory of the first; three at a time are added in one pass."""
    total, *rest = maps
    if len(rest) >= 3 and all(usable(features) and features.dtype == total.dtype for features in maps):
        target = _flat(total)
        while len(rest) >= 3:
            three = [_flat(features) for features in rest[:3]]
            _in_parallel(loops.add_three, _parts(target), target, *three)
            rest = rest[3:]
    for features in rest:
        total = total.add_(features)
    return total


def norm_relu(
    total: Tensor | None, features: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, norm: Any
) -> tuple[Tensor, np.ndarray]:
    """Add weight * ReLU(batch norm of features) to `total`, in place, or to zeros.

    Args:
        weight: a scalar > 0.
        gamma, beta: scale and shift of the batch norm (C,).
        norm: the module with its other settings; its running statistics are renewed in training.

    Returns:
        The sum; and scale, shift, mean and inverse deviation (4, multiple of C) for `norm_relu_gradients`.
    """
    result = torch.empty_like(features) if total is None else total
    rows, target = _rows(features), _flat(result)
    vectors = np.empty((4, rows.shape[1]), rows.dtype)
    training, momentum = norm.training, norm.momentum
    if momentum is None:
        momentum = 1 / float(norm.num_batches_tracked) if training else 0.0
    settings = (_flat(gamma), _flat(beta), _flat(norm.running_mean), _flat(norm.running_var), momentum, norm.eps)
    parts = _parts(rows)
    sums = np.zeros((len(parts), 3, rows.shape[1]))
    target, adds = target.reshape(rows.shape), total is not None
    if len(parts) == 1:
        loops.norm_relu(rows, sums, features.shape[1], training, _flat(weight), *settings, vectors, adds, target)
        return result, vectors
    if training:
        _in_parallel(loops.moments, parts, rows, sums=sums)
    loops.norm_vectors(sums, features.shape[1], _flat(weight), *settings, vectors)
    _in_parallel(loops.add_affine_relu, parts, rows, vectors, adds, target)
    return result, vectors


def norm_relu_gradients(
    gradient: Tensor, features: Tensor, vectors: np.ndarray, training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of ReLU(batch norm) w.r.t. the map, weight * gamma and weight * beta (C,).

    Args:
        gradient: by the result, `arranged`.
        vectors: what `norm_relu` said.
        training: whether the batch's own statistics were used.
    """
    result = torch.empty_like(features)
    rows, channels = _rows(features), features.shape[1]
    grads, target = _flat(gradient).reshape(rows.shape), _flat(result).reshape(rows.shape)
    parts = _parts(rows)
    sums = np.zeros((len(parts), 2, rows.shape[1]))
    by_norm, factors = np.empty((2, channels), rows.dtype), np.empty((2, rows.shape[1]), rows.dtype)
    if len(parts) == 1:
        loops.norm_relu_gradients(rows, grads, vectors, training, sums, by_norm, factors, target)
    else:
        _in_parallel(loops.gradient_sums, parts, rows, grads, vectors, sums=sums)
        loops.gradient_vectors(sums, vectors, rows.size // channels, training, by_norm, factors)
        _in_parallel(loops.gradient_by_map, parts, rows, grads, vectors, factors, target)
    by_gamma, by_beta = torch.from_numpy(by_norm).unbind()
    return result, by_gamma, by_beta


def depthwise_gradient(features: Tensor, gradient: Tensor, size: int) -> Tensor:
    """Return the gradient of an unstrided, evenly padded depth-wise convolution w.r.t. its kernel (C, 1, size, size).

    torch 2.15 takes three to seven times longer for 5x5 kernels.

    Args:
        features: the convolution's input.
        gradient: by its output, `arranged`.
    """
    images, grads, channels = _images(features), _images(gradient), features.shape[1]
    parts = _parts(images)
    sums = np.zeros((len(parts), size * size, images.shape[2]), images.dtype)
    _in_parallel(loops.depthwise_sums, parts, images, grads, size, channels, sums=sums)
    by_kernel = sums.sum(0).reshape(size, size, -1, channels).sum(2)
    return torch.from_numpy(np.ascontiguousarray(by_kernel.transpose(2, 0, 1))[:, None])


def max_pool(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return 3x3 maximum pooling, unstrided, and where in its window each maximum was (N, C, H, W), 0 to 8 in uint8."""
    images, value = _images(features), torch.empty_like(features)
    where = torch.empty_like(features, dtype=torch.uint8)
    _in_parallel(loops.max_pool, _parts(images), images, features.shape[1], _images(value), _images(where))
    return value, where


def max_pool_gradients(
    accumulated: Tensor | None, gradient: Tensor, where: Tensor, features: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return weight times the gradient of `max_pool` w.r.t. its input, and <gradient, max_pool>.

    Args:
        accumulated: what the first result is added to, in place where it is `arranged`.
        gradient: by the pooled map, `arranged`.
        weight: a scalar.
    """
    result = torch.empty_like(features) if accumulated is None else arranged(accumulated)
    images, channels = _images(features), features.shape[1]
    parts = _parts(images)
    sums = np.zeros((len(parts), 1))
    maps = (
        images,
        _images(gradient),
        _images(where),
        channels,
        _flat(weight),
        accumulated is not None,
        _images(result),
    )
    _in_parallel(loops.max_pool_gradients, parts, *maps, sums=sums)
    return result, torch.from_numpy(sums).sum()


def average_pool(features: Tensor) -> Tensor:
    """Return 3x3 average pooling, unstrided, where padding is not counted."""
    result, images = torch.empty_like(features), _images(features)
    shares, ones = _window_shares(*features.shape[1:], images.dtype)
    parts = _parts(images)
    sums = np.zeros((len(parts), 1))
    maps = (images, features.shape[1], *ones, *shares, images, False, _images(result))
    _in_parallel(loops.window_sums, parts, *maps, sums=sums)
    return result


def average_pool_gradients(
    accumulated: Tensor | None, gradient: Tensor, features: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return weight times the gradient of `average_pool` w.r.t. its input, and <gradient, average_pool>.

    Args:
        accumulated: what the first result is added to, in place where it is `arranged`.
        gradient: by the pooled map, `arranged`.
        weight: a scalar.
    """
    result, images = torch.empty_like(features) if accumulated is None else arranged(accumulated), _images(features)
    shares, (by_row, by_column) = _window_shares(*features.shape[1:], images.dtype)
    parts = _parts(images)
    sums = np.zeros((len(parts), 1))
    after = (by_row * _flat(weight), by_column)
    maps = (_images(gradient), features.shape[1], *shares, *after, images, accumulated is not None, _images(result))
    _in_parallel(loops.window_sums, parts, *maps, sums=sums)
    return result, torch.from_numpy(sums).sum()


def scaling_gradients(
    accumulated: Tensor | None, gradient: Tensor, features: Tensor, factor: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of features * factor w.r.t. the features, and the factor of every channel (N, C, 1, 1).

    Args:
        accumulated: what the first result is added to, in place where it is `arranged`.
        gradient: by the product, `arranged`.
        factor: what can be broadcast to (N, C, 1, 1).
    """
    result = torch.empty_like(features) if accumulated is None else arranged(accumulated)
    count, channels = features.shape[:2]
    factors = np.broadcast_to(factor.detach().numpy(), (count, channels, 1, 1)).reshape(count, channels)
    by_factor, images = np.zeros((count, channels), factors.dtype), _images(features)
    maps = (images, _images(gradient), factors, accumulated is not None, _images(result), by_factor)
    _in_parallel(loops.scaling_gradients, _parts(images), *maps)
    return result, torch.from_numpy(by_factor).view(count, channels, 1, 1)


@cache
def _window_shares(
    channels: int, height: int, width: int, dtype: np.dtype[Any]
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return one over the number of pixels in the window at every place, for rows (H,) and columns (W C,); and ones."""
    counts = [np.full(size, 3.0) for size in (height, width)]
    for count in counts:
        count[0] -= 1
        count[-1] -= 1
    by_row, by_column = (1 / counts[0]).astype(dtype), np.repeat(1 / counts[1], channels).astype(dtype)
    return (by_row, by_column), (np.ones_like(by_row), np.ones_like(by_column))


def _flat(values: Tensor) -> np.ndarray:
    """Return the values as they lie in memory."""
    array: np.ndarray = (values.detach() if values.requires_grad else values).numpy()
    if array.ndim == 1:
        return array
    return (array.transpose(0, 2, 3, 1) if array.ndim == 4 else array).reshape(-1)


def _rows(features: Tensor) -> np.ndarray:
    """Return the values of a map as (rows, k C), k rows of pixels in each."""
    array, channels = _flat(features), features.shape[1]
    pixels, together = array.size // channels, 1
    while channels * together < WIDTH and pixels % (2 * together) == 0:
        together *= 2
    return array.reshape(-1, channels * together)


def _images(features: Tensor) -> np.ndarray:
    """Return the values of a map as (N, H, W C)."""
    count, _, height, _ = features.shape
    return _flat(features).reshape(count, height, -1)


def _parts(array: np.ndarray) -> list[tuple[int, int]]:
    most = array.size // PART
    count = min(torch.get_num_threads(), len(array), most) if most > 1 else 1
    if count <= 1:
        return [(0, len(array))]
    return list(pairwise(len(array) * number // count for number in range(count + 1)))


def _in_parallel(
    kernel: Callable[..., Any], parts: list[tuple[int, int]], *arguments: Any, sums: np.ndarray | None = None
) -> None:
    """Call kernel(start, stop, *arguments) for every part, with a place of its own in `sums` where there are any."""
    calls = [(*part, *arguments, *(() if sums is None else (sums[i],))) for i, part in enumerate(parts)]
    others = [_threads().submit(kernel, *call) for call in calls[1:]]
    kernel(*calls[0])
    for other in others:
        other.result()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="kernels")
