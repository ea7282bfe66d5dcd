"""How a text file separates and quotes its fields, found from the file itself."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TextIO

from .headers import MAX_TITLES, are_names, are_row_names, filled

SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
CANDIDATES = (",", ";", "\t", "|")
SPACE = " "
BY_SPACES: Mapping[str, Any] = {"delimiter": SPACE, "skipinitialspace": True}
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
    """How a text file is written: its separator, how it quotes, and the number of lines before the header.

    Attributes:
        titles: what those lines say.
    """

    separator: str
    skipped: int = 0
    quoting: Mapping[str, Any] = field(default_factory=dict)
    titles: tuple[str, ...] = ()

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


def find_form(file: TextIO | Any, kind: str, header_row: int | None = None) -> tuple[TextForm, list[str]]:
    """Return how a text is written, and what a reader should know of that.

    Args:
        kind: suffix of the file, which says what its separator should be.
        header_row: number of the line that holds the header, if it is told.

    Raises:
        ValueError: if its quotes do not pair.
    """
    notes: list[str] = []
    skipped = (header_row or 1) - 1
    head = list(islice(file, skipped, skipped + HEAD))
    titles: tuple[str, ...] = ()
    first = head[0].strip().strip('"') if head else ""
    if first.lower().startswith("sep=") and len(first) == 5:  # as Excel writes it
        separator, skipped = first[4], skipped + 1
    else:
        preferred = SEPARATORS[kind]
        above = _title_lines(head, preferred) if header_row is None else 0
        titles = tuple(line.strip() for line in head[:above] if line.strip())
        separator, skipped = _separator(head[above:], preferred), skipped + above
        notes += [f"its fields are separated by {separator!r}."] if separator != preferred else []
    if separator == SPACE:
        return TextForm(separator, skipped, {"skipinitialspace": True}, titles), notes
    return TextForm(separator, skipped, _quoting(file, separator, skipped, notes), titles), notes


def _separator(head: Sequence[str], preferred: str) -> str:
    """Return the separator of the lines of a table."""
    fits = _fits_of(head, preferred)
    best = max(fits, key=lambda candidate: fits[candidate])  # the first of equals
    tabs, width = fits["\t"]
    if tabs == 1 and width >= fits[preferred][1] and width > 1:
        return "\t"  # which stands within texts far more rarely than others
    if (fits[preferred][0] >= fits[best][0] - 0.05 and fits[preferred][1] > 1) or fits[best][1] < 2:
        best = preferred
    exact = {candidate: _width(head[:-1] or head, candidate) for candidate in RARE}
    if fits[best][1] < 2 and max(exact.values()) > 1:
        best = max(exact, key=lambda candidate: exact[candidate])
    width = exact[best] if best in exact else fits[best][1]
    return SPACE if width < 2 and _are_spaced(head) else best


def _are_spaced(head: Sequence[str]) -> bool:
    """Whether spaces separate fields, as R writes them by default, or as columns of a report are aligned.

    All lines have as many fields as the header, or one more, a row's number; and the names are quoted or three, which
    no list of names of two words looks like.
    """
    try:
        rows = [row for row in csv.reader((line.strip() for line in head), **BY_SPACES) if row]
    except csv.Error:
        return False
    if len(rows) < 2 or len({len(row) for row in rows[1:]}) > 1:
        return False
    width, quoted = len(rows[0]), head[0].lstrip().startswith('"') and '" "' in head[0]
    return width > (1 if quoted else 2) and (len(rows[1]) == width or are_row_names(rows))


def _title_lines(head: Sequence[str], preferred: str) -> int:
    """Return the number of lines above the header, 0 unless they are unmistakably none of the table.

    No separator divides the whole as a table, one divides what is below, which begins with names; and an empty line, or
    a sign for comments, or a table of three columns tells the two apart.
    """
    if max(fit for fit, _ in _fits_of(head, preferred).values()) > 0.5 and not _is_apart(head):
        return 0
    for above in _ends_of_titles(head):
        fits = _fits_of(head[above:], preferred)
        best = max(fits, key=lambda candidate: fits[candidate])
        fit, width = fits[best]
        apart = not head[above - 1].strip() or head[above - 1].startswith("#")
        rows = [row for row in csv.reader(head[above:], delimiter=best) if any(row)] if fit > 0.95 else []
        narrower = all(len(row) < width for row in csv.reader(head[:above], delimiter=best))
        enough = width > (1 if apart else 2) and len(rows) > 1
        if narrower and enough and are_names(filled(rows[0]), list(map(filled, rows[1:]))):
            return above
    return 0


def _is_apart(head: Sequence[str]) -> bool:
    """Whether the first line is a comment or followed by an empty one, as few headers are."""
    return len(head) > 1 and bool(head[0].strip()) and (head[0].startswith("#") or not head[1].strip())


def _ends_of_titles(head: Sequence[str]) -> list[int]:
    """Return numbers of lines that may stand above a header."""
    few = head[: MAX_TITLES + 1]
    comments = next((place for place, line in enumerate(few) if not line.startswith("#")), 0)
    empty = next((place for place, line in enumerate(few) if not line.strip()), 0)
    below = next((place for place, line in enumerate(few) if place > empty and line.strip()), 0) if empty else 0
    return [place for place in (comments, below, 1) if place]


def _fits_of(head: Sequence[str], preferred: str) -> dict[str, tuple[float, int]]:
    return {candidate: _fit(head[:-1] or head, candidate) for candidate in dict.fromkeys((preferred, *CANDIDATES))}


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
    file.seek(0)
    marks = {mark for line in islice(file, skipped, None) for mark in marks if mark in line}
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
    for row in csv.reader(islice(file, skipped, None), strict=True, **form):
        width = width or len(row)
        widths |= {len(row)} if row else set()
        fits &= len(row) <= width or not any(cell.strip() for cell in row[width:])
    return len(widths) < 2 if exactly else fits
