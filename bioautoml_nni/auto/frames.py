"""Tables in memory and images without files, as what a source and an exported model can read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ..utils.atomic import replacing
from ..utils.errors import DataError

TABLE, IMAGES = "specimens.parquet", "images"


def as_table(specimens: Any, image: str | None) -> pd.DataFrame:
    """Return a data frame of what was given: itself, or a column of images, one or several.

    Raises:
        DataError: for anything else.
    """
    if isinstance(specimens, pd.DataFrame):
        return specimens
    if isinstance(specimens, Image.Image) or _is_one_array(specimens):
        specimens = [specimens]
    if isinstance(specimens, pd.Series):
        return as_table(specimens.tolist(), image).set_index(specimens.index)
    if _is_stack(specimens) or (isinstance(specimens, Sequence) and not isinstance(specimens, str)):
        entries = list(specimens)
        if all(isinstance(entry, Image.Image | np.ndarray | str | Path) for entry in entries):
            column = np.empty(len(entries), dtype=object)
            for number, entry in enumerate(entries):
                column[number] = entry
            return pd.DataFrame({image or "image": column})
    raise DataError(f"{type(specimens).__name__}: is not a table, folder, data frame or sequence of images.")


def _is_one_array(given: Any) -> bool:
    """Whether an array is one image: (H, W, 3 or 4), or grey ones (H, W)."""
    if not isinstance(given, np.ndarray) or given.dtype == object:
        return False
    return (given.ndim == 3 and given.shape[2] in (3, 4)) or (given.ndim == 2 and given.dtype == np.uint8)


def _is_stack(given: Any) -> bool:
    """Whether an array holds several images: (N, H, W, 3), grey ones (N, H, W), or paths and images (N,)."""
    if not isinstance(given, np.ndarray):
        return False
    return given.ndim in (3, 4) or (given.ndim == 1 and given.dtype.kind in "OU")


def write_frame(
    frame: pd.DataFrame, folder: Path, image: str | None, image_root: str | Path | None, label: str | None
) -> tuple[Path, str | None, str | None, Path | None]:
    """Write a data frame as a table with image files, and return its path, label, image column and image root.

    Paths start from `image_root`, by default the working directory; PIL images and arrays of uint8 become files.

    Raises:
        DataError: for an array that is not an image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    column = image if image is not None else next((str(name) for name in frame if _holds_images(frame[name])), None)
    root: Path | None = Path(image_root).absolute() if image_root is not None else Path.cwd()
    table = frame.reset_index(drop=True)
    if column is not None and column in table and _holds_images(table[column]):
        root = (folder / IMAGES).absolute()
        root.mkdir(exist_ok=True)
        table = table.assign(**{column: [_save(entry, root, row) for row, entry in enumerate(table[column])]})
    else:
        table, root = _relative(table, column, root)
    for name in table:
        if table[name].dtype == object:
            table[name] = table[name].map(lambda value: value if value is None or pd.isna(value) else str(value))
    table.columns = [str(name) for name in table.columns]
    with replacing(folder / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    return folder / TABLE, label, column, root


def _holds_images(column: pd.Series) -> bool:
    first = next((value for value in column if value is not None), None)
    return isinstance(first, Image.Image | np.ndarray)


def _relative(table: pd.DataFrame, column: str | None, root: Path | None) -> tuple[pd.DataFrame, Path | None]:
    """Return the table with absolute image paths as ones below the folder that they share, and that folder."""
    for name in [column] if column is not None and column in table else [str(name) for name in table]:
        texts = table[name].dropna().astype(str)
        if len(texts) and texts.map(os.path.isabs).all():
            shared = Path(os.path.commonpath([str(Path(text).parent) for text in texts]))
            below = table[name].map(lambda text, base=shared: os.path.relpath(str(text), base), na_action="ignore")
            return table.assign(**{name: below}), shared
        if len(texts) and texts.map(lambda text: isinstance(text, str)).all() and column is not None:
            return table.assign(**{name: table[name].map(str, na_action="ignore")}), root
    return table, root


def _save(entry: Any, root: Path, row: int) -> str | None:
    if entry is None:
        return None
    if isinstance(entry, np.ndarray):
        if entry.dtype != np.uint8 or entry.ndim not in (2, 3) or (entry.ndim == 3 and entry.shape[2] not in (3, 4)):
            raise DataError(
                f"row {row}: an array {entry.shape} of {entry.dtype} is not an image: give (H, W, 3) uint8."
            )
        entry = Image.fromarray(entry)
    if not isinstance(entry, Image.Image):
        raise DataError(f"row {row}: {type(entry).__name__} is not an image, as the rows before it are.")
    entry.convert("RGB").save(root / f"{row}.png")
    return f"{row}.png"
