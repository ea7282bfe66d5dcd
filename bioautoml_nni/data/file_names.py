"""Names of files whose bytes are no UTF-8: as text that tables can hold, and back to the bytes on the disk.

A card that was written by another system holds names in its code page. Their text is that of the code page, in which no
other file may be called the same.
"""

from __future__ import annotations

import os

PAGES = ("cp1252", "latin-1", "cp850", "mac_roman")
"""In which the text of a name is looked for; a name is shown in the first one that has all its bytes."""


def is_utf8(name: str) -> bool:
    """Whether a name that the system gave is text, and not bytes in a text's place."""
    if name.isascii():
        return True
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """Return the name of a file, or its path, as text: what is not UTF-8 in the first code page that it fits."""
    if is_utf8(name):
        return name
    return "/".join(part if is_utf8(part) else _in_a_page(os.fsencode(part)) for part in name.split("/"))


def on_disk(root: str | os.PathLike[str], relative: str) -> str:
    """Return the path of a file below a folder, for the system: names of other code pages in their own bytes.

    Args:
        relative: as tables hold it; itself if there is such a file, or none in any code page.
    """
    whole = os.path.join(os.fspath(root), relative)
    if relative.isascii() or os.path.lexists(whole):
        return whole
    here = os.fspath(root)
    for part in relative.split("/"):
        here = os.path.join(here, _entry(here, part))
    return here


def _entry(folder: str, name: str) -> str:
    """Return what a folder's entry is called on the disk."""
    if name.isascii() or os.path.lexists(os.path.join(folder, name)):
        return name
    for page in PAGES:
        try:
            candidate = os.fsdecode(name.encode(page))
        except (UnicodeEncodeError, ValueError):
            continue
        if os.path.lexists(os.path.join(folder, candidate)):
            return candidate
    return name


def _in_a_page(name: bytes) -> str:
    for page in PAGES:
        try:
            return name.decode(page)
        except UnicodeDecodeError:
            continue
    return name.decode("latin-1")
