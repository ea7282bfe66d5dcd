"""The one reader and the one writer of tables: CSV and its relatives, and Parquet, with every text as it was written.

A cell of text stays text: `007`, `NA` and `1.0` are what they are. Missing is an empty cell and what the caller names.
What columns mean (numbers, dates) is decided elsewhere, once for a whole column; see `typed`.
"""

from __future__ import annotations

import csv
import io
import lzma
import zipfile
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..utils.encodings import encoding_of, is_unicode, read_text
from ..utils.errors import BioAutoMLError, DataError, RunDirectoryError
from ..utils.own_files import WAY_OUT, reading, require_last_line
from .table_formats import (
    COLUMNAR,
    JSON_LINES,
    SPREADSHEETS,
    SQLITE,
    columnar_batches,
    in_blocks,
    json_rows,
    kind_of,
    open_packed,
    sheet_names,
    spreadsheet_rows,
    sqlite_names,
    sqlite_rows,
)

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
KINDS = (*SEPARATORS, *COLUMNAR, *SPREADSHEETS, *JSON_LINES, *SQLITE)
CANDIDATES = (",", ";", "\t", "|")
UNREADABLE = (csv.Error, OSError, EOFError, ValueError, LookupError, zlib.error, zipfile.BadZipFile, lzma.LZMAError)
"""What a damaged table raises, packed or not."""
HEAD = 200
"""Lines from which the separator is found."""
LARGEST_FIELD = 1 << 27

csv.field_size_limit(LARGEST_FIELD)


@dataclass
class TableFile:
    """A table on disk.

    Attributes:
        path: file whose suffix is one of `KINDS`, and may be followed by .gz, .bz2, .xz or .zip for text.
        missing: texts that mean that a value is missing, besides the empty one.
        encoding: of a text file; found by itself if None.
        sheet: of a spreadsheet, or table of a database; the first, or the only one, if None.
        notes: what a reader should know of how it was read; complete after all rows have been read.
    """

    path: Path
    missing: Collection[str] = ()
    encoding: str | None = None
    sheet: str | None = None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise DataError(f"{self.path}: there is no such table; check data.table and data.root.")
        if not is_table(self.path):
            raise DataError(f"{self.path}: unknown kind of table {self.path.suffix!r}; use {', '.join(KINDS)}.")

    def sheets(self) -> list[str]:
        """Return the names of a spreadsheet's sheets or a database's tables; none of a file that is one table.

        Raises:
            DataError: if the file cannot be read.
        """
        kind = kind_of(self.path)
        try:
            if kind in SPREADSHEETS:
                return sheet_names(self.path)
            return sqlite_names(self.path) if kind in SQLITE else []
        except UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{self.path}: cannot be read as a table ({reason}); repair or re-export it.") from error

    def blocks(self, rows: int) -> Iterator[pd.DataFrame]:
        """Yield tables of at most so many rows; columns of text hold strings, gaps are missing values.

        Raises:
            DataError: if the file cannot be read as a table, naming the line where there is one.
        """
        self.notes.clear()
        kind = kind_of(self.path)
        try:
            if kind in COLUMNAR:
                for batch in columnar_batches(self.path, rows, self.notes):
                    table = batch.to_pandas().reset_index(drop=True)
                    yield pd.DataFrame({str(name): self._cells(column) for name, column in table.items()})
            elif kind in SPREADSHEETS:
                yield from self._framed(spreadsheet_rows(self.path, self.sheet, self.notes), rows)
            elif kind in SQLITE:
                yield from self._framed(sqlite_rows(self.path, self.sheet), rows)
            elif kind in JSON_LINES:
                with open_packed(self.path) as file:
                    yield from self._framed(json_rows(file, self.notes, self.path.name), rows)
            else:
                yield from self._text(rows)
        except UNREADABLE as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{self.path}: cannot be read as a table ({reason}); repair or re-export it.") from error

    def _framed(self, lines: Iterator[tuple[int, Sequence[Any]]], rows: int) -> Iterator[pd.DataFrame]:
        """Yield tables from numbered rows, of which the first is the header."""
        names = self._names([cell_text(cell) or "" for cell in next(lines, (0, []))[1]])
        if not names:
            raise ValueError("it has no header")
        shape = _Shape(self.path, len(names))
        for block in in_blocks(lines, rows):
            fitted = [shape.fitted(number, [cell_text(cell) or "" for cell in cells]) for number, cells in block]
            yield pd.DataFrame(
                {
                    name: pd.Series([None if self._is_gap(cell) else cell for cell in column], dtype="str")
                    for name, column in zip(names, zip(*fitted, strict=True), strict=True)
                }
            )
        self.notes += shape.notes()

    def _cells(self, column: pd.Series) -> pd.Series:
        """Return numbers and truth values as they are, everything else as text."""
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            return column
        texts = [cell_text(value) for value in column]
        return pd.Series([None if self._is_gap(text) else text for text in texts], dtype="str")

    def _is_gap(self, text: str | None) -> bool:
        return text is None or not text.strip() or text.strip() in self.missing

    def _text(self, rows: int) -> Iterator[pd.DataFrame]:
        with open_packed(self.path) as raw:
            encoding = self.encoding or encoding_of(raw)
            if self.encoding is None and not is_unicode(encoding):
                self.notes.append(f"{self.path.name}: read in the encoding {encoding}, which its bytes suggest.")
            raw.seek(0)
            file = io.TextIOWrapper(raw, encoding=encoding, newline="")
            separator, first = self._separator(file)
            file.seek(0)
            quoting = self._quoting(file, separator)
            file.seek(0)
            reader = csv.reader(file, delimiter=separator, quoting=quoting, strict=True)
            yield from self._framed(_numbered(reader, first), rows)

    def _separator(self, file: io.TextIOBase | Any) -> tuple[str, int]:
        """Return the separator, and the number of lines to skip before the header."""
        head = list(islice(file, HEAD))
        if head and head[0].lower().startswith("sep=") and len(head[0].strip()) == 5:  # as Excel writes it
            return head[0].strip()[4], 1
        preferred = SEPARATORS[kind_of(self.path)]
        fits = {candidate: _fit(head[:-1] or head, candidate) for candidate in dict.fromkeys((preferred, *CANDIDATES))}
        best = max(fits, key=lambda candidate: fits[candidate])  # the first of equals
        if (fits[preferred][0] >= fits[best][0] - 0.05 and fits[preferred][1] > 1) or fits[best][1] < 2:
            best = preferred
        if best != preferred:
            self.notes.append(f"{self.path.name}: its fields are separated by {best!r}.")
        return best, 0

    def _quoting(self, file: Any, separator: str) -> Any:
        """Return csv.QUOTE_NONE where quotes are letters like others: they do not pair, and without them rows fit."""
        if not any('"' in line for line in file):
            return csv.QUOTE_NONE
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            file.seek(0)
            widths = set()
            try:
                for row in csv.reader(file, delimiter=separator, quoting=quoting, strict=True):
                    widths |= {len(row)} if row else set()
            except csv.Error as error:
                problem = error
                continue
            if quoting == csv.QUOTE_NONE:
                if len(widths) > 1:
                    break
                self.notes.append(f"{self.path.name}: its quotes do not pair and are read as letters.")
            return quoting
        raise ValueError(f"its quotes do not pair: {problem}")

    def _names(self, header: Sequence[str]) -> list[str]:
        """Return column names; a name that comes again gets a number, an empty one at the end an empty text."""
        names = [name.strip() for name in header]
        while names and not names[-1]:
            names.pop()
        result: list[str] = []
        for place, name in enumerate(names, start=1):
            unique, number = name or f"column {place}", 0
            while unique in result:
                number += 1
                unique = f"{name}.{number}"
            if number:
                self.notes.append(
                    f"{self.path.name}: column {name!r} comes more than once; no. {place} is read as {unique!r}."
                )
            result.append(unique)
        return result


@dataclass
class _Shape:
    """Rows of one width: short ones are filled up, longer ones may only hold nothing more."""

    path: Path
    width: int
    short: list[int] = field(default_factory=list)
    long: int = 0

    def fitted(self, line: int, cells: list[str]) -> list[str]:
        if len(cells) < self.width:
            self.short.append(line)
            return cells + [""] * (self.width - len(cells))
        if len(cells) > self.width:
            if any(cell.strip() for cell in cells[self.width :]):
                raise ValueError(
                    f"line {line} has {len(cells)} fields, the header {self.width}; quote texts that hold the separator"
                )
            self.long += 1
        return cells[: self.width]

    def notes(self) -> list[str]:
        found = []
        if self.short:
            found.append(
                f"{self.path.name}: {len(self.short)} rows have fewer fields than the header (the first is line "
                f"{self.short[0]}); what they lack counts as missing."
            )
        if self.long:
            found.append(
                f"{self.path.name}: {self.long} rows end in separators that the header lacks; these are ignored."
            )
        return found


def _fit(lines: Sequence[str], separator: str) -> tuple[float, int]:
    """Return the share of lines that a separator divides into as many fields as the header, and how many these are."""
    try:
        rows = [row for row in csv.reader(lines, delimiter=separator) if any(row)]
    except csv.Error:
        return 0.0, 0
    width = len(rows[0]) if rows else 0
    if width < 2:
        return 0.0, width
    return sum(len(row) == width or not any(row[width:]) for row in rows) / len(rows), width


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is a table that can be read."""
    return kind_of(path) in KINDS


def _numbered(reader: Any, skip: int) -> Iterator[tuple[int, list[str]]]:
    """Yield rows that hold something, with the line that they end in."""
    for number, cells in enumerate(reader):
        if number >= skip and any(cells):
            yield reader.line_num, cells


def read_table(
    path: Path,
    missing: Collection[str] = (),
    encoding: str | None = None,
    notes: list[str] | None = None,
    sheet: str | None = None,
) -> pd.DataFrame:
    """Read a whole table; see `TableFile`.

    Args:
        notes: receives what a reader should know of how the table was read.

    Raises:
        DataError: if the file is missing, empty, of another kind or cannot be parsed.
    """
    file = TableFile(path, missing, encoding, sheet)
    parts = list(file.blocks(1 << 16))
    if notes is not None:
        notes += file.notes
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if table.empty:
        raise DataError(f"{path}: the table has no rows; export it again with its specimens.")
    return table


def read_names(path: Path) -> list[str]:
    """Read a list of names, one a line, in any encoding; empty lines are left out.

    Raises:
        DataError: if the file is missing or cannot be read.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of names ({error}); save it as text in UTF-8.") from error
    return [line.strip() for line in lines if line.strip()]


def read_own(
    path: Path, numbers: Collection[str] = (), way_out: str = WAY_OUT, kind: type[BioAutoMLError] = RunDirectoryError
) -> pd.DataFrame:
    """Read a CSV file that this project wrote: text as it stands, and the columns named as numbers; see `reading`."""
    with reading(path, way_out, kind):
        require_last_line(path)
        with open(path, "rb") as file:  # a text may hold a carriage return; ends of lines may have been made Windows'
            ends = None if file.readline().endswith(b"\r\n") else "\n"
        table = pd.read_csv(path, dtype=str, keep_default_na=False, lineterminator=ends)
        for name in numbers:
            if name in table:
                table[name] = pd.to_numeric(table[name].replace("", np.nan))
        return table


def csv_text(table: pd.DataFrame, header: bool = True) -> str:
    """Return a table as CSV, as `read_own` reads it; gaps are empty."""
    text = table.to_csv(index=False, header=header, lineterminator="\n")
    if "\r" in text:  # a reader would take it for the end of a line
        return table.to_csv(index=False, header=header, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    return text


def cell_text(value: Any) -> str | None:
    """Return a value as the text that a table would hold, None for a gap; whole floats lose their point."""
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, (float, np.floating)):
        number = float(value)
        return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)
    if isinstance(value, (pd.Timestamp, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None if value is pd.NA else str(value)
