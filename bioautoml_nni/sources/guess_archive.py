"""How an archive of Darwin Core, or a table that GBIF or iNaturalist exported, is most likely read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..data.image_files import list_images
from ._exported_csv import TERMS
from ._guessed import Guess

RANKS = ("order", "family", "genus", "species", "class", "scientificName")
"""Labels of an archive, the one that is proposed first."""
MEDIA_TABLE = "media.csv"


def guess_darwin_core(path: Path, reason: str = "it holds meta.xml") -> Guess:
    """Guess how an archive of Darwin Core is read."""
    found = Guess("darwin_core", path.parent)
    found.set("archive", path.name, reason)
    return _media(found, path.parent, RANKS)


def guess_export(path: Path, columns: Sequence[str], whose: str) -> Guess:
    """Guess how an export of GBIF or iNaturalist is read: as an archive, by the ranks that it has."""
    found = Guess("darwin_core", path.parent)
    found.set("archive", path.name, f"it has the columns of {whose}")
    there = {TERMS.get(name, name) for name in columns}
    return _media(found, path.parent, [rank for rank in RANKS if rank in there])


def _media(found: Guess, root: Path, ranks: Sequence[str]) -> Guess:
    folders = [name.split("/")[0] for name in list_images(root).files if "/" in name]
    if folders:
        best = max(set(folders), key=folders.count)
        found.set("media", best, f"{folders.count(best)} images are in it")
        if (root / best / MEDIA_TABLE).is_file():
            found.set("media_table", f"{best}/{MEDIA_TABLE}", "as `bioautoml media` writes it")
    found.set("rank", ranks[0], "a rank that most archives have; finer ones need more specimens")
    if len(ranks) > 1 and ranks is not RANKS:
        found.unsure["rank"] = list(ranks[1:])
    found.set("split", {"method": "group", "group": "occurrence"}, "images of one occurrence stay on one side")
    return found
