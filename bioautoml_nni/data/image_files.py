"""Which files of a folder are images of specimens."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

HEIC = frozenset((".heic", ".heif", ".hif"))
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".mpo", ".avif", ".jp2")
) | (HEIC if find_spec("pillow_heif") else frozenset())
"""Of files that are decoded."""
RAW = frozenset(
    (".nef", ".cr2", ".cr3", ".arw", ".dng", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw", ".nrw", ".3fr", ".iiq")
)
"""Of cameras' own formats, which hold no finished image."""
NOT_SPECIMENS = frozenset(
    ("$recycle.bin", "system volume information", "__macosx", "@eadir", "lost+found", "thumbnails", "recycler")
)
"""Folders, in small letters, in which systems keep companions, thumbnails and what was thrown away."""


@dataclass
class Listing:
    """Images below a folder.

    Attributes:
        files: paths relative to the folder, in order.
        unnamable: files whose names are no UTF-8, as far as they can be shown.
        hidden: number of images that are hidden, or lie in folders of the system.
        skipped: number of other files by suffix; pictures that cannot be decoded among them.
        examples: one file for each skipped suffix of pictures.
    """

    files: list[str] = field(default_factory=list)
    hidden: int = 0
    unnamable: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """Say what was left out, in sentences."""
        found = []
        if self.hidden:
            found.append(f"{self.hidden} hidden images, thumbnails or deleted ones left out.")
        if self.unnamable:
            found.append(
                f"{len(self.unnamable)} files whose names are no UTF-8 left out, such as {self.unnamable[0]}; "
                "rename them."
            )
        for kinds, what in (
            (HEIC, "pip install 'bioautoml-nni[heif]' reads them"),
            (RAW, "a camera's raw data; develop them to JPEG or TIFF"),
        ):
            several = [suffix for suffix in sorted(self.skipped) if suffix in kinds]
            if several:
                count = sum(self.skipped[suffix] for suffix in several)
                found.append(
                    f"{count} files {', '.join(several)} left out, such as {self.examples[several[0]]} ({what})."
                )
        return found


def list_images(folder: Path, leave_out: Path | None = None) -> Listing:
    """Return the images below a folder at any depth, without hidden ones and those in folders of the system.

    Args:
        leave_out: a folder below it that is not looked into.
    """
    listing = Listing()
    for relative in sorted(_walk(folder, leave_out), key=lambda name: name.split("/")):
        suffix = Path(relative).suffix.lower()
        if (
            not relative.isascii()
            and (shown := relative.encode("utf-8", "surrogateescape").decode("utf-8", "replace")) != relative
        ):
            listing.unnamable.append(shown)
        elif is_hidden(relative):
            listing.hidden += suffix in SUFFIXES
        elif suffix in SUFFIXES:
            listing.files.append(relative)
        else:
            listing.skipped[suffix] += 1
            listing.examples.setdefault(suffix, relative)
    return listing


def is_hidden(relative: str) -> bool:
    """Whether a path below a folder is hidden, a companion, a thumbnail or in a waste basket."""
    parts = relative.split("/")
    return any(part.startswith(".") or part.lower() in NOT_SPECIMENS for part in parts[:-1]) or parts[-1].startswith(
        "."
    )


def _walk(folder: Path, leave_out: Path | None) -> Iterator[str]:
    for here, folders, files in os.walk(folder):
        base = Path(here)
        folders[:] = sorted(name for name in folders if leave_out is None or base / name != leave_out)
        for name in sorted(files):
            yield (base / name).relative_to(folder).as_posix()
