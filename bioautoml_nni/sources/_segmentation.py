"""Boxes around the outlines and masks of COCO's format."""

from __future__ import annotations

from typing import Any

import numpy as np

LARGEST_SIDE = 1e9
"""No side of an image has so many pixels; a box that goes beyond it is none."""


def around(segmentation: Any) -> list[float] | None:
    """Return the box around polygons, or around a mask of run lengths, packed or not; None for what is none of them."""
    if isinstance(segmentation, list):
        polygons = segmentation if any(isinstance(entry, list) for entry in segmentation) else [segmentation]
        points = [as_length(number) for polygon in polygons if isinstance(polygon, list) for number in polygon]
        if len(points) < 6:
            return None
        return _around_points([point for point in points if point is not None]) if None not in points else None
    counts = segmentation.get("counts") if isinstance(segmentation, dict) else None
    counts = _unpacked(counts) if isinstance(counts, str) else counts
    return _around_runs(counts, segmentation.get("size")) if isinstance(counts, list) else None


def _around_points(points: list[float]) -> list[float]:
    left, top = min(points[::2]), min(points[1::2])
    return [left, top, max(points[::2]) - left, max(points[1::2]) - top]


def _unpacked(text: str) -> list[int]:
    """Return run lengths from the text that COCO's tools pack them in: five bits a letter, differences from the last
    but one from the third on."""
    counts: list[int] = []
    number = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64:
            return []
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = shift = 0
    return counts


def _around_runs(counts: list[Any], size: Any) -> list[float] | None:
    """Return the box around a mask whose run lengths go down its columns, zeros first."""
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(n, int) and n >= 0 for n in [*size, *counts])):
        return None
    height = size[0]
    ends = np.cumsum(counts)
    runs = [(int(ends[n - 1]), int(ends[n]) - 1) for n in range(1, len(counts), 2) if counts[n]]
    if not runs or not height or ends[-1] > size[0] * size[1]:
        return None
    columns = [place // height for run in runs for place in run]
    rows = [
        row
        for first, last in runs
        for row in ((0, height - 1) if last // height > first // height else (first % height, last % height))
    ]
    left, top = min(columns), min(rows)
    return [left, top, max(columns) - left + 1, max(rows) - top + 1]


def as_length(number: Any) -> float | None:
    """Return a number of pixels, which may be written as text, None for what is none."""
    if isinstance(number, str):
        try:
            number = float(number)
        except ValueError:
            return None
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not abs(number) < LARGEST_SIDE:
        return None
    return number
