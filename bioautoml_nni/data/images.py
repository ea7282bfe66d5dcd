"""Decoding of images to squares of one size, with the image root as a border that no path may leave."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..atomic import replacing
from ..errors import DataError


def resolve_below(root: Path, relative: str) -> Path:
    """Return the file below `root`.

    Raises:
        DataError: if the path (symbolic links followed) leads out of `root`.
    """
    path = (root / relative).resolve()
    if not path.is_relative_to(root.resolve()):
        raise DataError(f"image path {relative!r} leads outside the image root {root}; correct it in the table.")
    return path


def decode(path: Path, size: int) -> np.ndarray:
    """Decode a picture to (size, size, 3) uint8: orientation applied, aspect kept, borders in its own edge colour.

    Raises:
        OSError: if the file is missing, empty, truncated or no image.
    """
    data = path.read_bytes()
    if not data:
        raise OSError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as opened:
                opened.draft("RGB", (2 * size, 2 * size))
                picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OSError(str(error)) from error
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    pixels = np.asarray(picture)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    square = np.empty((size, size, 3), np.uint8)
    square[:] = np.median(border, axis=0).astype(np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def build_cache(
    root: Path,
    relative: Sequence[str],
    size: int,
    destination: Path,
    workers: int,
    advance: Callable[[], None] = lambda: None,
) -> dict[int, str]:
    """Decode all images into one memory-mappable array (N, size, size, 3) uint8 at `destination`.

    Returns:
        For each unreadable image its position and the reason; its pixels are zero.

    Raises:
        DataError: if a path leads out of `root`.
    """
    paths = [resolve_below(root, path) for path in relative]
    failures: dict[int, str] = {}
    with replacing(destination) as temporary:
        pixels = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(paths), size, size, 3))

        def store(position: int) -> None:
            try:
                pixels[position] = decode(paths[position], size)
            except FileNotFoundError:
                failures[position] = "the file is missing"
            except OSError as error:
                failures[position] = str(error).replace(str(paths[position]), relative[position])
            advance()

        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(store, range(len(paths)), chunksize=16):
                pass
        pixels.flush()
    return dict(sorted(failures.items()))
