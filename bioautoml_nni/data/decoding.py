"""From an image reference to a square of pixels.

A reference is a path below the image root. It may end in ``::OFFSET+SIZE``, the place of an image inside an
uncompressed tar shard, and in ``#X,Y,WIDTH,HEIGHT``, a box in pixels to cut out.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from ..utils.remote import RemotePath
from .border import can_be_a_name
from .bounds import is_bounded
from .file_names import on_disk
from .guarded import decode_apart
from .pixel_modes import MAX_SCANS, as_rgb, kind_of_other, kind_refused, open_image
from .remote_images import images_at

cv2.setNumThreads(1)  # loaders have processes; OpenCV's own threads would not survive their fork

BOX = re.compile(r"#(-?\d+),(-?\d+),(\d+),(\d+)$")
MEMBER = re.compile(r"::(\d+)\+(\d+)$")
ORIENTATION = 0x0112
MAX_BYTES = 2 * 10**9
"""Of an encoded image."""
Box = tuple[int, int, int, int]
"""Left, top, width and height in pixels."""
MARGIN = 2
"""A JPEG decoded at a fraction of its size is sharper and noisier than one that was filtered down; twice is enough."""


@dataclass(frozen=True)
class ImageReference:
    """A parsed reference: the file, where in it the image lies, and what to cut out of the image."""

    path: str
    member: tuple[int, int] | None = None
    box: tuple[int, int, int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Split a reference into its parts."""
        if "#" not in text and "::" not in text:
            return cls(text)
        box = member = None
        if found := BOX.search(text):
            left, top, width, height = map(int, found.groups())
            box, text = (left, top, width, height), text[: found.start()]
        if found := MEMBER.search(text):
            member, text = (int(found[1]), int(found[2])), text[: found.start()]
        return cls(text, member, box)


def _read_remote(root: RemotePath, reference: ImageReference, size: int) -> bytes:
    length = size if reference.member is None else reference.member[1]
    if length > MAX_BYTES:
        raise OSError(f"its {length / 1e9:.1f} GB exceed the limit of {MAX_BYTES / 1e9:g}")
    data = images_at(root).read(reference.path, reference.member, size)
    if not data:
        raise OSError("it is empty")
    return data


def read_bytes(root: Path, reference: ImageReference, size: int = -1) -> bytes:
    """Return the encoded image.

    Args:
        size: of the file, as its host said; -1 where it did not, and for files of this machine.

    Raises:
        OSError: if the file is missing, cannot be read or is empty.
    """
    if not can_be_a_name(reference.path):
        raise OSError(f"{reference.path!r} cannot be the name of a file")
    if isinstance(root, RemotePath):
        return _read_remote(root, reference, size)
    path = on_disk(root, reference.path)
    status = os.stat(path)
    length = status.st_size if reference.member is None else reference.member[1]
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):  # a pipe would never end
        raise OSError("it is not a file")
    if length > MAX_BYTES:
        raise OSError(f"its {length / 1e9:.1f} GB exceed the limit of {MAX_BYTES / 1e9:g}")
    with open(path, "rb") as file:
        if reference.member is None:
            data = file.read()
        else:
            file.seek(reference.member[0])
            data = file.read(reference.member[1])
    if not data:
        raise OSError("the file is empty")
    return data


@dataclass(frozen=True)
class DecodedImage:
    """A square of pixels (S, S, 3) uint8, the width and height of the image that it was made from, and whether that is
    the first of several in its file, as in an animation."""

    square: np.ndarray
    width: int
    height: int
    several: bool = False


@dataclass(frozen=True)
class JpegHeader:
    """What the start of a JPEG file says: size in pixels, number of components, and whether it has neither EXIF nor
    further images."""

    width: int
    height: int
    components: int
    is_plain: bool


def jpeg_header(data: bytes) -> JpegHeader | None:
    """Read the header of a JPEG file; None if it is not a JPEG, or a damaged one."""
    if data[:2] != b"\xff\xd8" or data.count(b"\xff\xda") > MAX_SCANS:
        return None
    position, is_plain = 2, True
    while position + 9 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = (int.from_bytes(data[position + at : position + at + 2], "big") for at in (5, 7))
            return JpegHeader(width, height, data[position + 9], is_plain)
        is_plain &= marker != 0xE1 and data[position + 4 : position + 8] != b"MPF\0"
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return None


def decode(
    data: bytes, size: int, box: tuple[int, int, int, int] | None = None, into: np.ndarray | None = None
) -> DecodedImage:
    """Decode an image to a square: orientation applied, aspect kept, borders in the mean colour of its edges.

    Plain JPEGs go through libjpeg-turbo, at the smallest fraction of their size that is at least `MARGIN` times the
    wanted one; a filter that averages does the rest.
    Everything else goes through Pillow: other formats, JPEGs with EXIF, CMYK or damage, and boxes. What may take a
    decoder long, or much memory, is decoded in a process that is stopped then (`guarded`).

    Args:
        data: the encoded image.
        size: edge S of the square in pixels.
        box: left, top, width and height to cut out first, clipped to the image.
        into: an array (S, S, 3) uint8 that receives the square, such as a place in a batch.

    Raises:
        OSError: if the data is truncated, no image, or too large in pixels, time or memory.
    """
    into = np.empty((size, size, 3), np.uint8) if into is None else into
    header = jpeg_header(data) if box is None else None
    limit = Image.MAX_IMAGE_PIXELS or sys.maxsize
    plain = header and header.components in (1, 3) and header.is_plain and header.width * header.height <= limit
    if header and plain and is_bounded(data):
        pixels = _plain_jpeg(data, header, size)
        if pixels is not None:
            _fill(into, pixels)
            return DecodedImage(into, header.width, header.height)
    if refused := kind_refused(data):
        raise OSError(refused)
    if is_bounded(data):
        try:
            return DecodedImage(into, *decode_here(data, size, box, into))
        except MemoryError as error:
            raise OSError("there is too little memory for it") from error
    found = decode_apart(data, size, box, limit)
    into[:] = np.frombuffer(found.square, np.uint8).reshape(into.shape)
    return DecodedImage(into, found.width, found.height, found.several)


def decode_here(
    data: bytes, size: int, box: tuple[int, int, int, int] | None, into: np.ndarray
) -> tuple[int, int, bool]:
    """Decode an image of any kind in this process, whatever it takes; see `decode`.

    Returns:
        Its width and height, and whether it is the first of several.

    Raises:
        MemoryError: as such.
        OSError: for all else that a decoder may raise.
    """
    try:
        pixels, width, height, several = _by_pillow(data, size, box, Image.MAX_IMAGE_PIXELS or sys.maxsize)
        _fill(into, _resized(pixels, size))
    except OSError as error:
        raise OSError(_in_words(error, data)) from error
    except MemoryError:
        raise
    except Exception as error:  # decoders raise whatever they like for damaged files
        said = " ".join(str(error).split())
        if "nsufficient memory" in said:  # OpenCV's
            raise MemoryError(said) from error
        unclear = not said or "object at" in said or "b'" in said
        raise OSError(f"its decoder fails ({type(error).__name__ if unclear else said})") from error
    return width, height, several


def _in_words(error: OSError, data: bytes) -> str:
    """Return why an image cannot be read, in words that say which file it is to be replaced by."""
    if isinstance(error, UnidentifiedImageError):
        return kind_of_other(data)
    return str(error)


def _plain_jpeg(data: bytes, header: JpegHeader, size: int) -> np.ndarray | None:
    """Return pixels (h, w, 3) with max(h, w) = size; None leaves the file to Pillow."""
    longest = {"min_width" if header.width >= header.height else "min_height": MARGIN * size}
    try:
        pixels = simplejpeg.decode_jpeg(data, "RGB", **longest)
    except Exception:  # damaged: Pillow says how
        return None
    return _resized(pixels, size)


def _resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return pixels (h, w, 3) with max(h, w) = size: means over areas where they shrink, bilinear where they grow."""
    scale = size / max(pixels.shape[:2])
    if scale == 1:
        return pixels
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def _by_pillow(
    data: bytes, size: int, box: tuple[int, int, int, int] | None, limit: int
) -> tuple[np.ndarray, int, int, bool]:
    """Return pixels (h, w, 3) of an image of any kind, turned and cut out, its stored width and height, and whether it
    is the first of several."""
    with open_image(data) as opened:
        width, height = opened.size
        if width * height > limit:
            raise OSError(f"its {width} x {height} pixels exceed the limit of {limit}")
        several = _holds_several(opened)
        if box is None:
            opened.draft("RGB", (MARGIN * size, MARGIN * size))
        orientation = orientation_of(opened)
        pixels = np.asarray(as_rgb(opened, data))
    pixels = _turned(pixels, orientation)
    if box is not None:
        across, down = pixels.shape[1], pixels.shape[0]
        left, top = max(0, box[0]), max(0, box[1])
        right, bottom = min(across, box[0] + box[2]), min(down, box[1] + box[3])
        if right <= left or bottom <= top:
            raise OSError(f"the box {','.join(map(str, box))} lies outside of the {across}x{down} px")
        pixels = pixels[top:bottom, left:right]
    return np.ascontiguousarray(pixels), width, height, several


def _holds_several(opened: Image.Image) -> bool:
    """Whether there are further images behind the one that is open; what is damaged there changes nothing."""
    try:
        return bool(getattr(opened, "is_animated", False))
    except Exception:
        opened.seek(0)
        return False


def orientation_of(opened: Image.Image) -> int:
    """Return how EXIF says that an image is turned, 1 to 8; what else stands there, damaged or not, changes nothing."""
    try:
        value = opened.getexif().get(ORIENTATION, 1)
    except Exception:  # struct.error, TypeError and others for damaged blocks
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels (h, w, 3) as EXIF's orientation says that they are to be seen."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def _fill(square: np.ndarray, pixels: np.ndarray) -> None:
    """Centre pixels (h, w, 3) in a square (S, S, 3), in one block of memory, of the mean colour of the edges at it."""
    (height, width), size = pixels.shape[:2], len(square)
    if height == width:
        square[:] = pixels
        return
    ends = (pixels[:1], pixels[-1:]) if height < width else (pixels[:, :1], pixels[:, -1:])
    colour = [round((one + other) / 2) for one, other in zip(*(cv2.mean(end)[:3] for end in ends), strict=True)]
    top, left = (size - height) // 2, (size - width) // 2
    borders = (top, size - height - top, left, size - width - left)
    cv2.copyMakeBorder(pixels, *borders, cv2.BORDER_CONSTANT, dst=square, value=colour)
