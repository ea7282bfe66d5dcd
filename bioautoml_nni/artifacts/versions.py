"""The version of a file's keys, which every artifact carries since 0.2."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..utils.errors import BioAutoMLError, RunDirectoryError

KEY = "version"


def require_known_version(
    record: Mapping[str, Any], path: Path, newest: int, kind: type[BioAutoMLError] = RunDirectoryError, key: str = KEY
) -> None:
    """Check that this release knows the keys of a file; one without a version, as before 0.2, has those of version 1.

    Args:
        key: under which the file has its version.

    Raises:
        BioAutoMLError: of the kind given, if it does not.
    """
    found = record.get(key, 1)
    if type(found) is not int or not 1 <= found <= newest:
        raise kind(
            f"{path}: has {key} {found!r}, this release of bioautoml-nni reads {key} {newest}; update "
            "bioautoml-nni, or give the command that wrote the file again."
        )
