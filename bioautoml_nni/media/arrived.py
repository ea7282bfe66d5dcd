"""What came of a URL: an image that can be read, or why it is none."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..data.decoding import decode
from ._base import Refused, TryAgain

SUFFIXES = {
    "JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "TIFF": ".tif", "WEBP": ".webp", "BMP": ".bmp", "GIF": ".gif",
    "AVIF": ".avif", "JPEG2000": ".jp2", "HEIF": ".heic",
}  # fmt: skip
"""What files of each format are called, whatever their URL says."""
PAGES = (b"<!doctype html", b"<html", b"<head", b"<body")


@dataclass(frozen=True)
class Arrived:
    """An image as it came."""

    suffix: str
    sha256: str
    bytes: int
    width: int
    height: int


def examine_file(path: Path) -> Arrived:
    """Look at a file that came whole, and see that it is on the disk.

    Raises:
        Refused: if it is a web page, or a kind of file that is not read.
        TryAgain: if it is a damaged image, as a broken transfer leaves it.
    """
    data = path.read_bytes()
    head = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith(PAGES) or (head.startswith(b"<?xml") and b"<html" in head):
        raise Refused("the host sent a web page instead of an image")
    try:
        with Image.open(io.BytesIO(data)) as opened:
            kind = opened.format or ""
    except Exception as error:  # decoders raise whatever they like for what is not an image
        raise Refused("the host sent a file that is not an image, or of a kind that is not read") from error
    if kind not in SUFFIXES:
        raise Refused(f"the host sent an image of the kind {kind}, which is not read")
    try:
        decoded = decode(data, 16)
    except OSError as error:
        raise TryAgain(f"the image came damaged: {error}", restart=True) from error
    with path.open("rb") as file:
        os.fsync(file.fileno())
    return Arrived(SUFFIXES[kind], hashlib.sha256(data).hexdigest(), len(data), decoded.width, decoded.height)
