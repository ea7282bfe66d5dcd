"""Atomic file writing: a reader sees the old file or the new one, never a half."""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

PARTIAL = "partial-"
"""What the names of unfinished files and folders have before their random characters."""

LEFTOVER = re.compile(rf"\..+\.{PARTIAL}[a-z0-9_]{{8}}(\.\w+)?")
"""The name of an unfinished file or folder: a dot, the final name, the mark, eight random characters, the suffix."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is flushed to disk and renamed to `path`.

    On any exception the temporary file is removed and `path` is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.{PARTIAL}", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; on success it takes the place of `path`, whatever is there.

    On any exception the new folder is removed and `path` is left as it was. A process killed between the two renames
    leaves nothing at `path`: only for folders that can be made again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    building, former = (Path(tempfile.mkdtemp(prefix=f".{path.name}.{PARTIAL}", dir=path.parent)) for _ in range(2))
    try:
        yield building
        building.chmod(0o755)
        if path.exists():
            path.replace(former)
        building.replace(path)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove the unfinished files and folders that killed processes left; nobody else may be writing there.

    Args:
        name: only those in `folder` itself that were to get this name; all of them at any depth if None.
    """
    found = folder.rglob(".*") if name is None else folder.glob(f".{glob.escape(name)}.{PARTIAL}*")
    for path in sorted(found):
        if not LEFTOVER.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 to `path`, atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, atomically. NaN is refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def write_array(path: Path, values: np.ndarray) -> None:
    """Write an array as .npy to `path`, atomically."""
    import numpy as np

    with replacing(path) as temporary:
        np.save(temporary, values, allow_pickle=False)
