"""The folder of all caches: room in it, and shards of a cache, which several machines fill apart.

A shard lies beside its cache, in a folder that is built as the cache's own and that one process at a time writes to, so
that no file is written by two machines. Whoever opens the cache for writing takes over the shards that nobody works on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

COPIED = 1 << 24
"""Bytes that are copied at a time."""


def default_folder() -> Path:
    """Return the folder of all image caches of this user."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bioautoml-nni" / "images"


def make_room(caches: Path, own: Sequence[Path], needed: int, limit: int) -> bool:
    """Remove the caches used longest ago until `needed` bytes in the folders `own` fit; return whether they do.

    Args:
        caches: the folder of all caches, with one folder for each.
        own: folders that stay, and that the needed bytes are for.
        limit: bytes of all together.
    """
    if needed > limit:
        return False
    others = [folder for folder in caches.iterdir() if folder.is_dir() and folder not in own]
    sizes = {folder: _bytes(folder) for folder in others}
    for folder in sorted(others, key=_used):
        if sum(sizes.values()) + needed <= limit:
            break
        try:
            with FileLock(folder / "lock", timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
            del sizes[folder]
        except Timeout:  # in use
            continue
    return True


def _bytes(folder: Path) -> int:
    """Return the bytes in a folder; others may write to it, so that files come and go meanwhile."""
    found = 0
    try:
        for entry in os.scandir(folder):
            with suppress(FileNotFoundError):
                found += entry.stat().st_size
    except FileNotFoundError:
        pass
    return found


def _used(folder: Path) -> float:
    """Return when a cache was opened last."""
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def shard_folder(cache: Path, number: int) -> Path:
    """Return the folder of a shard of a cache."""
    return cache.with_name(f"{cache.name}-shard-{number}")


def with_shards(cache: Path) -> list[Path]:
    """Return the folder of a cache and those of its shards."""
    return [cache, *sorted(cache.parent.glob(f"{cache.name}-shard-*"))]


def idle_shards(cache: Path) -> Iterator[Path]:
    """Give the folder of each shard that nobody works on, and remove it after its turn, unless that fails."""
    for folder in with_shards(cache)[1:]:
        try:
            with FileLock(folder / "lock", timeout=0):
                yield folder
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            continue


def append_rows(rows: Path, file: Path, start: int) -> None:
    """Copy a file of rows into another one from a byte on, onto the disk."""
    with open(rows, "rb") as source, os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o644), "wb") as target:
        target.seek(start)
        shutil.copyfileobj(source, target, COPIED)
        target.flush()
        os.fsync(target.fileno())
