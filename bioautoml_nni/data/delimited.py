"""How a text file separates and quotes its fields, found from the file itself."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TextIO

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
CANDIDATES = (",", ";", "\t", "|")
RARE = ("\x1f", "~", "^", "#", ":")
"""Separators of files that none of `CANDIDATES` divides: each line has to have as many of them as the header."""
HEAD = 200
"""Lines from which the separator is found."""
QUOTES: tuple[tuple[Mapping[str, Any], str, str], ...] = (
    ({}, "", ""),
    ({"skipinitialspace": True}, '{} "', "its fields have spaces in front, which are no part of them."),
    ({"escapechar": "\\", "doublequote": False}, '\\"', "its quotes within texts follow a backslash."),
    ({"quotechar": "'"}, "{}'", "its texts stand in single quotes."),
)
"""Ways of quoting, what a text has in it that is quoted so, and what is said of those that are unusual."""
NO_TEXT = {
    b"PK\x03\x04": "a spreadsheet or a ZIP file (.xlsx, .ods, .zip)", b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls)",
    b"PAR1": "Parquet (.parquet)", b"ARROW1": "Feather (.feather)", b"SQLite format 3": "SQLite (.sqlite)",
    b"\x1f\x8b": "packed (.gz)", b"BZh": "packed (.bz2)", b"\xfd7zXZ": "packed (.xz)", b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image", b"GIF8": "an image", b"%PDF-": "PDF",
}  # fmt: skip
"""First bytes of files that are no text."""


@dataclass(frozen=True)
class TextForm:
    """How a text file is written: its separator, how it quotes, and the number of rows before the header."""

    separator: str
    skipped: int = 0
    quoting: Mapping[str, Any] = field(default_factory=dict)

    def reader(self) -> dict[str, Any]:
        """Return the arguments of `csv.reader`."""
        return {"delimiter": self.separator, **self.quoting}


def require_text(head: bytes) -> None:
    """Refuse a file whose first bytes are those of no text.

    Raises:
        ValueError: saying what it is.
    """
    for start, what in NO_TEXT.items():
        if head.startswith(start):
            raise ValueError(
                f"its content is {what}, whatever its name says; give it that suffix, or export it as text"
            )
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<html", b"<!doctype")):
        raise ValueError("its content is a web page; download the table itself")


def find_form(file: TextIO | Any, kind: str) -> tuple[TextForm, list[str]]:
    """Return how a text is written, and what a reader should know of that.

    Args:
        kind: suffix of the file, which says what its separator should be.

    Raises:
        ValueError: if its quotes do not pair.
    """
    notes: list[str] = []
    separator, skipped = _separator(file, SEPARATORS[kind], notes)
    file.seek(0)
    return TextForm(separator, skipped, _quoting(file, separator, skipped, notes)), notes


def _separator(file: TextIO | Any, preferred: str, notes: list[str]) -> tuple[str, int]:
    """Return the separator, and the number of lines to skip before the header."""
    head = list(islice(file, HEAD))
    first = head[0].strip().strip('"') if head else ""
    if first.lower().startswith("sep=") and len(first) == 5:  # as Excel writes it
        return first[4], 1
    fits = {candidate: _fit(head[:-1] or head, candidate) for candidate in dict.fromkeys((preferred, *CANDIDATES))}
    best = max(fits, key=lambda candidate: fits[candidate])  # the first of equals
    if (fits[preferred][0] >= fits[best][0] - 0.05 and fits[preferred][1] > 1) or fits[best][1] < 2:
        best = preferred
    exact = {candidate: _width(head[:-1] or head, candidate) for candidate in RARE}
    if fits[best][1] < 2 and max(exact.values()) > 1:
        best = max(exact, key=lambda candidate: exact[candidate])
    if best != preferred:
        notes.append(f"its fields are separated by {best!r}.")
    return best, 0


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


def _width(lines: Sequence[str], separator: str) -> int:
    """Return the number of fields into which a separator divides every line, 0 if that varies or is only one line."""
    widths = [line.count(separator) + 1 for line in lines if line.strip()]
    return widths[0] if len(widths) > 1 and len(set(widths)) == 1 else 0


def _quoting(file: TextIO | Any, separator: str, skipped: int, notes: list[str]) -> Mapping[str, Any]:
    """Return how texts are quoted: the first way in which all rows fit the header.

    Where quotes do not pair in any, they are letters like others, if rows fit then.
    """
    none = {"quoting": csv.QUOTE_NONE}
    marks = {mark.format(separator) for _, mark, _ in QUOTES[1:]} | {'"'}
    marks = {mark for line in file for mark in marks if mark in line}
    if not marks:
        return none
    usual: Mapping[str, Any] | None = None
    problem = ""
    for way, mark, note in QUOTES:
        if mark and mark.format(separator) not in marks:
            continue
        try:
            fits = _fits(file, {"delimiter": separator, **way}, skipped)
        except csv.Error as error:
            problem = problem or str(error)
            continue
        if fits:
            notes += [note] if note else []
            return way
        usual = way if usual is None and not way else usual
    if usual is not None:  # the row that does not fit will be named
        return usual
    if not _fits(file, {"delimiter": separator, **none}, skipped, exactly=True):
        raise ValueError(f"its quotes do not pair: {problem}")
    notes.append("its quotes do not pair and are read as letters.")
    return none


def _fits(file: TextIO | Any, form: Mapping[str, Any], skipped: int, exactly: bool = False) -> bool:
    """Whether no row is longer than the header, but for empty fields, or (`exactly`) all have one length.

    Raises:
        csv.Error: for quotes that do not pair.
    """
    file.seek(0)
    width, widths = 0, set()
    fits = True
    for number, row in enumerate(csv.reader(file, strict=True, **form)):
        if number < skipped:
            continue
        width = width or len(row)
        widths |= {len(row)} if row else set()
        fits &= len(row) <= width or not any(cell.strip() for cell in row[width:])
    return len(widths) < 2 if exactly else fits
