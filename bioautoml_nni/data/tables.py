"""The one reader of tables of users: CSV and its relatives, and Parquet, with every text as it was written.

A cell of text stays text: `007`, `NA` and `1.0` are what they are. Missing is an empty cell and what the caller names.
What columns mean (numbers, dates) is decided elsewhere, once for a whole column; see `typed`.
"""

from __future__ import annotations

import csv
import lzma
import re
import sqlite3
import zipfile
import zlib
from array import array
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
from ..utils.errors import DataError
from ..utils.memory import return_freed_memory
from .delimited import SEPARATORS, require_text
from .gaps import without_gaps
from .headers import Header, from_header, with_row_names
from .line_ends import TextLines, as_written, find_form_and_end
from .remark import Lost
from .row_shape import Shape
from .table_formats import (
    COLUMNAR,
    JSON_LINES,
    SPREADSHEETS,
    SQLITE,
    columnar_batches,
    in_blocks,
    json_rows,
    kind_of,
    members_of,
    open_packed,
    sheet_names,
    spreadsheet_rows,
    sqlite_names,
    sqlite_rows,
)
from .workbooks import MAX_DIGITS

KINDS = (*SEPARATORS, *COLUMNAR, *SPREADSHEETS, *JSON_LINES, *SQLITE)
UNREADABLE = (
    csv.Error, OSError, EOFError, ValueError, LookupError, RuntimeError, zlib.error, zipfile.BadZipFile, lzma.LZMAError,
    sqlite3.Error,
)  # fmt: skip
"""What a damaged table raises, packed or not."""
LINE_END = re.compile(r"\r\n|\r|\n")
LARGEST_WHOLE = 1e21
"""Floats below it that are whole numbers are written without an exponent."""
READ = 1 << 14
"""Rows of which the cells are held as they were read."""
LARGEST_FIELD = 1 << 27

csv.field_size_limit(LARGEST_FIELD)


@dataclass
class TableFile:
    """A table on disk.

    Attributes:
        path: file whose suffix is one of `KINDS`, and may be followed by .gz, .bz2, .xz, .zst or .zip.
        missing: texts that mean that a value is missing, besides the empty one.
        encoding: of a text file; found by itself if None.
        sheet: of a spreadsheet, or table of a database; the first, or the only one, if None.
        header_row: number of the row, or line of a text, that holds the names of the columns; found by itself if None.
        notes: what a reader should know of how it was read; complete after all rows have been read.
        lines: where each row stands in the file, as far as rows have been read; see `unit`.
        header: where the names of the columns stand, once rows of a text or a spreadsheet have been read.
    """

    path: Path
    missing: Collection[str] = ()
    encoding: str | None = None
    sheet: str | None = None
    header_row: int | None = None
    notes: list[str] = field(default_factory=list)
    lines: array[int] = field(default_factory=lambda: array("q"))
    header: Header | None = None

    @property
    def unit(self) -> str:
        """What `lines` count."""
        return "line" if kind_of(self.path) in (*SEPARATORS, *JSON_LINES) else "row"

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise DataError(f"{self.path}: there is no such table; check data.table and data.root.")
        if not is_table(self.path):
            held = members_of(self.path) if self.path.suffix.lower() == ".zip" else []
            if len(held) > 1:
                raise DataError(
                    f"{self.path}: holds {len(held)} files ({', '.join(held[:3])}); unpack it, and name one."
                )
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
        self.lines = array("q")
        kind = kind_of(self.path)
        try:
            if kind in COLUMNAR:
                names: list[str] = []
                for block in columnar_batches(self.path, rows, self.notes):
                    names = names or self._names([name for name, _ in block])
                    self.lines.extend(
                        range(len(self.lines) + 1, len(self.lines) + 1 + (len(block[0][1]) if block else 0))
                    )
                    yield pd.DataFrame(
                        {name: self._cells(column) for name, (_, column) in zip(names, block, strict=True)}
                    )
            elif kind in SPREADSHEETS:
                header, lines = spreadsheet_rows(self.path, self.sheet, self.notes, self.header_row)
                self._note_header(header)
                yield from self._framed(lines, rows)
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
        line, header = next(lines, (0, []))
        names = self._names([cell_text(cell) or "" for cell in header])
        if not names:
            raise ValueError("it has no header")
        shape, gaps = Shape(self.path, len(names), line, self.unit), {"", *self.missing}
        for block in in_blocks(lines, rows):
            self.lines.extend(number for number, _ in block)
            fitted = [
                shape.fitted(number, [cell if isinstance(cell, str) else cell_text(cell) or "" for cell in cells])
                for number, cells in block
            ]
            yield pd.DataFrame(
                {
                    name: pd.Series([None if cell.strip() in gaps else cell for cell in column], dtype="str")
                    for name, column in zip(names, zip(*fitted, strict=True), strict=True)
                }
            )
        self.notes += shape.notes()

    def _cells(self, column: pd.Series) -> pd.Series:
        """Return numbers, but those that mean a gap, and everything else as text."""
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            return without_gaps(column, self.missing)
        texts = [cell_text(value) for value in column]
        return pd.Series([None if self._is_gap(text) else text for text in texts], dtype="str")

    def _is_gap(self, text: str | None) -> bool:
        return text is None or not text.strip() or text.strip() in self.missing

    def _text(self, rows: int) -> Iterator[pd.DataFrame]:
        with open_packed(self.path) as raw:
            head = raw.read(64)
            if not head:
                raise ValueError("it is empty; copy or export it again")
            require_text(head)
            encoding = self.encoding or encoding_of(raw)
            if self.encoding is None and not is_unicode(encoding):
                self.notes.append(f"{self.path.name}: read in the encoding {encoding}, which its bytes suggest.")
            raw.seek(0)
            text = TextLines(raw, encoding)
            form, notes = find_form_and_end(text, kind_of(self.path), self.header_row)
            self.notes += [f"{self.path.name}: {note}" for note in notes]
            text.seek(0)
            reader = csv.reader(islice(text, form.skipped, None), strict=True, **form.reader())
            empty: list[int] = []
            header, lines = from_header(_numbered(reader, form.skipped, empty), self.header_row)
            self._note_header(Header(header.row, (*form.titles, *header.titles)))
            lines = with_row_names(lines, lambda text: self.notes.append(f"{self.path.name}: {text}."))
            yield from self._framed(lines, rows)
            if empty:
                self.notes.append(
                    Lost(
                        f"{self.path.name}: {len(empty)} rows of zero bytes left out (the first is line {empty[0]}), "
                        "as in a file that was not written to its end."
                    )
                )

    def _note_header(self, header: Header) -> None:
        self.header = header
        self.notes += [header.note(self.path.name, self.unit)] if header.titles else []

    def _names(self, header: Sequence[str]) -> list[str]:
        """Return column names; a name that comes again gets a number, an empty one at the end an empty text."""
        names = [name.strip().lstrip("\ufeff") for name in header]
        while names and not names[-1] and kind_of(self.path) not in COLUMNAR:
            names.pop()
        if any("\0" in name for name in names):
            raise ValueError("its header holds zero bytes: it is not text, or in an encoding that it does not say")
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


def is_table(path: Path) -> bool:
    """Whether a file's name says that it is a table that can be read."""
    return kind_of(path) in KINDS


def _numbered(reader: Any, skipped: int, empty: list[int]) -> Iterator[tuple[int, list[str]]]:
    """Yield rows that hold something, with the line that they end in; those of zero bytes are noted in `empty`."""
    for cells in reader:
        if not any(cells):
            continue
        if any(cell.strip("\0\x1a \t") for cell in cells):
            yield reader.line_num + skipped, as_written(cells)
        elif any("\0" in cell for cell in cells):
            empty.append(reader.line_num + skipped)


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
    return read_file(TableFile(path, missing, encoding, sheet), notes)


def read_file(file: TableFile, notes: list[str] | None = None) -> pd.DataFrame:
    """Read all rows of a table; see `read_table`."""
    return_freed_memory()
    parts = list(file.blocks(READ))
    if notes is not None:
        notes += file.notes
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    del parts
    return_freed_memory()
    for name in table:
        if table[name].dtype == object:  # numbers in one block, texts in another
            table[name] = pd.Series([cell_text(value) for value in table[name]], dtype="str")
    if table.empty:
        raise DataError(f"{file.path}: the table has no rows; export it again with its specimens.")
    return table


def read_names(path: Path) -> list[str]:
    """Read a list of names, one a line, in any encoding; empty lines are left out.

    Raises:
        DataError: if the file is missing or cannot be read.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such list of names; check its path.")
    try:
        require_text(path.read_bytes()[:64])
        lines = LINE_END.split(read_text(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as a list of names ({error}); save it as text in UTF-8.") from error
    return [line.strip() for line in lines if line.strip()]


def cell_text(value: Any) -> str | None:
    """Return a value as the text that a table would hold, None for a gap; whole floats lose their point."""
    if value is None or value is pd.NaT or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if number.is_integer() and 10**MAX_DIGITS <= abs(number) < LARGEST_WHOLE:
            return format(Decimal(repr(number)), "f").removesuffix(".0")
        return str(int(number)) if number.is_integer() and abs(number) < LARGEST_WHOLE else repr(number)
    if isinstance(value, (pd.Timestamp, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return _bytes_text(value)
    return None if value is pd.NA else str(value)


def _bytes_text(value: bytes) -> str:
    """Return bytes as text: what is not UTF-8 letter by letter, so that no two become one."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")
