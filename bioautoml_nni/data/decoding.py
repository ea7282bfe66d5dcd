"""From an image reference to a square of pixels, with the image root as a border that no reference may leave.

A reference is a path below the image root. It may end in ``::OFFSET+SIZE``, the place of an image inside an
uncompressed tar shard, and in ``#X,Y,WIDTH,HEIGHT``, a box in pixels to cut out.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..errors import DataError

BOX = re.compile(r"#(-?\d+),(-?\d+),(\d+),(\d+)$")
MEMBER = re.compile(r"::(\d+)\+(\d+)$")
REDUCING_GAP = 2.0
"""A picture is decoded at no less than this many times the wanted size where its format can be decoded reduced."""


@dataclass(frozen=True)
class ImageReference:
    """A parsed reference: the file, where in it the image lies, and what to cut out of the image."""

    path: str
    member: tuple[int, int] | None = None
    box: tuple[int, int, int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> ImageReference:
        """Split a reference into its parts."""
        box = member = None
        if found := BOX.search(text):
            box, text = tuple(int(number) for number in found.groups()), text[: found.start()]
        if found := MEMBER.search(text):
            member, text = (int(found[1]), int(found[2])), text[: found.start()]
        return cls(text, member, box)  # type: ignore[arg-type]


def require_below(root: Path, paths: Iterable[str]) -> None:
    """Check that no path, symbolic links followed, leads out of `root`.

    Raises:
        DataError: naming the first one that does.
    """
    border = root.resolve()
    folders: dict[str, bool] = {}
    for relative in paths:
        folder, _, name = relative.rpartition("/")
        if folder not in folders:
            folders[folder] = (root / folder).resolve().is_relative_to(border)
        path = root / relative
        inside = folders[folder] and name != ".." and not relative.startswith("/")
        if inside and path.is_symlink():
            inside = path.resolve().is_relative_to(border)
        if not inside:
            raise DataError(f"image path {relative!r} leads outside the image root {root}; correct it in the table.")


def read_bytes(root: Path, reference: ImageReference) -> bytes:
    """Return the encoded image.

    Raises:
        OSError: if the file is missing, cannot be read or is empty.
    """
    with open(root / reference.path, "rb") as file:
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
    """A square of pixels (S, S, 3) uint8, and the width and height of the picture that it was made from."""

    square: np.ndarray
    width: int
    height: int


def decode(data: bytes, size: int, box: tuple[int, int, int, int] | None = None) -> DecodedImage:
    """Decode a picture to a square: orientation applied, aspect kept, borders in the picture's own edge colour.

    Args:
        data: the encoded image: JPEG through torchvision, everything else that Pillow reads through Pillow.
        size: edge S of the square in pixels.
        box: left, top, width and height to cut out first, clipped to the picture.

    Raises:
        OSError: if the data is truncated, too large or no image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as opened:
                width, height = opened.size
                pixels = _jpeg(data, opened, size) if box is None else None
                if pixels is None:
                    pixels = _any_format(opened, size, box)
    except (SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OSError(str(error)) from error
    return DecodedImage(_square(pixels, size), width, height)


def _jpeg(data: bytes, opened: Image.Image, size: int) -> Image.Image | None:
    """Decode an ordinary JPEG of moderate size with torchvision; None leaves it to Pillow.

    Pillow decodes much larger ones faster, since it can skip detail; CMYK and damaged files are left to it as well.
    """
    if opened.format != "JPEG" or opened.mode not in ("RGB", "L") or max(opened.size) > 4 * size:
        return None
    import torch  # imported here, since both take seconds and a table alone is read without them
    from torchvision.io import ImageReadMode, decode_jpeg

    try:
        tensor = decode_jpeg(
            torch.frombuffer(bytearray(data), dtype=torch.uint8), ImageReadMode.RGB, apply_exif_orientation=True
        )
    except RuntimeError:
        return None
    return Image.fromarray(tensor.permute(1, 2, 0).contiguous().numpy())


def _any_format(opened: Image.Image, size: int, box: tuple[int, int, int, int] | None) -> Image.Image:
    if box is None:
        opened.draft("RGB", (round(REDUCING_GAP * size), round(REDUCING_GAP * size)))
    picture = ImageOps.exif_transpose(opened)
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        picture = Image.fromarray(_to_bytes(np.asarray(picture, dtype=np.float64)))
    picture = picture.convert("RGBA").convert("RGB") if picture.mode in ("P", "PA", "LA") else picture.convert("RGB")
    if box is not None:
        left, top = max(0, box[0]), max(0, box[1])
        right, bottom = min(picture.width, box[0] + box[2]), min(picture.height, box[1] + box[3])
        if right <= left or bottom <= top:
            raise OSError(f"the box {','.join(map(str, box))} lies outside of the {picture.width}x{picture.height} px")
        picture = picture.crop((left, top, right, bottom))
    return picture


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Scale 16-bit or floating point grey values to 0..255 by their own range."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return np.nan_to_num((values - low) / max(high - low, 1e-12) * 255).astype(np.uint8)


def _square(picture: Image.Image, size: int) -> np.ndarray:
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    resized = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=REDUCING_GAP)
    pixels = np.asarray(resized)
    square = np.empty((size, size, 3), np.uint8)
    if width != height:
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        square[:] = np.median(border, axis=0).astype(np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square
