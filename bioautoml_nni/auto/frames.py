"""Tables in memory and images without files, as what a source and an exported model can read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from ..data.pixel_modes import as_rgb
from ..utils.atomic import replacing
from ..utils.errors import DataError

TABLE, IMAGES = "specimens.parquet", "images"


def as_table(specimens: Any, image: str | None) -> pd.DataFrame:
    """Return a data frame of what was given: itself, or a column of images, one or several.

    Raises:
        DataError: for anything else, and for a data frame whose columns cannot be told apart.
    """
    if isinstance(specimens, pd.DataFrame):
        return _named_once(specimens)
    if isinstance(specimens, Iterator):
        specimens = list(specimens)
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
    kind = type(specimens).__name__
    if isinstance(specimens, np.ndarray):
        kind = f"an array {specimens.shape} of {specimens.dtype}"
    raise DataError(
        f"{kind}: is not a table, folder, data frame or sequence of images; an image is a path, one of PIL's, or an "
        "array (H, W, 3) of uint8."
    )


def as_labels(given: Any, specimens: int, method: str) -> list[Any]:
    """Return labels that were given beside specimens: a sequence, a column, or a data frame of one column.

    Raises:
        DataError: if they are not one for each specimen.
    """
    if isinstance(given, pd.DataFrame) and given.shape[1] == 1:
        given = given.iloc[:, 0]
    one = isinstance(given, str | bytes) or not isinstance(given, Iterable) or getattr(given, "ndim", 1) == 0
    if isinstance(given, Iterator):
        given, one = list(given), False
    if one or isinstance(given, Mapping | pd.DataFrame) or (isinstance(given, np.ndarray) and given.ndim != 1):
        raise DataError(
            f"{method}: y is a {type(given).__name__}; give one label for each specimen, as a list or column."
        )
    labels = list(given)
    if len(labels) != specimens:
        raise DataError(f"{method}: X has {specimens} specimens and y {len(labels)} labels.")
    return labels


def _named_once(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a data frame whose columns have texts as names, which are those of files."""
    if frame.columns.nlevels > 1:
        raise DataError("the data frame has column names of several levels; give each column one name.")
    names = pd.Index([str(name) for name in frame.columns])
    twice = names[names.duplicated()].unique()
    if len(twice):
        raise DataError(f"the data frame has several columns named {', '.join(map(repr, twice))}; rename or drop them.")
    return frame if all(isinstance(name, str) for name in frame.columns) else frame.set_axis(names, axis=1)


def _is_one_array(given: Any) -> bool:
    """Whether an array is one image: (H, W, 3 or 4), or a grey one (H, W) or (H, W, 1)."""
    if not isinstance(given, np.ndarray) or given.dtype == object:
        return False
    return (given.ndim == 3 and given.shape[2] in (1, 3, 4)) or (given.ndim == 2 and given.dtype == np.uint8)


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
    table = as_in_files(table)
    with replacing(folder / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    return folder / TABLE, label, column, root


def as_in_files(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose cells are what a file of it holds: other objects than numbers and times as texts."""
    odd = [name for name in table if table[name].dtype == object or not _in_files(table[name].dtype)]
    texts = {
        name: table[name].astype(object).map(lambda value: None if is_missing(value) else str(value)) for name in odd
    }
    return table.assign(**{str(name): own for name, own in texts.items()})


def is_missing(value: Any) -> bool:
    """Return whether a cell is empty; one that holds several values is not."""
    return value is None or (bool(pd.api.types.is_scalar(value)) and bool(pd.isna(value)))


def _in_files(dtype: Any) -> bool:
    """Return whether values of a type are in a file what they are in memory: numbers, truth values, texts, times."""
    if isinstance(dtype, pd.CategoricalDtype):
        return dtype.categories.dtype == object or _in_files(dtype.categories.dtype)
    is_time = isinstance(dtype, pd.DatetimeTZDtype) or getattr(dtype, "kind", "") == "M"
    plain = isinstance(dtype, np.dtype | pd.StringDtype) or hasattr(dtype, "numpy_dtype")
    return is_time or (plain and getattr(dtype, "kind", "O") not in "cmV")


def _holds_images(column: pd.Series) -> bool:
    first = next((value for value in column if not is_missing(value)), None)
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
    if is_missing(entry):
        return None
    if isinstance(entry, np.ndarray):
        entry = entry[:, :, 0] if entry.ndim == 3 and entry.shape[2] == 1 else entry
        shaped = entry.ndim == 2 or (entry.ndim == 3 and entry.shape[2] in (3, 4))
        if entry.dtype != np.uint8 or not shaped or not entry.size:
            raise DataError(
                f"row {row}: an array {entry.shape} of {entry.dtype} is not an image: give (H, W, 3) uint8."
            )
        entry = Image.fromarray(entry)
    if not isinstance(entry, Image.Image):
        raise DataError(f"row {row}: {type(entry).__name__} is not an image, as the rows before it are.")
    pixels = as_rgb(entry, b"")  # as an image of the same kind in a file
    (Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels).save(root / f"{row}.png")
    return f"{row}.png"
