"""Size and time stamp of the files of many images, of which none may lie outside of the image root."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from ..utils.remote import RemotePath
from .border import Border
from .decoding import ImageReference
from .image_files import Links
from .remote_images import images_at, require_names_below

BLOCK = 1024


def stamps_below(root: Path, references: Iterable[str], links: Links, workers: int) -> np.ndarray:
    """Return size and time stamp of each image's file (N, 2), -1 where it cannot be read; a file is asked for once.

    Args:
        references: of images.
        links: see `Border`.
        workers: number of threads.

    Raises:
        DataError: if one leads out of the root.
    """
    paths = [ImageReference.parse(text).path if "#" in text or "::" in text else text for text in references]
    places, files = pd.factorize(np.array(paths, object))
    found = _of_host(root, files.tolist()) if isinstance(root, RemotePath) else _of_disk(root, files, links, workers)
    return found[places]


def _of_host(root: RemotePath, paths: Sequence[str]) -> np.ndarray:
    require_names_below(root, paths)
    found = images_at(root).stamps(paths)
    return np.array([found[path] or (-1, -1) for path in paths], np.int64).reshape(-1, 2)


def _of_disk(root: Path, paths: np.ndarray, links: Links, workers: int) -> np.ndarray:
    border = Border(root, links)

    def block(start: int) -> np.ndarray:
        found = [border.status(path) for path in paths[start : start + BLOCK]]
        stamps = [(-1, -1) if status is None else (status.st_size, status.st_mtime_ns) for status in found]
        return np.array(stamps, np.int64)

    with ThreadPoolExecutor(workers) as pool:
        return np.concatenate([np.zeros((0, 2), np.int64), *pool.map(block, range(0, len(paths), BLOCK))])
