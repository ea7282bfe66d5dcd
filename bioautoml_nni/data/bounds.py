"""Which encoded images are sure to be decoded in little time and memory, by what their first bytes say."""

from __future__ import annotations

MAX_PIXELS = 16_000_000
"""Of an image that is decoded without limits of time and memory; four bytes each, in a few copies."""
MAX_JPEG_PIXELS = 64_000_000
"""Of a JPEG, which is decoded at a fraction of its size."""
MAX_JPEG_WORK = 400_000_000
"""Pixels times scans of a JPEG: each scan goes over all of them."""


def is_bounded(data: bytes) -> bool:
    """Whether an image is of a kind whose time and memory its size in pixels bounds, and that size is small.

    JPEG, PNG, GIF, BMP and WebP are; what TIFF, JPEG 2000, AVIF and others take depends on more than a head says.
    """
    if data[:2] == b"\xff\xd8":
        pixels, scans = _jpeg_pixels(data), max(1, data.count(b"\xff\xda"))
        return pixels is not None and pixels <= MAX_JPEG_PIXELS and pixels * scans <= MAX_JPEG_WORK
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR":
        return _product(data, ((16, 20), (20, 24)), "big") <= MAX_PIXELS
    if data[:2] == b"BM":
        return _product(data, ((18, 22), (22, 26)), "little", signed=True) <= MAX_PIXELS
    if data[:3] == b"GIF":
        return _gif_pixels(data) <= MAX_PIXELS
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp_pixels(data) <= MAX_PIXELS
    return False


def _product(data: bytes, places: tuple[tuple[int, int], ...], order: str, signed: bool = False) -> int:
    width, height = (
        abs(int.from_bytes(data[start:end], "big" if order == "big" else "little", signed=signed))
        for start, end in places
    )
    return width * height


def _jpeg_pixels(data: bytes) -> int | None:
    """Return the most pixels that any frame of a JPEG declares, None if its markers cannot be followed."""
    position, most = 2, None
    while position + 9 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xDA:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            most = max(most or 0, _product(data, ((position + 5, position + 7), (position + 7, position + 9)), "big"))
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return most


def _gif_pixels(data: bytes) -> int:
    """Return the pixels of a GIF's screen, or more than any bound if a frame may reach out of it."""
    width, height = (int.from_bytes(data[start : start + 2], "little") for start in (6, 8))
    position = 13 + (3 << ((data[10] & 7) + 1) if len(data) > 10 and data[10] & 0x80 else 0)
    while position + 10 < len(data) and data[position] == 0x21:  # extensions before the first frame
        position += 2
        while position < len(data) and data[position]:
            position += 1 + data[position]
        position += 1
    if position + 9 < len(data) and data[position] == 0x2C:
        left, top, across, down = (
            int.from_bytes(data[position + at : position + at + 2], "little") for at in (1, 3, 5, 7)
        )
        return max(width, left + across) * max(height, top + down)
    return MAX_PIXELS + 1


def _webp_pixels(data: bytes) -> int:
    """Return the pixels of a WebP's canvas, or more than any bound if its head is none that is known."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(data[start : start + 3], "little") for start in (24, 27))
    elif kind == b"VP8 ":
        width, height = (int.from_bytes(data[start : start + 2], "little") & 0x3FFF for start in (26, 28))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        return MAX_PIXELS + 1
    return width * height
