"""Line ends within cells that nobody quoted: a sign that ends lines elsewhere in the file is a letter there."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

from .delimited import TextForm, find_form

STRAY = {"\r": "\udc0d", "\n": "\udc0a"}
"""What stands for a line end that is none while the file is read; no text that was decoded holds these."""
HELD = re.compile("[\udc0a\udc0d]")
WITHIN = {"\n": re.compile("\r(?!\n)"), "\r": re.compile("\n"), "\r\n": re.compile("\r(?!\n)|(?<!\r)\n")}
"""What is no line end, by what is one."""


class TextLines:
    """The lines of a text, each with what ends it.

    Args:
        raw: its bytes.
        encoding: of the text.
    """

    def __init__(self, raw: BinaryIO, encoding: str) -> None:
        self._raw = raw
        self._encoding = encoding
        self._file = io.TextIOWrapper(raw, encoding=encoding, newline="")
        self._within: re.Pattern[str] | None = None

    def end_with(self, end: str) -> None:
        r"""Let nothing else end a line than `end`: \n (with or without \r before it), \r or \r\n; any if empty."""
        self._file.detach()
        self._file = io.TextIOWrapper(self._raw, encoding=self._encoding, newline=end)
        self._within = WITHIN.get(end)

    def other_ends(self) -> list[str]:
        """Return what may be the one line end of a file that has been read through and holds several."""
        seen = self._file.newlines
        if not isinstance(seen, tuple):
            return []
        return [end for end in ("\r\n", "\n", "\r") if end in seen or (end == "\n" and "\r\n" in seen)]

    def seek(self, place: int) -> None:
        """Go to a place of the file, such as its start."""
        self._file.seek(place)

    def __iter__(self) -> Iterator[str]:
        within = self._within
        if within is None:
            return iter(self._file)
        return (within.sub(lambda found: STRAY[found[0]], line) for line in self._file)


def find_form_and_end(lines: TextLines, kind: str, header_row: int | None = None) -> tuple[TextForm, list[str]]:
    """Return what `find_form` does; where lines end in several ways, those count that make the rows fit best.

    Raises:
        ValueError: if quotes do not pair, however lines end.
    """
    found = {"": _tried(lines, kind, header_row)}
    ends = lines.other_ends()
    if not ends or (isinstance(found[""], tuple) and not _fits(lines, found[""][0])[0]):
        return _form_of(found[""])
    fits = {}
    for end in ("", *ends):
        lines.end_with(end)
        found[end] = _tried(lines, kind, header_row)
        fits[end] = _fits(lines, form[0]) if isinstance(form := found[end], tuple) else (1 << 62, 0)
    likely = [end for end in fits if not end or 2 * fits[end][1] > fits[""][1]]  # which ends most of the rows
    best = min(likely, key=lambda end: fits[end][0])  # the first of equals
    lines.end_with(best)
    return _form_of(found[best])


def _tried(lines: TextLines, kind: str, header_row: int | None) -> tuple[TextForm, list[str]] | ValueError:
    lines.seek(0)
    try:
        return find_form(lines, kind, header_row)
    except ValueError as error:
        return error


def _form_of(found: tuple[TextForm, list[str]] | ValueError) -> tuple[TextForm, list[str]]:
    if isinstance(found, ValueError):
        raise found
    return found


def _fits(lines: TextLines, form: TextForm) -> tuple[int, int]:
    """Return how many rows have another number of cells than the first, but for empty ones at their end; and all."""
    lines.seek(0)
    width = misfits = rows = 0
    try:
        for row in csv.reader(islice(lines, form.skipped, None), strict=True, **form.reader()):
            if any(cell.strip() for cell in row):
                width, rows = width or len(row), rows + 1
                misfits += len(row) < width or any(cell.strip() for cell in row[width:])
    except csv.Error:
        misfits += 1
    return misfits, rows


def as_written(cells: list[str]) -> list[str]:
    """Return cells with the line ends that `TextLines` held back."""
    if not any(map(HELD.search, cells)):
        return cells
    return [cell.replace(STRAY["\r"], "\r").replace(STRAY["\n"], "\n") for cell in cells]
