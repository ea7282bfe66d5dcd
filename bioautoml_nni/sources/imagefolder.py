"""Folders of images: the folder's name is the label."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest
from ..utils.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif"})
PARTS = ("train", "training", "val", "valid", "validation", "test", "testing")


class ImageFolderSource:
    """One folder per class, with images at any depth below it. Paths are never features.

    If all folders at the top are named like parts (train, val, validation, test), the classes are the folders below
    them, and the parts are an official split.

    Args:
        root: folder that holds the class folders.
    """

    capabilities = ("official_split",)

    def __init__(self, root: Path) -> None:
        self.root = root

    def load(self) -> Manifest:
        """List the images; see `Source.load`."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: there is no such folder; check data.root.")
        tops = sorted(folder for folder in self.root.iterdir() if folder.is_dir() and not folder.name.startswith("."))
        split = bool(tops) and all(folder.name.lower() in PARTS for folder in tops)
        rows, skipped = [], 0
        for top in tops:
            for path in sorted(top.rglob("*")):
                below = path.relative_to(self.root).parts
                if not path.is_file() or any(part.startswith(".") for part in below):
                    continue
                if path.suffix.lower() not in SUFFIXES or len(below) < 2 + split:
                    skipped += 1
                    continue
                name = "/".join(below)
                rows.append({ID: name, IMAGE: name, LABEL: below[int(split)], SPLIT: below[0].lower()})
        if not rows:
            kinds = ", ".join(sorted(SUFFIXES))
            raise DataError(
                f"{self.root}: holds no class folder with images ({kinds}); lay them out as CLASS/picture.jpg."
            )
        table = pd.DataFrame(rows)
        notes = [f"{skipped} files that are no images, or lie in no class folder, left out."] if skipped else []
        return Manifest(table if split else table.drop(columns=SPLIT), self.root, {}, rank="folder", notes=notes)
