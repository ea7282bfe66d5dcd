"""Darwin Core archives of GBIF, iDigBio and others, read with python-dwca-reader."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.image_files import Links
from ..data.manifest import ID, IMAGE, LABEL, Manifest, Role, as_strings
from ..data.remark import Lost
from ..data.typed import with_types, without_texts
from ..registry import suggestion
from ..utils.errors import DataError
from ._archive import read_archive
from ._media import MediaFolder
from ._origin import as_doi

RANKS = ("kingdom", "phylum", "class", "order", "family", "subfamily", "tribe", "genus", "species", "scientificName")
ROLES: dict[str, Role] = {
    **dict.fromkeys(RANKS, "taxonomy"),
    "decimalLatitude": "latitude",
    "decimalLongitude": "longitude",
    "eventDate": "date",
    "sex": "categorical",
    "lifeStage": "categorical",
    "samplingProtocol": "categorical",
    "habitat": "categorical",
    "countryCode": "categorical",
    "individualCount": "size",
    "elevation": "numeric",
    "minimumElevationInMeters": "numeric",
}
GROUP = "occurrence"


class DarwinCoreSource:
    """A Darwin Core archive, packed (zip or tar) or unpacked, or an export of GBIF or iNaturalist.

    The archive's own meta.xml says how its tables are written. Every image of an occurrence is a row; the column
    ``occurrence`` groups them, so name it under data.split.group. Dates may be intervals. A coordinate of exactly
    (0, 0) counts as missing, since that is how unknown places are exported; 0.0 in one of them is a value.

    Args:
        root: folder of the archive and the media.
        archive: zip or tar file, folder with meta.xml, simple CSV of GBIF or CSV of iNaturalist, below `root`.
        media: folder below `root` with the images, named as at the end of their URLs (with their folders where names
            repeat), by the MD5, SHA-1 or SHA-256 of the URL, or by the occurrence's id with a number behind it if there
            are several.
        rank: label: a rank column of the archive, such as order or species, or scientificName.
        columns: roles to change or add, by the term's short name.
        media_table: table below `root` that says which file is whose: columns file, and url or occurrence; `bioautoml
            media` writes one beside the images, with their licences.
        missing: texts that mean that a value is missing, such as NA; an empty field always does.
        doi: of the download, for the citation; by default the archive's own, where its metadata name one.
    """

    capabilities = ("archive", "groups")

    def __init__(
        self,
        root: Path,
        archive: str = "archive.zip",
        media: str = "media",
        rank: str = "order",
        columns: dict[str, Role] | None = None,
        media_table: str | None = None,
        doi: str | None = None,
        missing: list[str] | None = None,
    ) -> None:
        self.root = root
        self.archive = archive
        self.media = media
        self.rank = rank
        self.columns = dict(columns or {})
        self.media_table = media_table
        self.doi = doi
        self.missing = frozenset(missing or [])
        self.links: Links = "inside"
        """Where symbolic links among the images may lead."""

    def load(self) -> Manifest:
        """Read the archive; see `Source.load`."""
        folder, path = self.root / self.media, self.root / self.archive
        if not folder.is_dir():
            raise DataError(
                f"{folder}: there is no such media folder. An archive lists images as URLs; download them into "
                f"it (data.media): bioautoml media {path} --output {folder}."
            )
        notes: list[str] = []
        archive = read_archive(path, notes)
        core = without_texts(archive.core, self.missing, keep=["_core"])
        for key, wanted in (("data.rank", [self.rank]), ("data.columns", list(self.columns))):
            gone = [name for name in wanted if name not in core]
            if gone:
                known = [str(name) for name in core if name != "_core"]
                near = suggestion(gone[0], known)
                raise DataError(
                    f"{path}: {key}: the archive has no term {', '.join(gone)}{near}; it has {', '.join(known)}."
                )
        table_of_media = None if self.media_table is None else self.root / self.media_table
        files = MediaFolder(folder, table_of_media, notes, self.links)
        pairs = files.match(core, archive.media)
        core[self.rank] = as_strings(core[self.rank])
        labelled = core[self.rank].notna()
        table = pairs.merge(core[labelled], on="_core", how="inner")
        if table.empty:
            told = f" ({' '.join(notes)})" if notes else ""
            raise DataError(
                f"{path}: no occurrence has both a {self.rank} and an image in {folder}; check data.rank and "
                f"names{told}."
            )
        if (~labelled).any():
            notes.append(Lost(f"{int((~labelled).sum())} occurrences without a {self.rank} left out."))
        if bare := int((~core["_core"].isin(pairs["_core"]) & labelled).sum()):
            notes.append(Lost(f"{bare} occurrences without an image left out."))
        origin: dict[str, Any] = {**archive.origin, **({"doi": as_doi(self.doi)} if self.doi else {})}
        if licences := files.licences(table[IMAGE]):
            origin["image_licences"] = licences
        return replace(self._manifest(table, folder, notes), origin=origin)

    def _manifest(self, table: pd.DataFrame, folder: Path, notes: list[str]) -> Manifest:
        roles = {name: role for name, role in {**ROLES, **self.columns}.items() if name in table and name != self.rank}
        if not {"latitude", "longitude"} <= set(roles.values()):
            roles = {name: role for name, role in roles.items() if role not in ("latitude", "longitude")}
        typed = with_types(table[list(roles)], roles=roles)
        own = typed.table
        notes += typed.facts
        places = [name for name, role in roles.items() if role in ("latitude", "longitude")]
        if places:
            own[places] = own[places].astype(float)
            nowhere = (own[places] == 0).all(axis=1)
            own.loc[nowhere, places] = float("nan")
            if nowhere.any():
                notes.append(f"The coordinates (0, 0) of {int(nowhere.sum())} images count as missing.")
        own.insert(0, GROUP, table["_core"])
        own.insert(0, LABEL, table[self.rank])
        own.insert(0, IMAGE, table[IMAGE])
        number = table.groupby("_core").cumcount()
        several = table.groupby("_core")["_core"].transform("size") > 1
        own.insert(0, ID, table["_core"].where(~several, table["_core"] + "#" + (number + 1).astype(str)))
        declared = frozenset(self.columns)
        roles[GROUP] = "group"
        return Manifest(
            own.reset_index(drop=True),
            folder,
            roles,
            self.rank,
            declared,
            infer=False,
            notes=notes,
            forms=typed.forms,
            unread=typed.unread,
            missing=tuple(sorted(self.missing)),
        )
