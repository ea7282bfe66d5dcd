"""Copies or links of images in one folder for each answer."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from ..data.decoding import ImageReference
from ..data.file_names import on_disk
from ..data.remote_images import images_at
from ..utils.atomic import replacing
from ..utils.remote import RemotePath

LONGEST = 200
"""Bytes of a file's name; most systems allow 255."""
UNSURE = "unsure"


class Sorter:
    """Sorts images into a folder.

    Args:
        root: folder below which the images lie.
        folder: where the folders of answers go.
        link: link instead of copying.
        taxa: all possible answers; those that would share a folder's name get a suffix.
        literal: whether references are names of files, in which nothing marks a box or a member of an archive.
    """

    def __init__(self, root: Path, folder: Path, link: bool, taxa: Collection[str], literal: bool) -> None:
        self.root = root
        self.folder = folder
        self.link = link
        self.literal = literal
        self.folders = _folder_names(taxa)
        self.taken: dict[Path, str] = {}

    def sort(self, references: pd.Series, answers: pd.Series, usable: pd.Series) -> None:
        """Copy or link the usable ones; what is there already stays."""
        for reference, answer in zip(references[usable], answers[usable], strict=True):
            path = reference if self.literal else ImageReference.parse(reference).path
            target = self._target(path, self.folder / self.folders[answer])
            if target.exists() or target.is_symlink():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if self.link:
                target.symlink_to(Path(on_disk(self.root, path)).resolve())
            else:
                with replacing(target) as temporary:
                    if isinstance(self.root, RemotePath):
                        temporary.write_bytes(images_at(self.root).read(path))
                    else:
                        shutil.copyfile(on_disk(self.root, path), temporary)

    def _target(self, path: str, place: Path) -> Path:
        """Return where an image goes; one of the same name that is another image gets a digest in its name."""
        name = path.replace("/", "__")
        target = place / name
        if len(name.encode()) > LONGEST or self.taken.setdefault(target, path) != path:
            suffix = Path(name).suffix
            stem = name[: len(name) - len(suffix)].encode()[:LONGEST].decode("utf-8", "ignore")
            target = place / f"{stem}-{_digest(path)}{suffix}"
            self.taken[target] = path
        return target


def _folder_names(taxa: Collection[str]) -> dict[str, str]:
    """Return a folder's name for every answer, all of them different on any system."""
    names = {taxon: _plain(taxon) for taxon in taxa if taxon}
    result = {"": UNSURE}
    counts: dict[str, int] = {UNSURE: 1}
    for name in names.values():
        counts[name.casefold()] = counts.get(name.casefold(), 0) + 1
    for taxon, name in names.items():
        result[taxon] = name if counts[name.casefold()] == 1 else f"{name}-{_digest(taxon)}"
    return result


def _plain(taxon: str) -> str:
    name = "".join(letter if letter.isalnum() or letter in " -_." else "_" for letter in taxon).strip(". ")
    return name.encode()[:LONGEST].decode("utf-8", "ignore") or f"taxon-{_digest(taxon)}"


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
