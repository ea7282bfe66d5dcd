"""Loops over the arrays that `kernels` makes of feature maps, compiled by numba.

`start` and `stop` count rows of pixels, or images. Sums over pixels are made by blocks, in the arrays' own type, and
over the blocks in float64. Python's lock is not held. The compiler may fuse a product and a sum, and reorders nothing;
what is not finite passes through as in torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    options: dict[str, Any] = {"nogil": True, "fastmath": {"contract"}, "error_model": "numpy"}
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is no folder that the compiled form could be kept in
        compiled = numba.njit(**options)(function)
    return compiled


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
def add_three(start: int, stop: int, total: Any, first: Any, second: Any, third: Any) -> None:
    for i in range(start, stop):
        total[i] += first[i] + second[i] + third[i]


@_compiled
def moments(start: int, stop: int, rows: Any, sums: Any) -> None:
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
def norm_vectors(
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
def add_affine_relu(start: int, stop: int, rows: Any, vectors: Any, adds: bool, result: Any) -> None:
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
def norm_relu(
    rows: Any, sums: Any, channels: int, training: bool, weight: Any, gamma: Any, beta: Any, running_mean: Any,
    running_variance: Any, momentum: float, eps: float, vectors: Any, adds: bool, result: Any,
) -> None:  # fmt: skip
    if training:
        moments(0, len(rows), rows, sums[0])
    norm_vectors(sums, channels, weight, gamma, beta, running_mean, running_variance, momentum, eps, vectors)
    add_affine_relu(0, len(rows), rows, vectors, adds, result)


@_compiled
def gradient_sums(start: int, stop: int, rows: Any, grads: Any, vectors: Any, sums: Any) -> None:
    """Sums of g and of g * (x - mean), where g is the gradient where the result was above zero (2, k C)."""
    width, zero = rows.shape[1], rows.dtype.type(0)
    scale, shift, mean = vectors[0], vectors[1], vectors[2]
    of_grad, of_product = np.empty(width, rows.dtype), np.empty(width, rows.dtype)
    for begin in range(start, stop, 256):
        of_grad[:] = 0
        of_product[:] = 0
        for number in range(begin, min(begin + 256, stop)):
            row, grad = rows[number], grads[number]
            for i in range(width):
                passed = zero if row[i] * scale[i] + shift[i] <= zero else grad[i]
                of_grad[i] += passed
                of_product[i] += passed * (row[i] - mean[i])
        for i in range(width):
            sums[0, i] += of_grad[i]
            sums[1, i] += of_product[i]


@_compiled
def gradient_vectors(sums: Any, vectors: Any, pixels: int, training: bool, by_norm: Any, factors: Any) -> None:
    """Gradients w.r.t. gamma and beta (2, C), and p, q so that that w.r.t. the map is scale * g + p * x + q."""
    parts, _, width = sums.shape
    channels = by_norm.shape[1]
    for channel in range(channels):
        of_grad, of_product = 0.0, 0.0
        for part in range(parts):
            for i in range(channel, width, channels):
                of_grad += sums[part, 0, i]
                of_product += sums[part, 1, i]
        scale, mean, inverse = vectors[0, channel], vectors[2, channel], vectors[3, channel]
        by_gamma = of_product * inverse
        by_norm[0, channel], by_norm[1, channel] = by_gamma, of_grad
        by_value = -scale * inverse * by_gamma / pixels if training else 0.0
        constant = -scale * of_grad / pixels - by_value * mean if training else 0.0
        for i in range(channel, width, channels):
            factors[0, i], factors[1, i] = by_value, constant


@_compiled
def gradient_by_map(start: int, stop: int, rows: Any, grads: Any, vectors: Any, factors: Any, result: Any) -> None:
    zero = rows.dtype.type(0)
    scale, shift, by_value, constant = vectors[0], vectors[1], factors[0], factors[1]
    for number in range(start, stop):
        row, grad, target = rows[number], grads[number], result[number]
        for i in range(len(row)):
            passed = zero if row[i] * scale[i] + shift[i] <= zero else grad[i]
            target[i] = scale[i] * passed + by_value[i] * row[i] + constant[i]


@_compiled
def norm_relu_gradients(
    rows: Any, grads: Any, vectors: Any, training: bool, sums: Any, by_norm: Any, factors: Any, result: Any
) -> None:
    gradient_sums(0, len(rows), rows, grads, vectors, sums[0])
    gradient_vectors(sums, vectors, rows.size // by_norm.shape[1], training, by_norm, factors)
    gradient_by_map(0, len(rows), rows, grads, vectors, factors, result)


@_compiled
def depthwise_sums(start: int, stop: int, images: Any, grads: Any, size: int, channels: int, sums: Any) -> None:
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
                first, second = grads[image, row], grads[image + 1, row] if image + 1 < stop else zeros
                third = grads[image + 2, row] if image + 2 < stop else zeros
                fourth = grads[image + 3, row] if image + 3 < stop else zeros
                for right in range(size):
                    begin = right * channels
                    _add_products(
                        sums[down * size + right], first, padded[0, begin : begin + width], second,
                        padded[1, begin : begin + width], third, padded[2, begin : begin + width], fourth,
                        padded[3, begin : begin + width],
                    )  # fmt: skip


@_compiled
def max_pool(start: int, stop: int, images: Any, channels: int, values: Any, places: Any) -> None:
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
def max_pool_gradients(
    start: int, stop: int, images: Any, grads: Any, places: Any, channels: int, weight: Any, adds: bool, result: Any,
    sums: Any,
) -> None:  # fmt: skip
    """The gradient of each window goes to its maximum; with it, the inner product of these sums and the input."""
    _, height, width = images.shape
    grad = np.zeros(width + 2 * channels, images.dtype)
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
                _copy(grads[image, window], grad[channels:])
                _copy(places[image, window], place[channels:])
                for right in range(3):
                    first = (2 - right) * channels
                    its_grad, its_place = grad[first : first + width], place[first : first + width]
                    _add_where(total, its_grad, its_place, np.uint8(3 * down + right))
            source = images[image, number]
            for i in range(width):
                products[i] += total[i] * source[i]
            _put(total, weight[0], adds, result[image, number])
        for i in range(width):
            sums[0] += products[i]


@_compiled
def window_sums(
    start: int, stop: int, images: Any, channels: int, rows_before: Any, columns_before: Any, rows_after: Any,
    columns_after: Any, partners: Any, adds: bool, result: Any, sums: Any,
) -> None:  # fmt: skip
    """Sums over 3x3 windows, with factors before and after; with them, the inner product of the sums and partners."""
    _, height, width = images.shape
    padded, products = np.zeros(width + 2 * channels, images.dtype), np.empty(width, images.dtype)
    left, right = padded[:width], padded[2 * channels : 2 * channels + width]
    middle, zeros, zero = padded[channels : channels + width], np.zeros(width, images.dtype), images.dtype.type(0)
    for image in range(start, stop):
        products[:] = 0
        for number in range(height):
            row, of_row = images[image, number], rows_before[number]
            above, of_above = (images[image, number - 1], rows_before[number - 1]) if number else (zeros, zero)
            below, of_below = (
                (images[image, number + 1], rows_before[number + 1]) if number + 1 < height else (zeros, zero)
            )
            for i in range(width):
                middle[i] = (of_above * above[i] + of_row * row[i] + of_below * below[i]) * columns_before[i]
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
def scaling_gradients(
    start: int, stop: int, images: Any, grads: Any, factors: Any, adds: bool, result: Any, by_factor: Any
) -> None:
    _, height, width = images.shape
    channels = factors.shape[1]
    factor, products = np.empty(width, images.dtype), np.empty(width, images.dtype)
    for image in range(start, stop):
        products[:] = 0
        for first in range(0, width, channels):
            _copy(factors[image], factor[first : first + channels])
        for number in range(height):
            row, grad, target = images[image, number], grads[image, number], result[image, number]
            if adds:
                for i in range(width):
                    products[i] += grad[i] * row[i]
                    target[i] += factor[i] * grad[i]
            else:
                for i in range(width):
                    products[i] += grad[i] * row[i]
                    target[i] = factor[i] * grad[i]
        for first in range(0, width, channels):
            for i in range(channels):
                by_factor[image, i] += products[first + i]
