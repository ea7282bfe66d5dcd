"""Passes over feature maps on a CPU that torch has no fused form of, compiled by numba.

Maps are channels_last, so that a map is an array of rows of C values, and a row of an image one of W * C. Rows of few
channels are taken several at a time. Sums over pixels are made by blocks, in the maps' own type, and over the blocks in
float64. Python's lock is not held, and rows are shared out over as many threads as torch uses. The compiler may fuse a
product and a sum, and reorders nothing; what is not finite passes through as in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

WIDTH = 128
"""Values that a loop over channels should have, so that it fills the registers of a CPU."""
PART = 1 << 16
"""Values of a map that are worth a thread."""
_TYPES = (torch.float32, torch.float64)


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is no folder that the compiled form could be kept in
        compiled = numba.njit(**options)(function)
    return compiled


def usable(features: Tensor) -> bool:
    """Return whether the kernels take this map: a dense channels_last one of float32 or float64 on a CPU."""
    return (
        features.dtype in _TYPES
        and features.ndim == 4
        and features.is_contiguous(memory_format=torch.channels_last)
        and features.device.type == "cpu"
        and features.numel() > 0
    )


def arranged(features: Tensor) -> Tensor:
    """Return a map, such as a gradient that autograd has made, as the kernels take it."""
    return features.contiguous(memory_format=torch.channels_last)


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
        _norm_relu(rows, sums, features.shape[1], training, _flat(weight), *settings, vectors, adds, target)
        return result, vectors
    if training:
        _in_parallel(_moments, parts, rows, sums=sums)
    _norm_vectors(sums, features.shape[1], _flat(weight), *settings, vectors)
    _in_parallel(_add_affine_relu, parts, rows, vectors, adds, target)
    return result, vectors


def norm_relu_gradients(
    gradient: Tensor, features: Tensor, vectors: np.ndarray, training: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of ReLU(batch norm) by the map, and by weight * gamma and weight * beta (C,).

    Args:
        gradient: by the result, `arranged`.
        vectors: what `norm_relu` said.
        training: whether the batch's own statistics were used.
    """
    result = torch.empty_like(features)
    rows, channels = _rows(features), features.shape[1]
    slopes, target = _flat(gradient).reshape(rows.shape), _flat(result).reshape(rows.shape)
    parts = _parts(rows)
    sums = np.zeros((len(parts), 2, rows.shape[1]))
    by_norm, factors = np.empty((2, channels), rows.dtype), np.empty((2, rows.shape[1]), rows.dtype)
    if len(parts) == 1:
        _norm_relu_gradients(rows, slopes, vectors, training, sums, by_norm, factors, target)
    else:
        _in_parallel(_gradient_sums, parts, rows, slopes, vectors, sums=sums)
        _gradient_vectors(sums, vectors, rows.size // channels, training, by_norm, factors)
        _in_parallel(_gradient_by_map, parts, rows, slopes, vectors, factors, target)
    by_gamma, by_beta = torch.from_numpy(by_norm).unbind()
    return result, by_gamma, by_beta


def depthwise_gradient(features: Tensor, gradient: Tensor, size: int) -> Tensor:
    """Return the gradient of an unstrided, evenly padded depth-wise convolution by its kernel (C, 1, size, size).

    torch 2.15 takes three to seven times longer for 5x5 kernels.

    Args:
        features: the convolution's input.
        gradient: by its output, `arranged`.
    """
    images, slopes, channels = _images(features), _images(gradient), features.shape[1]
    parts = _parts(images)
    sums = np.zeros((len(parts), size * size, images.shape[2]), images.dtype)
    _in_parallel(_depthwise_sums, parts, images, slopes, size, channels, sums=sums)
    by_kernel = sums.sum(0).reshape(size, size, -1, channels).sum(2)
    return torch.from_numpy(np.ascontiguousarray(by_kernel.transpose(2, 0, 1))[:, None])


def max_pool(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return 3x3 maximum pooling, unstrided, and where in its window each maximum was (N, C, H, W), 0 to 8 in uint8."""
    images, value = _images(features), torch.empty_like(features)
    where = torch.empty_like(features, dtype=torch.uint8)
    _in_parallel(_max_pool, _parts(images), images, features.shape[1], _images(value), _images(where))
    return value, where


def max_pool_gradients(
    slope: Tensor | None, gradient: Tensor, where: Tensor, features: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return weight times the gradient of `max_pool` by its input, and the inner product <gradient, max_pool>.

    Args:
        slope: what the first result is added to, in place where it is `arranged`.
        gradient: by the pooled map, `arranged`.
        weight: a scalar.
    """
    result = torch.empty_like(features) if slope is None else arranged(slope)
    images, channels = _images(features), features.shape[1]
    parts = _parts(images)
    sums = np.zeros((len(parts), 1))
    maps = (images, _images(gradient), _images(where), channels, _flat(weight), slope is not None, _images(result))
    _in_parallel(_max_pool_gradients, parts, *maps, sums=sums)
    return result, torch.from_numpy(sums).sum()


def average_pool(features: Tensor) -> Tensor:
    """Return 3x3 average pooling, unstrided, where padding is not counted."""
    result, images = torch.empty_like(features), _images(features)
    shares, ones = _window_shares(*features.shape[1:], images.dtype)
    parts = _parts(images)
    sums = np.zeros((len(parts), 1))
    maps = (images, features.shape[1], *ones, *shares, images, False, _images(result))
    _in_parallel(_window_sums, parts, *maps, sums=sums)
    return result


def average_pool_gradients(
    slope: Tensor | None, gradient: Tensor, features: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Return weight times the gradient of `average_pool` by its input, and <gradient, average_pool>.

    Args:
        slope: what the first result is added to, in place where it is `arranged`.
        gradient: by the pooled map, `arranged`.
        weight: a scalar.
    """
    result, images = torch.empty_like(features) if slope is None else arranged(slope), _images(features)
    shares, (by_row, by_column) = _window_shares(*features.shape[1:], images.dtype)
    parts = _parts(images)
    sums = np.zeros((len(parts), 1))
    after = (by_row * _flat(weight), by_column)
    maps = (_images(gradient), features.shape[1], *shares, *after, images, slope is not None, _images(result))
    _in_parallel(_window_sums, parts, *maps, sums=sums)
    return result, torch.from_numpy(sums).sum()


def scaling_gradients(
    slope: Tensor | None, gradient: Tensor, features: Tensor, factor: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of features * factor by the features, and by the factor of every channel (N, C, 1, 1).

    Args:
        slope: what the first result is added to, in place where it is `arranged`.
        gradient: by the product, `arranged`.
        factor: what can be broadcast to (N, C, 1, 1).
    """
    result = torch.empty_like(features) if slope is None else arranged(slope)
    count, channels = features.shape[:2]
    factors = np.broadcast_to(factor.detach().numpy(), (count, channels, 1, 1)).reshape(count, channels)
    by_factor, images = np.zeros((count, channels), factors.dtype), _images(features)
    maps = (images, _images(gradient), factors, slope is not None, _images(result), by_factor)
    _in_parallel(_scaling_gradients, _parts(images), *maps)
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


# How maps become arrays, and arrays parts ---------------------------------------------------------------------------


def _flat(values: Tensor) -> np.ndarray:
    """Return the values as they lie in memory."""
    array: np.ndarray = (values.detach() if values.requires_grad else values).numpy()
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


# Kernels: start and stop count rows, or images ----------------------------------------------------------------------


@_compiled
def _copy(source: Any, target: Any) -> None:  # three times as fast as an assignment to a slice
    for i in range(len(source)):
        target[i] = source[i]


@_compiled
def _add_products(total: Any, a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any) -> None:
    for i in range(len(total)):
        total[i] += a[i] * b[i] + c[i] * d[i] + (e[i] * f[i] + g[i] * h[i])


@_compiled
def _add_where(total: Any, values: Any, places: Any, wanted: Any) -> None:
    zero = total.dtype.type(0)
    for i in range(len(total)):
        total[i] += values[i] if places[i] == wanted else zero


@_compiled
def _put(values: Any, factor: Any, adds: bool, target: Any) -> None:
    if adds:
        for i in range(len(values)):
            target[i] += factor * values[i]
    else:
        for i in range(len(values)):
            target[i] = factor * values[i]


@_compiled
def _moments(start: int, stop: int, rows: Any, sums: Any) -> None:
    """Number of rows, their mean, and the sum of squared differences from it, by columns (3, k C).

    Blocks of rows that stay in the first cache; Chan et al., Updating formulae for computing sample variances, 1979.
    """
    width = rows.shape[1]
    middle, spread = np.empty(width, rows.dtype), np.empty(width, rows.dtype)
    count = 0
    for begin in range(start, stop, 64):
        end = min(begin + 64, stop)
        middle[:] = 0
        spread[:] = 0
        for number in range(begin, end):
            row = rows[number]
            for i in range(width):
                middle[i] += row[i]
        for i in range(width):
            middle[i] /= end - begin
        for number in range(begin, end):
            row = rows[number]
            for i in range(width):
                difference = row[i] - middle[i]
                spread[i] += difference * difference
        share = (end - begin) / (count + end - begin)
        for i in range(width):
            step = middle[i] - sums[1, i]
            sums[1, i] += step * share
            sums[2, i] += spread[i] + step * step * share * count
        count += end - begin
    sums[0] = count


@_compiled
def _norm_vectors(
    sums: Any, channels: int, weight: Any, gamma: Any, beta: Any, running_mean: Any, running_variance: Any,
    momentum: float, eps: float, vectors: Any,
) -> None:  # fmt: skip
    """Scale, shift, mean and inverse deviation, from moments of parts; without any, from the running statistics."""
    parts, _, width = sums.shape
    pixels = sums[:, 0, ::channels].sum()
    for channel in range(channels):
        if pixels > 0:
            mean, squares = 0.0, 0.0
            for part in range(parts):
                for i in range(channel, width, channels):
                    mean += sums[part, 0, i] * sums[part, 1, i] / pixels
            for part in range(parts):
                for i in range(channel, width, channels):
                    squares += sums[part, 2, i] + sums[part, 0, i] * (sums[part, 1, i] - mean) ** 2
            variance = squares / pixels
            running_mean[channel] += momentum * (mean - running_mean[channel])
            running_variance[channel] += momentum * (squares / (pixels - 1) - running_variance[channel])
        else:
            mean, variance = float(running_mean[channel]), float(running_variance[channel])
        inverse = 1 / np.sqrt(variance + eps)
        scale = weight[0] * gamma[channel] * inverse
        for i in range(channel, width, channels):
            vectors[0, i], vectors[1, i] = scale, weight[0] * beta[channel] - mean * scale
            vectors[2, i], vectors[3, i] = mean, inverse


@_compiled
def _add_affine_relu(start: int, stop: int, rows: Any, vectors: Any, adds: bool, result: Any) -> None:
    zero, scale, shift = rows.dtype.type(0), vectors[0], vectors[1]
    for number in range(start, stop):
        row, target = rows[number], result[number]
        if adds:
            for i in range(len(row)):
                value = row[i] * scale[i] + shift[i]
                target[i] += zero if value <= zero else value
        else:
            for i in range(len(row)):
                value = row[i] * scale[i] + shift[i]
                target[i] = zero if value <= zero else value


@_compiled
def _norm_relu(
    rows: Any, sums: Any, channels: int, training: bool, weight: Any, gamma: Any, beta: Any, running_mean: Any,
    running_variance: Any, momentum: float, eps: float, vectors: Any, adds: bool, result: Any,
) -> None:  # fmt: skip
    if training:
        _moments(0, len(rows), rows, sums[0])
    _norm_vectors(sums, channels, weight, gamma, beta, running_mean, running_variance, momentum, eps, vectors)
    _add_affine_relu(0, len(rows), rows, vectors, adds, result)


@_compiled
def _gradient_sums(start: int, stop: int, rows: Any, slopes: Any, vectors: Any, sums: Any) -> None:
    """Sums of g and of g * (x - mean), where g is the gradient where the result was above zero (2, k C)."""
    width, zero = rows.shape[1], rows.dtype.type(0)
    scale, shift, mean = vectors[0], vectors[1], vectors[2]
    of_slope, of_product = np.empty(width, rows.dtype), np.empty(width, rows.dtype)
    for begin in range(start, stop, 256):
        of_slope[:] = 0
        of_product[:] = 0
        for number in range(begin, min(begin + 256, stop)):
            row, slope = rows[number], slopes[number]
            for i in range(width):
                passed = zero if row[i] * scale[i] + shift[i] <= zero else slope[i]
                of_slope[i] += passed
                of_product[i] += passed * (row[i] - mean[i])
        for i in range(width):
            sums[0, i] += of_slope[i]
            sums[1, i] += of_product[i]


@_compiled
def _gradient_vectors(sums: Any, vectors: Any, pixels: int, training: bool, by_norm: Any, factors: Any) -> None:
    """Gradients by gamma and beta (2, C), and p, q so that the gradient by the map is scale * g + p * x + q."""
    parts, _, width = sums.shape
    channels = by_norm.shape[1]
    for channel in range(channels):
        of_slope, of_product = 0.0, 0.0
        for part in range(parts):
            for i in range(channel, width, channels):
                of_slope += sums[part, 0, i]
                of_product += sums[part, 1, i]
        scale, mean, inverse = vectors[0, channel], vectors[2, channel], vectors[3, channel]
        by_gamma = of_product * inverse
        by_norm[0, channel], by_norm[1, channel] = by_gamma, of_slope
        by_value = -scale * inverse * by_gamma / pixels if training else 0.0
        constant = -scale * of_slope / pixels - by_value * mean if training else 0.0
        for i in range(channel, width, channels):
            factors[0, i], factors[1, i] = by_value, constant


@_compiled
def _gradient_by_map(start: int, stop: int, rows: Any, slopes: Any, vectors: Any, factors: Any, result: Any) -> None:
    zero = rows.dtype.type(0)
    scale, shift, by_value, constant = vectors[0], vectors[1], factors[0], factors[1]
    for number in range(start, stop):
        row, slope, target = rows[number], slopes[number], result[number]
        for i in range(len(row)):
            passed = zero if row[i] * scale[i] + shift[i] <= zero else slope[i]
            target[i] = scale[i] * passed + by_value[i] * row[i] + constant[i]


@_compiled
def _norm_relu_gradients(
    rows: Any, slopes: Any, vectors: Any, training: bool, sums: Any, by_norm: Any, factors: Any, result: Any
) -> None:
    _gradient_sums(0, len(rows), rows, slopes, vectors, sums[0])
    _gradient_vectors(sums, vectors, rows.size // by_norm.shape[1], training, by_norm, factors)
    _gradient_by_map(0, len(rows), rows, slopes, vectors, factors, result)


@_compiled
def _depthwise_sums(start: int, stop: int, images: Any, slopes: Any, size: int, channels: int, sums: Any) -> None:
    """Sums of gradient * shifted input over images and rows, for every place in the kernel (size**2, W C).

    Four images at a time, so that a sum is read and written once for them.
    """
    _, height, width = images.shape
    edge = size // 2
    length = width + 2 * edge * channels
    padded, zeros = np.zeros((4, length), images.dtype), np.zeros(width, images.dtype)
    for image in range(start, stop, 4):
        for source in range(height):
            for i in range(4):
                if image + i < stop:
                    _copy(images[image + i, source], padded[i, edge * channels :])
            for down in range(max(0, source + edge - height + 1), min(size, source + edge + 1)):
                row = source + edge - down
                first, second = slopes[image, row], slopes[image + 1, row] if image + 1 < stop else zeros
                third = slopes[image + 2, row] if image + 2 < stop else zeros
                fourth = slopes[image + 3, row] if image + 3 < stop else zeros
                for right in range(size):
                    begin = right * channels
                    _add_products(
                        sums[down * size + right], first, padded[0, begin : begin + width], second,
                        padded[1, begin : begin + width], third, padded[2, begin : begin + width], fourth,
                        padded[3, begin : begin + width],
                    )  # fmt: skip


@_compiled
def _max_pool(start: int, stop: int, images: Any, channels: int, values: Any, places: Any) -> None:
    """Maxima along rows, and then of three rows; the first of equal ones, and what is not a number, as torch has it."""
    _, height, width = images.shape
    low = images.dtype.type(-np.inf)
    padded = np.full(width + 2 * channels, low, images.dtype)
    best = np.full((height + 2, width), low, images.dtype)
    place = np.zeros((height + 2, width), np.uint8)
    for image in range(start, stop):
        for number in range(height):
            _copy(images[image, number], padded[channels:])
            left, middle, right = padded[:width], padded[channels:][:width], padded[2 * channels :][:width]
            value, where = best[number + 1], place[number + 1]
            for i in range(width):
                most, index = left[i], np.uint8(0)
                if middle[i] > most or middle[i] != middle[i]:
                    most, index = middle[i], np.uint8(1)
                if right[i] > most or right[i] != right[i]:
                    most, index = right[i], np.uint8(2)
                value[i], where[i] = most, index
        for number in range(height):
            above, here, below = best[number], best[number + 1], best[number + 2]
            of_above, of_here, of_below = place[number], place[number + 1], place[number + 2]
            value, where = values[image, number], places[image, number]
            for i in range(width):
                most, index = above[i], of_above[i]
                if here[i] > most or here[i] != here[i]:
                    most, index = here[i], of_here[i] + np.uint8(3)
                if below[i] > most or below[i] != below[i]:
                    most, index = below[i], of_below[i] + np.uint8(6)
                value[i], where[i] = most, index


@_compiled
def _max_pool_gradients(
    start: int, stop: int, images: Any, slopes: Any, places: Any, channels: int, weight: Any, adds: bool, result: Any,
    sums: Any,
) -> None:  # fmt: skip
    """The gradient of each window goes to its maximum; with it, the inner product of these sums and the input."""
    _, height, width = images.shape
    slope = np.zeros(width + 2 * channels, images.dtype)
    place = np.full(width + 2 * channels, np.uint8(255), np.uint8)
    total, products = np.empty(width, images.dtype), np.empty(width, images.dtype)
    for image in range(start, stop):
        products[:] = 0
        for number in range(height):
            total[:] = 0
            for down in range(3):  # the window whose row `down` is this one
                window = number + 1 - down
                if window < 0 or window >= height:
                    continue
                _copy(slopes[image, window], slope[channels:])
                _copy(places[image, window], place[channels:])
                for right in range(3):
                    first = (2 - right) * channels
                    its_slope, its_place = slope[first : first + width], place[first : first + width]
                    _add_where(total, its_slope, its_place, np.uint8(3 * down + right))
            source = images[image, number]
            for i in range(width):
                products[i] += total[i] * source[i]
            _put(total, weight[0], adds, result[image, number])
        for i in range(width):
            sums[0] += products[i]


@_compiled
def _window_sums(
    start: int, stop: int, images: Any, channels: int, rows_before: Any, columns_before: Any, rows_after: Any,
    columns_after: Any, partners: Any, adds: bool, result: Any, sums: Any,
) -> None:  # fmt: skip
    """Sums over 3x3 windows, with factors before and after; with them, the inner product of the sums and partners."""
    _, height, width = images.shape
    padded, products = np.zeros(width + 2 * channels, images.dtype), np.empty(width, images.dtype)
    left, right = padded[:width], padded[2 * channels : 2 * channels + width]
    middle = padded[channels : channels + width]
    for image in range(start, stop):
        products[:] = 0
        for number in range(height):
            middle[:] = 0
            for near in range(max(0, number - 1), min(height, number + 2)):
                row, factor = images[image, near], rows_before[near]
                for i in range(width):
                    middle[i] += factor * row[i]
            for i in range(width):
                middle[i] *= columns_before[i]
            partner, target, factor = partners[image, number], result[image, number], rows_after[number]
            if adds:
                for i in range(width):
                    value = left[i] + middle[i] + right[i]
                    products[i] += value * partner[i]
                    target[i] += value * (columns_after[i] * factor)
            else:
                for i in range(width):
                    value = left[i] + middle[i] + right[i]
                    products[i] += value * partner[i]
                    target[i] = value * (columns_after[i] * factor)
        for i in range(width):
            sums[0] += products[i]


@_compiled
def _scaling_gradients(
    start: int, stop: int, images: Any, slopes: Any, factors: Any, adds: bool, result: Any, by_factor: Any
) -> None:
    _, height, width = images.shape
    channels = factors.shape[1]
    factor, products = np.empty(width, images.dtype), np.empty(width, images.dtype)
    for image in range(start, stop):
        products[:] = 0
        for i in range(width):
            factor[i] = factors[image, i % channels]
        for number in range(height):
            row, slope, target = images[image, number], slopes[image, number], result[image, number]
            if adds:
                for i in range(width):
                    products[i] += slope[i] * row[i]
                    target[i] += factor[i] * slope[i]
            else:
                for i in range(width):
                    products[i] += slope[i] * row[i]
                    target[i] = factor[i] * slope[i]
        for i in range(width):
            by_factor[image, i % channels] += products[i]
