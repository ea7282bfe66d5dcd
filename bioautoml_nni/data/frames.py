"""In which frame a box was drawn: that of the stored pixels, or of the image as EXIF turns it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels."""
Drawn = Literal["stored", "shown", "either"]
TURNED = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""


@dataclass(frozen=True)
class ImageFrame:
    """Size of the stored pixels, and how EXIF says that they are turned (1: not at all)."""

    width: int
    height: int
    orientation: int = 1

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height after turning."""
        return (self.height, self.width) if self.orientation in TURNED else (self.width, self.height)

    def says(self, size: tuple[int, int]) -> Drawn | None:
        """Return which frame a size (width, height) is that of; None for neither, "either" for both."""
        stored, shown = size == (self.width, self.height), size == self.shown
        if self.orientation == 1 or not (stored or shown):
            return "shown" if shown else None
        return "either" if stored and shown else "stored" if stored else "shown"

    def box_as_shown(self, box: Box, drawn: Drawn) -> Box:
        """Return a box in the frame of the turned image, where it was drawn on that or on the stored pixels."""
        return self._turned(box) if drawn == "stored" else box

    def _turned(self, box: Box) -> Box:
        left, top, width, height = box
        right, bottom = self.width - left - width, self.height - top - height
        return {
            2: (right, top, width, height), 3: (right, bottom, width, height), 4: (left, bottom, width, height),
            5: (top, left, height, width), 6: (bottom, left, height, width), 7: (bottom, right, height, width),
            8: (top, right, height, width),
        }.get(self.orientation, box)  # fmt: skip


def read_frame(path: Path) -> ImageFrame | None:
    """Return the frame of an image from its header, None if it cannot be read."""
    from .decoding import orientation_of

    try:
        with Image.open(path) as opened:
            return ImageFrame(*opened.size, orientation_of(opened))
    except Exception:  # whatever a decoder raises: the image will be reported as unreadable when it is decoded
        return None
