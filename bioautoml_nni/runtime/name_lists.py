"""Several names of classes in one cell, with | between them; a name may hold that sign, too."""

from __future__ import annotations

import re
from collections.abc import Iterable

BETWEEN = "|"
PART = re.compile(r"\\([\\|])|(\|)|([^\\|]+|\\)")


def joined_names(names: Iterable[str]) -> str:
    r"""Return names in one text, with | between; | and \ within a name have a \ in front.

    Example:
        >>> joined_names(["ant", "bee|wasp"])
        'ant|bee\\|wasp'
    """
    return BETWEEN.join(str(name).replace("\\", r"\\").replace(BETWEEN, r"\|") for name in names)


def names_apart(text: str) -> list[str]:
    r"""Return the names that `joined_names` put into a text; a single \, as older files have it, is itself.

    Example:
        >>> names_apart("ant|bee\\|wasp")
        ['ant', 'bee|wasp']
    """
    names = [""]
    for escaped, between, plain in PART.findall(text):
        if between:
            names.append("")
        else:
            names[-1] += escaped or plain
    return names
