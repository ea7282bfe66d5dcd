"""Folders of images: the folder's name is the label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ..data.image_files import SUFFIXES, Links, list_images
from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest
from ..data.remark import Lost
from ..data.splits import part_of
from ..utils.errors import DataError


class ImageFolderSource:
    """One folder per class, with images at any depth below it. Paths are never features.

    If all folders at the top are named like parts (train, val, test, trainset, Testdaten), the classes are the folders
    below them, and the parts are an official split.

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
        split = bool(tops) and all(part_of(top) for top in tops)
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
        notes += [] if split else _below_classes(usable)
        if listing.of_system:
            shown = ", ".join(sorted(listing.of_system)[:3])
            count = listing.of_system.total()
            notes.append(Lost(f"{count} images left out, since folders of this name hold no specimens: {shown}."))
        listing.hidden = 0  # hidden files are no files that anybody gave
        notes += listing.notes()
        return Manifest(table if split else table.drop(columns=SPLIT), self.root, {}, rank="folder", notes=notes)


def _below_classes(names: Sequence[str]) -> list[str]:
    """Return what is to be said where the folders below the classes could be the classes: each has those of another."""
    below: dict[str, set[str]] = {}
    for name in names:
        top, *folders = name.split("/")[:-1]
        below.setdefault(top, set()).update(folders[:1])
    shared = sorted(set.intersection(*below.values())) if len(below) > 1 else []
    parts = [top for top in below if part_of(top)]
    if len(shared) < 2 and not parts:
        return []
    what = f"hold folders of the same names ({', '.join(shared[:5])})" if shared else "are classes, whatever is in them"
    told = f", though {', '.join(parts)} is called like a part" if parts else ""
    return [
        f"The folders {', '.join(sorted(below)[:5])} {what}{told}. They are the classes; if they are parts of the "
        "data, call all of them train, validation or test."
    ]
