"""Perceptual hash: 64 bits that stay nearly the same when an image is scaled, recompressed or lightly edited."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
from PIL import Image
from scipy.fft import dctn

EDGE = 32
LOW = 8

MANY = 200_000
"""Hashes of which more than 24 share a block of 13 bits by chance."""
REACH = 200
"""Hashes with the same blocks that each is compared with."""


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


def _keys(hashes: np.ndarray, blocks: int, shared: int) -> Iterator[np.ndarray]:
    """Yield for each choice of so many out of blocks of bits what uint64 hashes have there (N,)."""
    edges = np.linspace(0, 64, blocks + 1).astype(int)
    for chosen in combinations(pairwise(edges.tolist()), shared):
        key = np.zeros_like(hashes)
        for low, high in chosen:
            width = high - low
            key = (key << np.uint64(width)) | ((hashes >> np.uint64(low)) & np.uint64((1 << width) - 1))
        yield key


def near_pairs(hashes: np.ndarray, limit: int) -> np.ndarray:
    """Return pairs (P, 2) of positions whose hashes differ in at most `limit` bits, each pair once.

    Two hashes that differ in at most `limit` bits agree in at least one of `limit` + 1 blocks of bits, and in two of
    `limit` + 2, so only hashes that share a block, or two where there are many, are compared: the pairs that share one
    block by chance grow with the square of their number. Of more than 200 hashes with the same blocks, neighbours alone
    are compared: such a crowd is one image many times, or no image at all.
    """
    found: list[np.ndarray] = []
    shared = 1 if len(hashes) <= MANY else 2
    unsigned = hashes.view(np.uint64)
    for key in _keys(unsigned, limit + shared, shared):
        order = np.lexsort((unsigned, key))
        key = key[order]
        place = np.arange(len(order))
        for step in range(1, REACH + 1):
            place = place[: np.searchsorted(place, len(order) - step)]
            place = place[key[place] == key[place + step]]
            if not len(place):
                break
            left, right = order[place], order[place + step]
            close = distances(hashes[left], hashes[right]) <= limit
            found.append(np.sort(np.column_stack([left[close], right[close]]), axis=1))
    if not found:
        return np.zeros((0, 2), int)
    return np.unique(np.concatenate(found), axis=0)
