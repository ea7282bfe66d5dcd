"""Boxes of COCO's format: what they may be, and what of them lies in their image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.frames import Box
from ..utils.errors import DataError
from ._coco_file import key_of
from ._segmentation import around, as_length

Boxed = tuple[dict[str, Any], Box | None]
"""An annotation and its box, None without one that is valid."""
FRACTIONS = 1.01
"""Where boxes that are shares of their image end, with some rounding."""


def has_box(record: Mapping[str, Any]) -> bool:
    """Whether an annotation says where its specimen is, however badly."""
    return bool(record.get("bbox")) or bool(record.get("segmentation"))


def valid_box(record: Mapping[str, Any]) -> Box | None:
    """Return the box of an annotation, or the one around its segmentation; None for one that is none."""
    box = record.get("bbox") or around(record.get("segmentation"))
    if not isinstance(box, (list, tuple)) or len(box) != 4:
        return None
    left, top, width, height = map(as_length, box)
    if left is None or top is None or width is None or height is None or width <= 0 or height <= 0:
        return None
    return left, top, width, height


def size_of(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return width and height of an image as the file states them, if it does."""
    width, height = as_length(image.get("width")), as_length(image.get("height"))
    if width is None or height is None or min(width, height) < 1:
        return None
    return int(width), int(height)


def require_pixels(path: Path, annotations: Sequence[Boxed], images: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse boxes that are shares of their image, since each would be a single pixel, and those of two corners.

    Args:
        annotations: each with its `valid_box`.

    Raises:
        DataError: if all boxes are, and some of them can be nothing else.
    """
    boxes = [(entry, box) for entry, box in annotations if box]
    if boxes and all(box[0] + box[2] <= FRACTIONS and box[1] + box[3] <= FRACTIONS for _, box in boxes):
        raise DataError(
            f"{path}: all {len(boxes)} boxes end within the first pixel, such as {list(boxes[0][1])}: they are shares "
            "of the image, and COCO's are pixels; multiply them by the image's width and height."
        )
    sizes = [size_of(images.get(key_of(entry["image_id"]), {})) for entry, _ in boxes]
    sized = [(box, size) for (_, box), size in zip(boxes, sizes, strict=True) if size]
    beyond = [box for box, size in sized if box[0] + box[2] > size[0] + 1 or box[1] + box[3] > size[1] + 1]
    corners = all(-1 < box[0] < box[2] <= size[0] + 1 and -1 < box[1] < box[3] <= size[1] + 1 for box, size in sized)
    if corners and len(beyond) > len(sized) / 4:
        raise DataError(
            f"{path}: {len(beyond)} of {len(sized)} boxes reach beyond their image, such as {list(beyond[0])}, and all "
            "would fit if they were two corners; COCO's are left, top, width and height: subtract the first corner "
            "from the second."
        )


def clipped_to(box: Box, size: tuple[int, int]) -> Box | None:
    """Return the part of a box that lies in its image, with rounding of less than a pixel forgiven."""
    left, top = max(0.0, box[0]), max(0.0, box[1])
    right, bottom = min(size[0], box[0] + box[2]), min(size[1], box[1] + box[3])
    if right - left <= 0 or bottom - top <= 0:
        return None
    if min(box[0], box[1]) > -1 and box[0] + box[2] < size[0] + 1 and box[1] + box[3] < size[1] + 1:
        return box
    return left, top, right - left, bottom - top


def widened(box: Box, margin: float) -> tuple[int, int, int, int]:
    """Return a box in whole pixels with a share of its longer side added on each side."""
    left, top, width, height = box
    extra = margin * max(width, height)
    first_x, first_y = max(0, round(left - extra)), max(0, round(top - extra))
    return first_x, first_y, round(left + width + extra) - first_x, round(top + height + extra) - first_y
