"""JSON as other programs write it."""

from __future__ import annotations

import json
import re
from typing import Any

HALF = re.compile(r"\\u[dD][89a-fA-F]")
"""An escape that is, or may be, one half of a pair of code units."""


def parse_json(text: str, unique: bool = False) -> Any:
    """Return what a text says; half a letter, which no file can hold, becomes the sign for an unknown one.

    Args:
        unique: whether a key that stands twice in an object is refused, and does not replace the first.

    Raises:
        ValueError: if it is not JSON, nested too deep, or has a key twice.
    """
    try:
        content = json.loads(text, object_pairs_hook=_once if unique else None)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    return _whole(content) if HALF.search(text) else content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _whole(content: Any) -> Any:
    if isinstance(content, str):
        return content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(content, dict):
        return {_whole(key): _whole(value) for key, value in content.items()}
    return [_whole(value) for value in content] if isinstance(content, list) else content
