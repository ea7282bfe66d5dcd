"""A folder's files as bytes, so that an object which reads them can be pickled."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path


def packed(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder by its relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def unpacked(files: Mapping[str, bytes]) -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder with these files, which goes with the object."""
    temporary = tempfile.TemporaryDirectory(prefix="bioautoml-")
    for name, content in files.items():
        file = Path(temporary.name) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return temporary
