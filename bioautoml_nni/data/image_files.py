"""Which files of a folder are images of specimens."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from ..utils.remote import RemotePath
from .file_names import on_disk, shown
from .remark import Lost
from .remote_images import images_at

Links = Literal["inside", "anywhere"]
"""Where symbolic links of an image folder may lead."""
HEIC = frozenset((".heic", ".heif", ".hif"))
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".mpo", ".avif", ".jp2")
) | (HEIC if find_spec("pillow_heif") else frozenset())
"""Of files that are decoded."""
STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
"""First bytes of JPEG, PNG, GIF and TIFF."""
UNREAD = frozenset(
    (".jxl", ".psd", ".svg", ".eps", ".exr", ".dcm", ".czi", ".nd2", ".lif", ".vsi", ".ndpi", ".svs", ".j2k", ".jpx")
)
"""Of images of other kinds."""
MOVING = frozenset((".mp4", ".mov", ".avi", ".mts", ".m4v", ".mkv", ".webm", ".wmv", ".3gp"))
RAW = frozenset(
    (".nef", ".cr2", ".cr3", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw", ".nrw", ".3fr", ".iiq")
)
"""Of cameras' own formats, which hold no finished image."""
NOT_SPECIMENS = frozenset(
    ("$recycle.bin", "#recycle", "@recycle", "recycler", "network trash folder", "system volume information",
     "__macosx", "@eadir", "lost+found", "temporaryitems", "thumbnails", "_thumbs")
)  # fmt: skip
"""Folders, in small letters, in which systems keep companions, thumbnails and what was thrown away."""
RUN = frozenset(("experiment.yml", "provenance.json"))
"""Files that a run directory has; its figures are no specimens."""


@dataclass
class Listing:
    """Images below a folder.

    Attributes:
        files: paths relative to the folder, in order.
        recoded: files whose names are no UTF-8, as they are called in a code page; they are among the files.
        unnamable: such files whose name another file has too.
        linked: folders that are links, and are not looked into.
        runs: folders of runs, which are not looked into.
        hidden: number of images that are hidden, or lie in folders of the system.
        of_system: number of those among them that a folder's name alone keeps out, by folder.
        skipped: number of other files by suffix; images that cannot be decoded among them.
        examples: one file for each skipped suffix of images.
    """

    files: list[str] = field(default_factory=list)
    hidden: int = 0
    of_system: Counter[str] = field(default_factory=Counter)
    recoded: list[str] = field(default_factory=list)
    unnamable: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Say what was left out, in sentences."""
        found: list[str] = []
        if self.hidden:
            found.append(Lost(f"{self.hidden} hidden images, thumbnails or deleted ones left out."))
        if self.recoded:
            found.append(
                f"{len(self.recoded)} files whose names are no UTF-8 are called as in a code page, such as "
                f"{self.recoded[0]}."
            )
        if self.unnamable:
            found.append(
                Lost(
                    f"{len(self.unnamable)} files whose names are no UTF-8 left out, since others are called the same, "
                    f"such as {self.unnamable[0]}; rename them."
                )
            )
        if self.linked:
            found.append(
                Lost(
                    f"{len(self.linked)} folders that are links not looked into, such as {self.linked[0]}; data.links: "
                    "anywhere (predict: --follow-links) follows them."
                )
            )
        if self.runs:
            found.append(f"{len(self.runs)} folders of runs not looked into, such as {self.runs[0]}.")
        for kinds, what in (
            (HEIC, "pip install 'bioautoml-nni[heif]' reads them"),
            (RAW, "a camera's raw data; develop them to JPEG or TIFF"),
            (UNREAD, "of no kind that is read; save them as JPEG, PNG or TIFF"),
            (MOVING, "videos; save still images of them"),
        ):
            several = [suffix for suffix in sorted(self.skipped) if suffix in kinds]
            if several:
                count = sum(self.skipped[suffix] for suffix in several)
                found.append(
                    Lost(f"{count} files {', '.join(several)} left out, such as {self.examples[several[0]]} ({what}).")
                )
        return found


def list_images(folder: Path, leave_out: Path | None = None, links: Links = "inside") -> Listing:
    """Return the images below a folder at any depth, without hidden ones and those in folders of the system.

    Args:
        leave_out: a folder below it that is not looked into.
        links: whether folders that are links are looked into ("anywhere").
    """
    listing = Listing()
    for given in sorted(_walk(folder, leave_out, links, listing), key=lambda name: name.replace("/", "\0")):
        relative, suffix = shown(given), _suffix(given)
        if is_hidden(relative):
            listing.hidden += suffix in SUFFIXES
            if suffix in SUFFIXES and not any(part.startswith(".") for part in relative.split("/")):
                listing.of_system[next(part for part in relative.split("/") if part.lower() in NOT_SPECIMENS)] += 1
        elif suffix in SUFFIXES or (not suffix and _begins_as_image(folder, given)):
            if relative != given and os.path.basename(on_disk(folder, relative)) != os.path.basename(given):
                listing.unnamable.append(relative)
                continue
            listing.files.append(relative)
            listing.recoded += [relative] if relative != given else []
        else:
            listing.skipped[suffix] += 1
            listing.examples.setdefault(suffix, relative)
    return listing


def _suffix(name: str) -> str:
    """Return what `Path.suffix` does, in small letters."""
    last = name.rpartition("/")[2]
    point = last.rfind(".")
    return last[point:].lower() if 0 < point < len(last) - 1 else ""


def _begins_as_image(folder: Path, name: str) -> bool:
    """Whether a file without a suffix starts as images do."""
    if isinstance(folder, RemotePath) or not os.path.isfile(os.path.join(folder, name)):
        return False
    try:
        with open(os.path.join(folder, name), "rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith(STARTS) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def is_hidden(relative: str) -> bool:
    """Whether a path below a folder is hidden, a companion, a thumbnail or in a waste basket.

    Example:
        >>> is_hidden('trap/._001.jpg'), is_hidden('trap/001.jpg')
        (True, False)
    """
    folder, _, name = relative.rpartition("/")
    return name.startswith(".") or _is_out_of_sight(folder)


@lru_cache(maxsize=64)
def _is_out_of_sight(folder: str) -> bool:
    return any(part.startswith(".") or part.lower() in NOT_SPECIMENS for part in folder.split("/"))


def _walk(folder: Path, leave_out: Path | None, links: Links, listing: Listing) -> Iterator[str]:
    if isinstance(folder, RemotePath):
        yield from images_at(folder).names()
        return
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=links == "anywhere"):
        base, real = Path(here), os.path.realpath(here)
        if real in seen:  # a link that leads back
            folders[:] = []
            continue
        seen.add(real)
        if base != folder and RUN.issubset(files):
            listing.runs.append(shown(base.relative_to(folder).as_posix()))
            folders[:] = []
            continue
        if links == "inside":
            linked = [(base / name).relative_to(folder).as_posix() for name in folders if (base / name).is_symlink()]
            listing.linked += [shown(name) for name in sorted(linked) if not is_hidden(f"{name}/-")]
        folders[:] = sorted(name for name in folders if leave_out is None or base / name != leave_out)
        prefix = "" if base == folder else f"{base.relative_to(folder).as_posix()}/"
        for name in files:
            yield prefix + name
