"""A map of where a model looked, laid over the image that it saw."""

from __future__ import annotations

import cv2
import numpy as np

STRONGEST = 0.65
"""Share of the colour where the map is 1; below that the specimen could not be seen any more."""


def overlay(image: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return an image (S, S, 3) uint8 with a map laid over it, from nothing to yellow where it is 1.

    Args:
        image: (S, S, 3) uint8.
        found: (h, w) from 0 to 1, of any smaller size.
    """
    size = image.shape[1], image.shape[0]
    smooth = np.clip(cv2.resize(found.astype(np.float32), size, interpolation=cv2.INTER_CUBIC), 0, 1)
    colours = cv2.applyColorMap((smooth * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    share = STRONGEST * smooth[:, :, None]
    return np.round(image * (1 - share) + colours * share).astype(np.uint8)
