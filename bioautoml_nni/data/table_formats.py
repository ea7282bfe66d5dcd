"""Tables that are no text: spreadsheets, lines of JSON, SQLite, Parquet and Feather; and how files are packed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sqlite3
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd

from ..utils.encodings import encoding_of, is_unicode
from ..utils.json_text import parse_json
from ..utils.yaml_files import flow
from .headers import Header, from_header
from .remark import Lost, TableAt
from .workbooks import MAX_DIGITS, doubts_of, require_workbook, with_merged_values

Row = Sequence[Any]
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
SPREADSHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
JSON_LINES = (".jsonl", ".ndjson")
SQLITE = (".sqlite", ".sqlite3", ".db")
COLUMNAR = (".parquet", ".feather")
MAX_UNPACKED = 4 * 10**9
"""Bytes of a packed file that is not text and is unpacked in memory."""


def kind_of(path: Path) -> str:
    """Return the suffix that says what kind of table a file is, without that of its packing."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".zip"] and (member := _only_member(path)) is not None:
        return kind_of(Path(member))
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] in PACKED else suffixes[-1] if suffixes else ""


def open_packed(path: Path) -> BinaryIO:
    """Open a file as bytes, unpacked; it can be read again from its start.

    Raises:
        ValueError: for a ZIP file of several files.
    """
    suffix = path.suffix.lower()
    if suffix == ".zip":
        packed = zipfile.ZipFile(path)
        names = _members(packed)
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} files, of which none is meant more than others; unpack it")
        return packed.open(names[0])  # type: ignore[return-value]
    if suffix == ".zst":
        return _of_zstandard(path)
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    return openers.get(suffix, open)(path, "rb")


def _of_zstandard(path: Path) -> io.BytesIO:
    """Return the content of a file packed by Zstandard, which Arrow reads."""
    import pyarrow as pa

    with pa.input_stream(str(path), compression="zstd") as stream:
        content = stream.read(MAX_UNPACKED + 1)
    if len(content) > MAX_UNPACKED:
        raise ValueError(f"it unpacks to more than {MAX_UNPACKED / 1e9:g} GB; unpack it")
    return io.BytesIO(content)


def _members(packed: zipfile.ZipFile) -> list[str]:
    return [name for name in packed.namelist() if not name.endswith("/") and not _is_companion(name)]


def _only_member(path: Path) -> str | None:
    """Return the name of the only file in a ZIP file that is not itself a ZIP file, None without one."""
    names = members_of(path)
    return names[0] if len(names) == 1 and not names[0].lower().endswith(".zip") else None


def members_of(path: Path) -> list[str]:
    """Return the names of the files in a ZIP file, none of what is no ZIP file."""
    try:
        with zipfile.ZipFile(path) as packed:
            return _members(packed)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return []


def unpacked(path: Path) -> io.BytesIO | None:
    """Return the content of a packed file, None for a file that is not packed.

    Raises:
        ValueError: for one of more bytes than `MAX_UNPACKED`.
    """
    if path.suffix.lower() not in PACKED:
        return None
    with open_packed(path) as file:
        content = file.read(MAX_UNPACKED + 1)
    if len(content) > MAX_UNPACKED:
        raise ValueError(f"it unpacks to more than {MAX_UNPACKED / 1e9:g} GB; unpack it")
    return io.BytesIO(content)


def _is_companion(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")


def spreadsheet_rows(
    path: Path, sheet: str | None, notes: list[str], header_row: int | None = None
) -> tuple[Header, Iterator[tuple[int, Row]]]:
    """Return where the header of a sheet stands, and its rows with their numbers, the header first.

    Raises:
        ValueError: for a sheet that is not there, and for a header of merged cells.
    """
    from python_calamine import CalamineError

    try:
        content = unpacked(path)
        book = _workbook(path, content)
        names = book.sheet_names
        if sheet is not None and sheet not in names:
            raise ValueError(f"it has no sheet {sheet!r}; its sheets are {', '.join(names)}")
        if not names:
            raise ValueError("it has no sheet")
        sheet = _chosen_sheet(book, path.name, notes) if sheet is None else sheet
        found = book.get_sheet_by_name(sheet)
        rows = found.to_python(skip_empty_area=False)
        merged = found.merged_cell_ranges or []
    except CalamineError as error:
        raise ValueError(str(error)) from error
    notes += doubts_of(content or path, sheet, rows, path.name)
    header, _ = from_header(_not_empty(rows), header_row)
    if any(first[0] <= header.row - 1 <= last[0] for first, last in merged):
        raise ValueError(
            f"its header in row {header.row} has merged cells, so that no column has a name of its own; write a name "
            "above each, or data.header_row with the number of the row that has them"
        )
    if count := with_merged_values(rows, [area for area in merged if area[0][0] >= header.row]):
        notes.append(f"{path.name}: {count} cells that are merged with the one before them have its value.")
    return header, (entry for entry in _not_empty(rows) if entry[0] >= header.row)


def _not_empty(rows: Sequence[Row]) -> Iterator[tuple[int, Row]]:
    return ((number, row) for number, row in enumerate(rows, start=1) if any(cell not in ("", None) for cell in row))


def _chosen_sheet(book: Any, name: str, notes: list[str]) -> str:
    """Return the first sheet that is not hidden, and say which it is where there are several."""
    from python_calamine import SheetVisibleEnum

    names = list(book.sheet_names)
    shown = [sheet.name for sheet in book.sheets_metadata if sheet.visible == SheetVisibleEnum.Visible] or names
    hidden = [sheet for sheet in names if sheet not in shown]
    if len(names) > 1:
        others = [sheet for sheet in (*shown, *hidden) if sheet != shown[0]]
        told = f" ({', '.join(hidden)} hidden)" if hidden else ""
        notes.append(
            TableAt(
                f"{name}: its first sheet {shown[0]!r} is read, of {', '.join(names)}{told}. To read another, write "
                f"data.sheet: {flow(others[0])}."
            )
        )
    return shown[0]


def sheet_names(path: Path) -> list[str]:
    """Return the names of all sheets.

    Raises:
        ValueError: for a file that is not a spreadsheet.
    """
    from python_calamine import CalamineError

    try:
        return list(_workbook(path, unpacked(path)).sheet_names)
    except CalamineError as error:
        raise ValueError(str(error)) from error


def _workbook(path: Path, content: io.BytesIO | None) -> Any:
    from python_calamine import CalamineWorkbook

    require_workbook(content.getvalue()[:64] if content else open_head(path), kind_of(path))
    return CalamineWorkbook.from_path(str(path)) if content is None else CalamineWorkbook.from_filelike(content)


def open_head(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(64)


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
    content = unpacked(path)
    if content is None:
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    base = sqlite3.connect(":memory:")
    base.deserialize(content.getvalue())
    return base


def _names_in(base: sqlite3.Connection) -> list[str]:
    query = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
    return [name for (name,) in base.execute(query) if not name.startswith("sqlite_")]


def json_rows(file: BinaryIO, notes: list[str], name: str) -> Iterator[tuple[int, Row]]:
    """Yield the rows of a file with one JSON object a line, or a list of them, the names of all columns first.

    Raises:
        ValueError: naming the line that is none.
    """
    encoding = encoding_of(file)
    if not is_unicode(encoding):
        notes.append(f"{name}: read in the encoding {encoding}, which its bytes suggest.")
    file.seek(0)
    lines = io.TextIOWrapper(file, encoding=encoding, newline="\n")
    listed = list(_listed(lines)) if _is_list(lines) else None  # which is in memory as a whole anyway

    def records() -> Iterable[tuple[int, dict[str, Any]]]:
        return _records(lines) if listed is None else listed

    plain: dict[str, bool] = {}
    nested: Counter[str] = Counter()
    for _, record in records():
        for key, value in record.items():
            is_nested = isinstance(value, (list, dict))
            nested[key] += is_nested
            plain[key] = plain.get(key, False) or not (is_nested or value is None)
    names = [key for key in plain if plain[key] or not nested[key]]
    if gone := [key for key in plain if key not in names]:
        notes.append(Lost(f"{name}: nested columns left out: {', '.join(gone)}."))
    notes += [
        f"{name}: {nested[key]} values of {key!r} are lists or objects and count as missing."
        for key in names
        if nested[key]
    ]
    yield 0, names
    for number, record in records():
        yield number, [None if isinstance(value := record.get(key), (list, dict)) else value for key in names]


def _is_list(lines: io.TextIOWrapper) -> bool:
    """Whether a file is one list of objects, and not one object a line."""
    lines.seek(0)
    return next((line for line in lines if line.strip()), "").lstrip("\ufeff \t").startswith("[")


def _listed(lines: io.TextIOWrapper) -> Iterator[tuple[int, dict[str, Any]]]:
    lines.seek(0)
    for number, record in enumerate(parse_json(lines.read().lstrip("\ufeff"), unique=True), start=1):
        if not isinstance(record, dict):
            raise ValueError(f"entry {number} is not an object with names and values")
        yield number, record


def _records(lines: io.TextIOWrapper) -> Iterator[tuple[int, dict[str, Any]]]:
    lines.seek(0)
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = parse_json(line, unique=True)
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
            base.text_factory = _text_of
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


def _text_of(value: bytes) -> str:
    """Return a text of a database, which may have been put there in another encoding than the database's."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("cp1252", "replace")


def columnar_batches(path: Path, rows: int, notes: list[str]) -> Iterator[list[tuple[str, pd.Series]]]:
    """Yield the columns of a Parquet or Feather file with their names, block by block, without nested ones.

    Names may repeat. Whole numbers with gaps are floats, or texts where they have too many digits for that.
    """
    import pyarrow.feather as feather
    import pyarrow.parquet as pq

    source = unpacked(path) or path
    if kind_of(path) == ".feather":
        whole = feather.read_table(source)
        names = _plain_columns(whole.schema, path.name, notes)
        places = [place for place, name in enumerate(whole.schema.names) if name in names]
        yield from map(_named_columns, whole.select(places).to_batches(rows))
    else:
        with pq.ParquetFile(source) as file:
            names = _plain_columns(file.schema_arrow, path.name, notes)
            yield from map(_named_columns, file.iter_batches(rows, columns=list(names)))


def _named_columns(batch: Any) -> list[tuple[str, pd.Series]]:
    return [(str(name), _as_pandas(column)) for name, column in zip(batch.schema.names, batch.columns, strict=True)]


def _as_pandas(column: Any) -> pd.Series:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(column.type) and column.type.bit_width == 64 and len(column) > column.null_count:
        ends = pc.min_max(column).as_py()
        if max(abs(ends["min"]), abs(ends["max"])) >= 10**MAX_DIGITS:
            column = column.cast(pa.string())
    found: pd.Series = column.to_pandas()
    return found


def _plain_columns(schema: Any, name: str, notes: list[str]) -> dict[str, None]:
    import pyarrow as pa

    nested = [entry.name for entry in schema if pa.types.is_nested(entry.type)]
    if nested:
        notes.append(Lost(f"{name}: nested columns left out: {', '.join(nested)}."))
    unnamed = [column for column in schema.names if column.startswith("__index_level_")]
    if unnamed:
        notes.append(Lost(f"{name}: the index, which has no name, is left out."))
    return dict.fromkeys(column for column in schema.names if column not in nested and column not in unnamed)


def in_blocks(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of at most so many rows."""
    while block := list(islice(rows, size)):
        yield block
