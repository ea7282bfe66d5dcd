"""Folders of images: the folder's name is the label."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..data.image_files import SUFFIXES, Links, list_images
from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest
from ..data.remark import Lost
from ..utils.errors import DataError

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
        self.links: Links = "inside"
        """Where symbolic links among the images may lead."""

    def load(self) -> Manifest:
        """List the images; see `Source.load`."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: there is no such folder; check data.root.")
        listing = list_images(self.root, links=self.links)
        tops = {name.split("/")[0].lower() for name in listing.files if "/" in name}
        split = bool(tops) and tops <= set(PARTS)
        usable = [name for name in listing.files if name.count("/") > split]
        loose = [name for name in listing.files if "/" not in name]
        skipped = sum(listing.skipped.values()) + len(listing.files) - len(usable) - len(loose)
        rows = [
            {ID: name, IMAGE: name, LABEL: below[int(split)], SPLIT: below[0].lower()}
            for name in usable
            if (below := name.split("/"))
        ]
        if not rows:
            kinds = ", ".join(sorted(SUFFIXES))
            raise DataError(
                f"{self.root}: holds no class folder with images ({kinds}); lay them out as CLASS/image.jpg."
            )
        table = pd.DataFrame(rows)
        notes: list[str] = (
            [Lost(f"{skipped} files that are no images, or lie in no class folder, left out.")] if skipped else []
        )
        if loose:
            notes.append(
                Lost(
                    f"{len(loose)} images beside the class folders have no class and are left out, such as {loose[0]}."
                )
            )
        listing.hidden = 0  # hidden files are no files that anybody gave
        notes += listing.notes()
        return Manifest(table if split else table.drop(columns=SPLIT), self.root, {}, rank="folder", notes=notes)
