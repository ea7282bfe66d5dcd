"""The size at which an encoder looks at images when the experiment leaves it open."""

from __future__ import annotations

import numpy as np

STEP = 32
"""Encoders halve their maps up to five times, so that sizes between multiples of this waste a border."""

ENLARGEMENT = 2.0
"""How many times larger than they are small images are shown: an encoder's filters expect larger objects. Not tuned."""


def natural_size(native: int, longest_sides: np.ndarray) -> int:
    """Return an encoder's own size, or less where images do not hold that much.

    That is the first multiple of `STEP` that is at least `ENLARGEMENT` times the median image.

    Args:
        native: edge in pixels of the images that the encoder was trained with.
        longest_sides: (N,) in pixels.

    >>> natural_size(224, np.array([60, 65, 70]))
    160
    >>> natural_size(224, np.array([1200, 2000]))
    224
    """
    held = ENLARGEMENT * float(np.median(longest_sides))
    return min(native, max(STEP, STEP * int(np.ceil(held / STEP))))
