"""Perceptual hash: 64 bits that stay nearly the same when an image is scaled, recompressed or lightly edited."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from PIL import Image
from scipy.fft import dctn

EDGE = 32
LOW = 8


def perceptual_hash(pixels: np.ndarray) -> int:
    """Return the pHash of an image as a signed 64-bit integer.

    The 8 x 8 lowest frequencies of the discrete cosine transform of the grey image at 32 x 32, each compared with
    their median (Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions).

    Args:
        pixels: (S, S, 3) uint8.
    """
    grey = Image.fromarray(pixels).convert("L").resize((EDGE, EDGE), Image.Resampling.BILINEAR)
    low = dctn(np.asarray(grey, dtype=np.float32))[:LOW, :LOW].ravel()
    bits = np.packbits(low > np.median(low[1:]))
    return int(bits.view(np.int64)[0])


def distances(hashes: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the number of differing bits between int64 hashes, element by element.

    Example:
        >>> import numpy as np
        >>> distances(np.array([0b1010]), np.array([0b0110]))
        array([2])
    """
    return np.bitwise_count((hashes ^ other).view(np.uint64)).astype(int)


def near_pairs(hashes: np.ndarray, limit: int) -> np.ndarray:
    """Return pairs (P, 2) of positions whose hashes differ in at most `limit` bits, each pair once.

    Two hashes that differ in at most `limit` bits agree in at least one of `limit` + 1 blocks of bits, so only
    hashes that share a block are compared. Of more than 200 hashes with one block, neighbours alone are compared:
    such a crowd is one image many times, or no image at all.
    """
    found: list[np.ndarray] = []
    edges = np.linspace(0, 64, limit + 2).astype(int)
    unsigned = hashes.view(np.uint64)
    for low, high in pairwise(edges):
        block = (unsigned >> np.uint64(low)) & np.uint64((1 << int(high - low)) - 1)
        order = np.lexsort((unsigned, block))
        sorted_block = block[order]
        starts = np.flatnonzero(np.r_[True, sorted_block[1:] != sorted_block[:-1]])
        sizes = np.diff(np.r_[starts, len(order)])
        reach = int(min(sizes.max(initial=1) - 1, 200))
        for step in range(1, reach + 1):
            same = sorted_block[step:] == sorted_block[:-step]
            if not same.any():
                break
            left, right = order[:-step][same], order[step:][same]
            close = distances(hashes[left], hashes[right]) <= limit
            found.append(np.sort(np.column_stack([left[close], right[close]]), axis=1))
    if not found:
        return np.zeros((0, 2), int)
    return np.unique(np.concatenate(found), axis=0)
