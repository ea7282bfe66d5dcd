"""Darwin Core archives of GBIF, iDigBio and others, read with python-dwca-reader."""

from __future__ import annotations

import codecs
import csv
import warnings
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from pandas.errors import ParserWarning

from ..data.manifest import ID, IMAGE, LABEL, Manifest, Role
from ..data.typed import with_types
from ..utils.encodings import decodes, encoding_of
from ..utils.errors import DataError
from ._media import MediaFolder

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
MEDIA_TYPES = ("multimedia", "audubon", "media")
LARGEST = 50 * 10**9


class DarwinCoreSource:
    """A Darwin Core archive, packed (zip or tar) or unpacked, beside a folder with its media files.

    The archive's own meta.xml says how its tables are written. Every picture of an occurrence is a row; the column
    ``occurrence`` groups them, so name it under data.split.group. Dates may be intervals. A coordinate of exactly
    (0, 0) counts as missing, since that is how unknown places are exported; 0.0 in one of them is a value.

    Args:
        root: folder of the archive and the media.
        archive: zip or tar file, or folder with meta.xml, below `root`.
        media: folder below `root` with the images, named as at the end of their URLs (with their folders where names
            repeat), by the MD5, SHA-1 or SHA-256 of the URL, or by the occurrence's id with a number behind it if there
            are several.
        rank: label: a rank column of the archive, such as order or species, or scientificName.
        columns: roles to change or add, by the term's short name.
        media_table: table below `root` that says which file is whose: columns file, and url or occurrence.
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
    ) -> None:
        self.root = root
        self.archive = archive
        self.media = media
        self.rank = rank
        self.columns = dict(columns or {})
        self.media_table = media_table

    def load(self) -> Manifest:
        """Read the archive; see `Source.load`."""
        folder, path = self.root / self.media, self.root / self.archive
        if not folder.is_dir():
            raise DataError(
                f"{folder}: there is no such media folder. An archive lists pictures as URLs; download them into it "
                "under the names that end their URLs (data.media)."
            )
        notes: list[str] = []
        core, media = _read_archive(path, notes)
        for key, wanted in (("data.rank", [self.rank]), ("data.columns", list(self.columns))):
            gone = [name for name in wanted if name not in core]
            if gone:
                raise DataError(f"{path}: {key}: the archive has no term {', '.join(gone)}; it has {', '.join(core)}.")
        core = _unique(core, notes)
        table_of_media = None if self.media_table is None else self.root / self.media_table
        pairs = MediaFolder(folder, table_of_media, notes).match(core, media)
        labelled = core[self.rank].notna()
        table = pairs.merge(core[labelled], on="_core", how="inner")
        if table.empty:
            raise DataError(
                f"{path}: no occurrence has both a {self.rank} and a picture in {folder}; check data.rank and names."
            )
        if (~labelled).any():
            notes.append(f"{int((~labelled).sum())} occurrences without a {self.rank} left out.")
        return self._manifest(table, folder, notes)

    def _manifest(self, table: pd.DataFrame, folder: Path, notes: list[str]) -> Manifest:
        roles = {name: role for name, role in {**ROLES, **self.columns}.items() if name in table and name != self.rank}
        if not {"latitude", "longitude"} <= set(roles.values()):
            roles = {name: role for name, role in roles.items() if role not in ("latitude", "longitude")}
        typed = with_types(table[list(roles)], roles=roles)
        own = typed.table
        notes += typed.notes
        places = [name for name, role in roles.items() if role in ("latitude", "longitude")]
        if places:
            own[places] = own[places].astype(float)
            nowhere = (own[places] == 0).all(axis=1)
            own.loc[nowhere, places] = float("nan")
            if nowhere.any():
                notes.append(f"The coordinates (0, 0) of {int(nowhere.sum())} pictures count as missing.")
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
        )


def _read_archive(path: Path, notes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Return the core table with the id as ``_core``, and the media extension with ``_core`` too, or None."""
    if not path.exists():
        raise DataError(f"{path}: there is no such archive; check data.root and data.archive.")
    _require_sane(path)
    from dwca.exceptions import InvalidArchive, InvalidSimpleArchive
    from dwca.read import DwCAReader

    try:
        with DwCAReader(str(path), skip_metadata=True) as reader:
            core = _table(reader, reader.core_file.file_descriptor, "id", notes)
            media = None
            for extension in reader.extension_files:
                kind = str(extension.file_descriptor.type).rpartition("/")[2].lower()
                if any(word in kind for word in MEDIA_TYPES):
                    media = _table(reader, extension.file_descriptor, "coreid", notes)
            return core, media
    except (InvalidArchive, InvalidSimpleArchive, OSError, ValueError, KeyError, SyntaxError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as a Darwin Core archive ({reason}); download it again.") from error


def _require_sane(path: Path) -> None:
    """Refuse archives that would write outside of their folder or fill the disk."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as packed:
            entries = packed.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path}: is a damaged ZIP archive ({error}); download it again.") from error
    for entry in entries:
        name = PurePosixPath(entry.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise DataError(f"{path}: holds a file that leads outside of the archive ({entry.filename!r}).")
    size = sum(entry.file_size for entry in entries)
    if size > LARGEST:
        raise DataError(f"{path}: unpacks to {size / 1e9:.0f} GB; unpack it yourself and name the folder.")


def _table(reader: Any, descriptor: Any, key: str, notes: list[str]) -> pd.DataFrame:
    enclosed = descriptor.fields_enclosed_by
    names: list[str] = []
    for name in descriptor.short_headers:
        names.append(name if name not in names else f"{name}_{len(names)}")
    path = Path(reader.absolute_temporary_path(descriptor.file_location))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ParserWarning)
        table = pd.read_csv(
            path,
            sep=descriptor.fields_terminated_by,
            quoting=csv.QUOTE_MINIMAL if enclosed else csv.QUOTE_NONE,
            quotechar=enclosed or '"',
            header=None,
            names=names,
            index_col=False,
            skiprows=descriptor.lines_to_ignore,
            encoding=_encoding(path, descriptor.file_encoding, notes),
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            on_bad_lines="warn",
        )
    skipped = sum(str(warning.message).count("Skipping line") for warning in said)
    if skipped:
        notes.append(f"{descriptor.file_location}: {skipped} lines with too many fields left out.")
    for field in descriptor.fields:
        name = field["term"].rpartition("/")[2]
        if field["default"] and field["index"] is None and name not in table:
            table[name] = field["default"]
        elif field["default"] and name in table and (gaps := int(table[name].isna().sum())):
            table[name] = table[name].fillna(field["default"])
            notes.append(f"{path.name}: {gaps} empty values of {name} are {field['default']!r}, as meta.xml says.")
    identifier = key if key in table else names[0]
    return table.rename(columns={identifier: "_core"})


def _encoding(path: Path, declared: str | None, notes: list[str]) -> str:
    """Return the encoding that meta.xml declares if the file can be read in it, else the one that its bytes suggest."""
    try:
        name = codecs.lookup(declared or "utf-8").name
    except LookupError:
        name = ""
    with open(path, "rb") as file:
        marked = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        if name and not marked and decodes(file, name):
            return "utf-8-sig" if name == "utf-8" else name
        found = encoding_of(file)
    notes.append(f"{path.name}: is not in the encoding {declared!r} that meta.xml declares; read as {found}.")
    return found


def _unique(core: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    repeated = core["_core"].duplicated() | core["_core"].isna()
    if repeated.any():
        notes.append(f"{int(repeated.sum())} occurrences that repeat or lack an id left out.")
    return core[~repeated]
