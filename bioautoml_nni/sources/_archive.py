"""What an archive of occurrences holds: Darwin Core archives, read with python-dwca-reader, and exported tables."""

from __future__ import annotations

import codecs
import csv
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd
from pandas.errors import ParserWarning

from ..data.remark import Lost
from ..utils.encodings import decodes, encoding_of
from ..utils.errors import DataError
from ._archive_form import in_plain_form
from ._exported_csv import exported_table
from ._origin import read_origin

MEDIA_TYPES = ("multimedia", "audubon", "media")
LARGEST = 50 * 10**9
LOOKED_AT = 50
"""Lines from which a separator is told that meta.xml does not."""


@dataclass
class Archive:
    """What an archive holds.

    Attributes:
        core: the occurrences, with their id as ``_core``.
        media: the media extension, with the occurrence's id as ``_core``; None without one.
        origin: where the data come from, as far as the archive says it: ``doi``, ``title``, ``citation``.
    """

    core: pd.DataFrame
    media: pd.DataFrame | None
    origin: dict[str, str] = field(default_factory=dict)


def read_archive(path: Path, notes: list[str]) -> Archive:
    """Read a Darwin Core archive, a simple CSV of GBIF, or a CSV that iNaturalist exports.

    Raises:
        DataError: if there is none, or it cannot be read.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such archive; check data.root and data.archive.")
    _require_sane(path)
    exported = exported_table(path, notes) if path.is_file() else None
    found = _read_darwin_core(path, notes) if exported is None else Archive(*exported)
    found.core = _unique(found.core, notes)
    return found


def _read_darwin_core(path: Path, notes: list[str]) -> Archive:
    from dwca.exceptions import InvalidArchive, InvalidSimpleArchive
    from dwca.read import DwCAReader

    try:
        with in_plain_form(path, notes) as plain, DwCAReader(str(plain), skip_metadata=True) as reader:
            _require_occurrences(path, reader.core_file.file_descriptor)
            core = _table(reader, reader.core_file.file_descriptor, "id", notes)
            tables = []
            for extension in reader.extension_files:
                kind = str(extension.file_descriptor.type).rpartition("/")[2].lower()
                if any(word in kind for word in MEDIA_TYPES):
                    tables.append(_table(reader, extension.file_descriptor, "coreid", notes))
            media = pd.concat(tables, ignore_index=True) if tables else None
            named = None if reader.descriptor is None else reader.descriptor.metadata_filename
            origin = read_origin(Path(reader.absolute_temporary_path(".")), named, notes)
            return Archive(core, media, origin)
    except (
        InvalidArchive, InvalidSimpleArchive, OSError, ValueError, LookupError, SyntaxError, AttributeError, TypeError,
        RuntimeError, EOFError, csv.Error, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        if isinstance(error, OSError) and error.strerror and error.filename:
            reason = f"{Path(error.filename).name}: {error.strerror}"
        raise DataError(f"{path}: cannot be read as a Darwin Core archive ({reason}); download it again.") from error


def _require_occurrences(path: Path, descriptor: Any) -> None:
    """Refuse an archive of sampling events, whose occurrences are in another table."""
    if str(descriptor.type).rpartition("/")[2].lower() == "event":
        raise DataError(
            f"{path}: lists events, not occurrences, to which images and names belong; download the occurrences of "
            "this data set from GBIF as a Darwin Core archive."
        )


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
    names = _names(descriptor, key)
    path = Path(reader.absolute_temporary_path(descriptor.file_location))
    folder = Path(reader.absolute_temporary_path("."))
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{descriptor.file_location} leads outside of the archive")
    separator, encoding = descriptor.fields_terminated_by, _encoding(path, descriptor.file_encoding, notes)
    first = _width(path, encoding, separator, enclosed, descriptor.lines_to_ignore + 1)
    width = max(first, *(place + 1 for place in names))
    if first == 1 < width and (other := _other_separator(path, encoding, separator, enclosed)):
        notes.append(f"{path.name}: its fields are separated by {other!r}, not by {separator!r} as meta.xml says.")
        separator = other
    table, skipped = _rows(path, encoding, separator, enclosed, descriptor.lines_to_ignore, width)
    if table[width - 1].isna().any():  # as in every row that is short
        _tell_short(path, encoding, separator, enclosed, descriptor.lines_to_ignore, width, notes)
    table = table[list(names)].rename(columns=names)
    if skipped:
        notes.append(Lost(f"{descriptor.file_location}: {skipped} lines with too many fields left out."))
    _fill_defaults(table, descriptor, path.name, notes)
    if key not in table:
        raise ValueError(f"meta.xml does not say in which column of {descriptor.file_location} the {key} is")
    table[key] = table[key].str.strip()
    return table.rename(columns={key: "_core"})


def _rows(
    path: Path, encoding: str, separator: str, enclosed: str, ignored: int, width: int
) -> tuple[pd.DataFrame, int]:
    """Return the fields of all rows by their place, and how many lines were left out since they have more fields."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", ParserWarning)
        table = pd.read_csv(
            path,
            sep=separator if len(separator) == 1 else re.escape(separator),
            engine="c" if len(separator) == 1 else "python",
            quoting=csv.QUOTE_MINIMAL if enclosed else csv.QUOTE_NONE,
            quotechar=enclosed or '"',
            header=None,
            names=range(width),
            index_col=False,
            skiprows=ignored,
            encoding=encoding,
            dtype=str,
            keep_default_na=False,
            na_values=[""],
            on_bad_lines="warn",
        )
    return table, sum(str(warning.message).count("Skipping line") for warning in said)


def _fill_defaults(table: pd.DataFrame, descriptor: Any, name_of_file: str, notes: list[str]) -> None:
    """Give gaps, and columns that are not in the file, the values that meta.xml says."""
    for term in descriptor.fields:
        name = term["term"].rpartition("/")[2]
        if term["default"] and term["index"] is None and name not in table:
            table[name] = term["default"]
        elif term["default"] and name in table and (gaps := int(table[name].isna().sum())):
            table[name] = table[name].fillna(term["default"])
            notes.append(f"{name_of_file}: {gaps} empty values of {name} are {term['default']!r}, as meta.xml says.")


def _names(descriptor: Any, key: str) -> dict[int, str]:
    """Return the short name of each term by the place of its column; columns that are not declared have none."""
    found: dict[int, str] = {}
    for term in descriptor.fields:
        if term["index"] is not None:
            name = term["term"].rpartition("/")[2]
            found[term["index"]] = name if name not in found.values() else f"{name}_{term['index']}"
    place = descriptor.id_index if key == "id" else descriptor.coreid_index
    if place is not None:
        found[place] = key
    return dict(sorted(found.items()))


def _width(path: Path, encoding: str, separator: str, enclosed: str, count: int) -> int:
    """Return the most fields of the first lines: the header and one more."""
    with open(path, encoding=encoding, newline="") as file:
        return max(_widths(islice(file, count), separator, enclosed), default=1)


def _other_separator(path: Path, encoding: str, separator: str, enclosed: str) -> str | None:
    """Return the one separator that divides all of the first lines alike, where the declared one divides none."""
    with open(path, encoding=encoding, newline="") as file:
        lines = list(islice(file, LOOKED_AT))
    widths = {mark: set(_widths(lines, mark, enclosed)) - {0} for mark in ("\t", ",", ";", "|") if mark != separator}
    found = [mark for mark, wide in widths.items() if len(wide) == 1 and max(wide) > 1]
    return found[0] if len(found) == 1 else None


def _tell_short(
    path: Path, encoding: str, separator: str, enclosed: str, skipped: int, width: int, notes: list[str]
) -> None:
    """Add a note if rows lack fields at their end, which pandas fills without a word."""
    with open(path, encoding=encoding, newline="") as file:
        rows = islice(_widths(file, separator, enclosed), skipped, None)
        short = [number for number, fields in enumerate(rows, start=1) if 0 < fields < width]
    if short:
        notes.append(
            f"{path.name}: {len(short)} rows have fewer than the {width} fields of the others (the first is row "
            f"{short[0]}); what they lack counts as missing."
        )


def _widths(lines: Iterable[str], separator: str, enclosed: str) -> Iterator[int]:
    """Give the number of fields of each row; 0 for an empty line."""
    if len(separator) > 1:
        yield from (line.count(separator) + 1 if line.strip() else 0 for line in lines)
    elif enclosed:
        yield from map(len, csv.reader(lines, delimiter=separator, quotechar=enclosed))
    else:
        yield from map(len, csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE))


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
        notes.append(Lost(f"{int(repeated.sum())} occurrences that repeat or lack an id left out."))
    return core[~repeated]
