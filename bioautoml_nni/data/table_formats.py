"""Tables that are no text: spreadsheets, lines of JSON, SQLite, Parquet and Feather; and how files are packed."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sqlite3
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ..utils.yaml_files import flow

Row = Sequence[Any]
PACKED = (".gz", ".bz2", ".xz", ".zip")
SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
JSON_LINES = (".jsonl", ".ndjson")
SQLITE = (".sqlite", ".sqlite3", ".db")
COLUMNAR = (".parquet", ".feather")


def kind_of(path: Path) -> str:
    """Return the suffix that says what kind of table a file is, without that of its packing."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] in PACKED else suffixes[-1] if suffixes else ""


def open_packed(path: Path) -> BinaryIO:
    """Open a file as bytes, unpacked; it can be read again from its start.

    Raises:
        ValueError: for a ZIP file of several files.
    """
    suffix = path.suffix.lower()
    if suffix == ".zip":
        packed = zipfile.ZipFile(path)
        names = [name for name in packed.namelist() if not name.endswith("/") and not _is_companion(name)]
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} files, of which none is meant more than others; unpack it")
        return packed.open(names[0])  # type: ignore[return-value]
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return openers.get(suffix, open)(path, "rb")


def _is_companion(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


def spreadsheet_rows(path: Path, sheet: str | None, notes: list[str]) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a sheet with their numbers, the header first.

    Raises:
        ValueError: for a sheet that is not there, and for a header of merged cells.
    """
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        book = CalamineWorkbook.from_path(str(path))
        names = book.sheet_names
        if sheet is not None and sheet not in names:
            raise ValueError(f"it has no sheet {sheet!r}; its sheets are {', '.join(names)}")
        if not names:
            raise ValueError("it has no sheet")
        if sheet is None and len(names) > 1:
            notes.append(
                f"{path.name}: its first sheet {names[0]!r} is read, of {', '.join(names)}. To read another, write "
                f"data.sheet: {flow(names[1])}."
            )
        found = book.get_sheet_by_name(sheet or names[0])
        rows = found.to_python(skip_empty_area=False)
        merged = found.merged_cell_ranges or []
    except CalamineError as error:
        raise ValueError(str(error)) from error
    filled = [(number, row) for number, row in enumerate(rows, start=1) if any(cell not in ("", None) for cell in row)]
    if filled and any(first[0] <= filled[0][0] - 1 <= last[0] for first, last in merged):
        raise ValueError(f"its header in row {filled[0][0]} has merged cells, so that no column has a name of its own")
    yield from filled


def sheet_names(path: Path) -> list[str]:
    """Return the names of all sheets.

    Raises:
        ValueError: for a file that is not a spreadsheet.
    """
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        return list(CalamineWorkbook.from_path(str(path)).sheet_names)
    except CalamineError as error:
        raise ValueError(str(error)) from error


def sqlite_names(path: Path) -> list[str]:
    """Return the names of all tables and views of a database.

    Raises:
        ValueError: for a file that is not a database.
    """
    try:
        with closing(_connected(path)) as base:
            return _names_in(base)
    except sqlite3.Error as error:
        raise ValueError(str(error)) from error


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)


def _names_in(base: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
    return [name for (name,) in base.execute(query) if not name.startswith("sqlite_")]


def json_rows(file: BinaryIO, notes: list[str], name: str) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a file with one JSON object a line, the names of all columns first.

    Raises:
        ValueError: naming the line that is none.
    """
    columns: dict[str, None] = {}
    nested: dict[str, None] = {}
    for _, record in _records(file):
        for key, value in record.items():
            (nested if isinstance(value, (list, dict)) else columns).setdefault(key)
    names = [key for key in columns if key not in nested]
    if nested:
        notes.append(f"{name}: nested columns left out: {', '.join(nested)}.")
    yield 0, names
    file.seek(0)
    for number, record in _records(file):
        yield number, [record.get(key) for key in names]


def _records(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except ValueError as error:
            raise ValueError(f"line {number} is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f"line {number} is not an object with names and values")
        yield number, record


def sqlite_rows(path: Path, table: str | None) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a table, the names of its columns first.

    Raises:
        ValueError: for a table that is not there, several without a choice, and a file that is not a database.
    """
    try:
        with closing(_connected(path)) as base:
            names = _names_in(base)
            if table is None and len(names) != 1:
                raise ValueError(f"it has {len(names)} tables; name one as data.sheet: {', '.join(names)}")
            if table is not None and table not in names:
                raise ValueError(f"it has no table {table!r}; its tables are {', '.join(names)}")
            quoted = (table or names[0]).replace('"', '""')
            found = base.execute(f'SELECT * FROM "{quoted}"')
            yield 0, [column[0] for column in found.description]
            yield from enumerate(found, start=1)
    except sqlite3.Error as error:
        raise ValueError(str(error)) from error


def columnar_batches(path: Path, rows: int, notes: list[str]) -> Iterator[Any]:
    """Yield record batches of a Parquet or Feather file, without nested columns."""
    import pyarrow as pa
    import pyarrow.feather as feather
    import pyarrow.parquet as pq

    if path.suffix.lower() == ".feather":
        whole = feather.read_table(path)
        names = _plain_columns(whole.schema, path.name, notes, pa)
        yield from whole.select(names).to_batches(rows)
        return
    with pq.ParquetFile(path) as file:
        names = _plain_columns(file.schema_arrow, path.name, notes, pa)
        yield from file.iter_batches(rows, columns=names)


def _plain_columns(schema: Any, name: str, notes: list[str], pa: Any) -> list[str]:
    nested = [entry.name for entry in schema if pa.types.is_nested(entry.type)]
    if nested:
        notes.append(f"{name}: nested columns left out: {', '.join(nested)}.")
    return [column for column in schema.names if column not in nested and not column.startswith("__index_")]


def in_blocks(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of at most so many rows."""
    while block := list(islice(rows, size)):
        yield block
