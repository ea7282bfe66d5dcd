"""The tables that GBIF (simple CSV) and iNaturalist (export CSV) give out, in Darwin Core's terms."""

from __future__ import annotations

import zipfile
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Literal

import pandas as pd

from ..data.tables import is_table, read_table
from ..utils.errors import DataError

GBIF = frozenset(("gbifID", "datasetKey", "scientificName"))
INATURALIST = frozenset(("id", "observed_on", "scientific_name"))
"""Columns that give each of the two away; `scientific_name` alone is in too many tables."""
INATURALIST_ALSO = ("image_url", "quality_grade", "user_login", "taxon_id")
"""Of these an export of iNaturalist has one at least, whatever columns were chosen."""
TERMS = {
    "observed_on": "eventDate",
    "latitude": "decimalLatitude",
    "longitude": "decimalLongitude",
    "positional_accuracy": "coordinateUncertaintyInMeters",
    "scientific_name": "scientificName",
    "place_guess": "locality",
    **{
        f"taxon_{rank}_name": rank
        for rank in ("kingdom", "phylum", "class", "order", "family", "subfamily", "tribe", "genus", "species")
    },
}
"""What iNaturalist's columns are called in Darwin Core."""
NAMES = ("user_name", "user_login")

Export = Literal["gbif", "inaturalist"]


def export_of(columns: Collection[str]) -> Export | None:
    """Return whose export a table with these columns is, None if nobody's."""
    names = set(columns)
    if names >= GBIF:
        return "gbif"
    return "inaturalist" if names >= INATURALIST and names & set(INATURALIST_ALSO) else None


def exported_table(path: Path, notes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame | None] | None:
    """Return occurrences and media of an exported table, packed or not; None for a file of another kind.

    Raises:
        DataError: if it is a table, but neither of the two.
    """
    if path.suffix.lower() == ".zip" and not is_table(path):
        return _packed(path, notes)
    if not is_table(path):
        return None
    table = read_table(path, notes=notes)
    kind = export_of(table.columns)
    if kind is None:
        raise DataError(
            f"{path}: is neither a simple CSV of GBIF (columns {', '.join(sorted(GBIF))}) nor an export of iNaturalist "
            f"(columns {', '.join(sorted(INATURALIST))}); read your own table with data.source: csv."
        )
    return _gbif(table, path, notes) if kind == "gbif" else _inaturalist(table)


def only_table(names: Iterable[str]) -> str | None:
    """Return the table that alone is in a ZIP file with these names, None if it holds something else."""
    files = [name for name in names if not name.endswith("/")]
    return files[0] if len(files) == 1 and PurePosixPath(files[0]).suffix.lower() in (".csv", ".tsv", ".txt") else None


def _packed(path: Path, notes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame | None] | None:
    """Read a simple CSV as GBIF packs it: the only file of a ZIP file that has no meta.xml."""
    try:
        with zipfile.ZipFile(path) as packed:
            name = only_table(packed.namelist())
            if name is None:
                return None
            with TemporaryDirectory() as folder:
                file = Path(folder) / PurePosixPath(name.replace("\\", "/")).name
                with packed.open(name) as source, file.open("wb") as target:
                    while block := source.read(1 << 20):
                        target.write(block)
                return exported_table(file, notes)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return None  # what is wrong with the archive is said by whoever reads it next


def _gbif(table: pd.DataFrame, path: Path, notes: list[str]) -> tuple[pd.DataFrame, None]:
    notes.append(
        f"{path.name}: a simple CSV of GBIF, which names no images; files are found by the gbifID in their names."
    )
    return table.assign(gbifID=_text(table["gbifID"])).rename(columns={"gbifID": "_core"}), None


def _inaturalist(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    names = {name: term for name, term in TERMS.items() if term not in table}
    core = table.assign(id=_text(table["id"])).rename(columns={"id": "_core", **names})
    if (holder := next((name for name in NAMES if name in core), None)) and "rightsHolder" not in core:
        core["rightsHolder"] = core[holder]
    if "image_url" not in core:
        return core, None
    has = core["image_url"].notna()
    media = pd.DataFrame({"_core": core["_core"][has], "identifier": core["image_url"][has]})
    for name in ("license", "rightsHolder"):
        if name in core:
            media[name] = core[name][has]
    return core, media


def _text(column: pd.Series) -> pd.Series:
    return column.where(column.isna(), column.astype(str))
