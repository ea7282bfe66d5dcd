"""Where a command may write: found out before the work, and never over what it reads."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from .errors import BioAutoMLError, DataError


def require_place(path: Path, reads: Iterable[Path | None] = (), option: str = "--output") -> None:
    """Check that a file can be written at `path`, making its folder if need be.

    Args:
        reads: files and folders that the command reads; a folder only forbids itself.
        option: how the user gave the path.

    Raises:
        DataError: if it is one of them, a folder, or in a place where nothing can be written.
    """
    for other in reads:
        if other is not None and _same(path, other):
            raise DataError(f"{option} {path}: is what the command reads; choose another name, so that it is kept.")
    if path.is_dir():
        raise DataError(f"{option} {path}: is a folder; name a file in it.")
    require_folder(path.parent, option)


def require_folder(folder: Path, option: str = "--output", kind: type[BioAutoMLError] = DataError) -> None:
    """Check that files can be written in a folder, making it if need be.

    Raises:
        BioAutoMLError: of the kind given, if they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".probe.partial-", dir=folder)
        os.close(handle)
        Path(name).unlink()
    except OSError as error:
        reason = error.strerror or error
        raise kind(f"{option} {folder}: nothing can be written there ({reason}); choose another place.") from error


def _same(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))
    except OSError:
        return False
