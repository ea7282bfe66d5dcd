"""Arguments of functions that people call: what is near to what is meant is taken, the rest is named."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from .errors import ConfigError


def as_path(given: Any, name: str) -> Path:
    """Return a path that was given as a text or a path.

    Raises:
        ConfigError: for anything else, an empty text too.
    """
    if not isinstance(given, str | os.PathLike) or not str(given):
        raise ConfigError([f"{name}: {given!r} is not a path; give the name of a file or folder."], "arguments")
    return Path(given)


def as_texts(given: Any, name: str) -> list[str]:
    """Return texts that were given together, or the one that was given alone.

    Raises:
        ConfigError: for anything else.
    """
    if isinstance(given, str):
        return [given]
    several = isinstance(given, Collection) and not isinstance(given, Mapping | bytes)
    if not several or not all(isinstance(each, str) for each in given):
        raise ConfigError([f"{name}: {given!r} is not a list of texts."], "arguments")
    return list(given)
