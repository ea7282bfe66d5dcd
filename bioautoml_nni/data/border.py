"""The image root as a border that no path may lead out of, and what the system says of the files below it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from ..utils.errors import DataError
from ..utils.remote import RemotePath
from .file_names import on_disk
from .image_files import Links
from .remote_images import require_names_below


class Border:
    """The image root as a border that no path may lead out of.

    Args:
        root: a folder of this machine.
        links: whether symbolic links may lead "anywhere", or only to what lies "inside".
    """

    def __init__(self, root: Path, links: Links = "inside") -> None:
        self.root = root
        self.links = links
        self._base = os.fspath(root)
        self._real = root.resolve()
        self._folders: dict[str, bool] = {}

    def status(self, relative: str) -> os.stat_result | None:
        """Return what the system says of a file below the root, None where it says nothing; a look at each file is all.

        Raises:
            DataError: if the path leads out of the root.
        """
        if not relative.isascii():
            self.require(relative)
            path = on_disk(self._base, relative)
        elif "\0" in relative:
            return None
        else:
            self._require_folder(relative)
            path = f"{self._base}/{relative}"
        try:
            found = os.lstat(path)
            if not stat.S_ISLNK(found.st_mode):
                return found
            self._require_link(relative, path)
            return os.stat(path)
        except (OSError, ValueError):  # a name that no file can have is a ValueError
            return None

    def require(self, relative: str) -> None:
        """Check that a path stays below the root.

        Raises:
            DataError: if it does not.
        """
        if not can_be_a_name(relative):
            return  # it will not be read either
        self._require_folder(relative)
        if self.links == "inside" and os.path.islink(path := on_disk(self._base, relative)):
            self._require_link(relative, path)

    def _require_folder(self, relative: str) -> None:
        folder, _, name = relative.rpartition("/")
        if folder not in self._folders:
            below = ".." not in folder.split("/")
            if self.links == "inside":
                below = _leads_below(self._real, on_disk(self._base, folder))
            self._folders[folder] = below
        if relative.startswith("/") or name == ".." or not self._folders[folder]:
            raise self._refusal(relative)

    def _require_link(self, relative: str, path: str) -> None:
        if self.links == "inside" and not _leads_below(self._real, path):
            raise self._refusal(relative)

    def _refusal(self, relative: str) -> DataError:
        way_out = "correct it in the table"
        if self.links == "inside" and _by_a_link(self._base, relative):
            way_out = "it is a link, which data.links: anywhere (predict: --follow-links) follows"
        return DataError(f"image path {relative!r} leads outside the image root {self.root}; {way_out}.")


def require_below(root: Path, paths: Iterable[str], links: Links = "inside") -> None:
    """Check that no path leads out of `root`.

    Args:
        links: whether symbolic links may lead "anywhere", or only to what lies "inside".

    Raises:
        DataError: naming the first one that does.
    """
    if isinstance(root, RemotePath):
        require_names_below(root, paths)
        return
    border = Border(root, links)
    for relative in paths:
        border.require(relative)


def _by_a_link(base: str, relative: str) -> bool:
    """Whether a path stays below its root but for symbolic links."""
    return not relative.startswith("/") and ".." not in relative.split("/") and os.path.lexists(on_disk(base, relative))


def _leads_below(border: Path, path: str) -> bool:
    try:
        return Path(path).resolve().is_relative_to(border)
    except (OSError, RuntimeError):  # links in a circle lead nowhere, as reading will say
        return True


def can_be_a_name(path: str) -> bool:
    """Whether a file of this machine can be called so."""
    if path.isascii():
        return "\0" not in path
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False
