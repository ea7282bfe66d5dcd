"""What a spreadsheet's own reader does not tell: merged cells, errors, formulas without a value, lost digits."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from .remark import Rounded

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
PACKED = b"PK\x03\x04"
OLD = b"\xd0\xcf\x11\xe0"
ERROR = re.compile(rb'<c [^>]*\bt="e"')
WITHOUT_VALUE = re.compile(rb"</f>\s*(?:<v\s*/>|<v></v>)?\s*</c>|<f[^>]*/>\s*(?:<v\s*/>|<v></v>)?\s*</c>")
HIDDEN = re.compile(rb'<(row|col) [^>]*\bhidden="(?:1|true)"')
ZEROS = re.compile(rb'formatCode="(0{2,})"')
UNREADABLE = (
    OSError, ValueError, LookupError, RuntimeError, StopIteration, zipfile.BadZipFile, zlib.error,
    ElementTree.ParseError,
)  # fmt: skip
MAX_DIGITS = 15
"""That a spreadsheet, or any double, keeps of a number."""


def require_workbook(head: bytes, suffix: str = "") -> None:
    """Refuse a file whose first bytes are those of no spreadsheet.

    Args:
        suffix: of its name; what Excel encrypts looks like an old workbook.

    Raises:
        ValueError: saying what it is.
    """
    if head.startswith(OLD) and suffix in (".xlsx", ".xlsm", ".xlsb"):
        raise ValueError(
            "it is protected by a password, or an old workbook; save it without one, or give it the suffix .xls"
        )
    if head.startswith((PACKED, OLD)):
        return
    if not head:
        raise ValueError("it is empty; copy or export it again")
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<html", b"<!doc", b"<table", b"<?xml")):
        raise ValueError("its content is HTML or XML, no spreadsheet; open it in a spreadsheet and save it as .xlsx")
    if head and b"\0" not in head:
        raise ValueError("its content is text, no spreadsheet; give it the suffix .csv")


def with_merged_values(rows: Sequence[list[Any]], merged: Sequence[Any]) -> int:
    """Give all cells that are merged the value of the first one, in place; return how many got it."""
    count = 0
    for (top, left), (bottom, right) in merged:
        if top >= len(rows) or left >= len(rows[top]) or rows[top][left] in ("", None):
            continue
        for row in rows[top : bottom + 1]:
            for place in range(left, min(right + 1, len(row))):
                if row[place] in ("", None):
                    row[place] = rows[top][left]
                    count += 1
    return count


def doubts_of(source: Path | io.BytesIO, sheet: str, rows: Sequence[Sequence[Any]], name: str) -> list[str]:
    """Return what a reader should know of the cells of a sheet, in sentences."""
    found: list[str] = []
    digits = sum(
        isinstance(cell, float) and cell.is_integer() and 10**MAX_DIGITS <= abs(cell) < 1e21
        for row in rows
        for cell in row
    )
    if digits:
        found.append(
            Rounded(
                f"{name}: {digits} numbers have more than {MAX_DIGITS} digits, and a spreadsheet keeps no more; if "
                "they are identifiers, export them as text."
            )
        )
    errors, empty, zeros, hidden = _of_xml(source, sheet)
    if hidden:
        found.append(f"{name}: {hidden} rows or columns are hidden, as by a filter; they are read like others.")
    if errors:
        found.append(f"{name}: {errors} cells hold an error such as #N/A and count as missing.")
    if empty:
        found.append(
            f"{name}: {empty} formulas have no value and count as missing; open the file in a spreadsheet and save it."
        )
    if zeros:
        found.append(
            f"{name}: some numbers are shown with zeros in front ({zeros}), which are no part of them; if they are "
            "identifiers, make their column text."
        )
    return found


def _of_xml(source: Path | io.BytesIO, sheet: str) -> tuple[int, int, str, int]:
    """Return numbers of errors and of formulas without a value in a sheet, the format of numbers with zeros, and the
    number of rows and columns that are hidden."""
    try:
        with zipfile.ZipFile(source) as packed:
            content = packed.read(_place(packed, sheet))
            styles = packed.read("xl/styles.xml") if "xl/styles.xml" in packed.namelist() else b""
        shown = ZEROS.search(styles)
        zeros = shown[1].decode() if shown is not None and _is_used(shown[1], styles, content) else ""
    except UNREADABLE:
        return 0, 0, "", 0  # another format, in which there is no such file
    return len(ERROR.findall(content)), len(WITHOUT_VALUE.findall(content)), zeros, len(HIDDEN.findall(content))


def _place(packed: zipfile.ZipFile, sheet: str) -> str:
    """Return the name of the file that holds a sheet."""
    book = ElementTree.fromstring(packed.read("xl/workbook.xml"))
    relation = next(entry.get(RELATION) for entry in book.iter(f"{MAIN}sheet") if entry.get("name") == sheet)
    relations = ElementTree.fromstring(packed.read("xl/_rels/workbook.xml.rels"))
    target = next(str(entry.get("Target")) for entry in relations if entry.get("Id") == relation)
    return target.lstrip("/") if target.startswith("/") else posixpath.join("xl", target)


def _is_used(code: bytes, styles: bytes, content: bytes) -> bool:
    """Whether a cell of the sheet has this format."""
    root = ElementTree.fromstring(styles)
    shown = code.decode()
    number = next(entry.get("numFmtId") for entry in root.iter(f"{MAIN}numFmt") if entry.get("formatCode") == shown)
    formats = root.find(f"{MAIN}cellXfs")
    entries = [] if formats is None else list(formats)
    places = [place for place, entry in enumerate(entries) if entry.get("numFmtId") == number]
    return any(re.search(rb'<c [^>]*\bs="%d"' % place, content) for place in places)
