"""Which row of a table holds the names of its columns, where a title stands above them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from .remark import TableAt

LOOKED_AT = 40
"""Rows from which it is told."""
MAX_TITLES = 10
NO_NAME = re.compile(r"^[\d\s.,:/+-]*\d[\d\s.,:/+-]*$|\.(?:jpe?g|png|tiff?|webp|bmp|gif|heic)$", re.IGNORECASE)
"""What no column is called: numbers, dates, files of images."""

Row = tuple[int, Sequence[Any]]


@dataclass(frozen=True)
class Header:
    """Where a header stands.

    Attributes:
        row: its number.
        titles: texts of the rows above it that hold something.
    """

    row: int
    titles: tuple[str, ...] = ()

    def note(self, name: str, unit: str) -> str:
        """Return what is to be said of rows that are not read."""
        shown = ", ".join(repr(title[:60]) for title in self.titles[:3])
        return TableAt(
            f"{name}: {unit} {self.row} holds the names of the columns; what stands above it is not read ({shown}). If "
            f"they stand elsewhere, write data.header_row with the number of their {unit}."
        )


def from_header(rows: Iterator[Row], told: int | None) -> tuple[Header, Iterator[Row]]:
    """Return where the header stands, and the rows from it on.

    Args:
        rows: numbered rows, without empty ones.
        told: number of the header's row, found by itself if None.

    Raises:
        ValueError: if there is nothing in the row that is told.
    """
    if told is not None:
        for number, cells in rows:
            if number >= told:
                if number > told + sum(str(cell).count("\n") for cell in cells):
                    raise ValueError(f"data.header_row: row {told} is empty; the next that holds something is {number}")
                return Header(number), chain([(number, cells)], rows)
        raise ValueError(f"data.header_row: it has no row {told}")
    first = list(islice(rows, LOOKED_AT))
    place = _place(first)
    titles = tuple(" ".join(filled(cells).values()) for _, cells in first[:place])
    return Header(first[place][0] if first else 0, titles), chain(first[place:], rows)


def _place(rows: Sequence[Row]) -> int:
    """Return the position of the header: the first row, unless rows above another are unmistakably a title.

    A title is one cell at the left end (or two, with an empty row below), and the first row below that has more cells
    holds names: different texts, none of which is a number or a value of its column.
    """
    held = [filled(cells) for _, cells in rows]
    place = next((place for place, cells in enumerate(held) if len(cells) > 1), 0)
    if not place:
        place = _below_pairs(rows, held)
    if not 0 < place <= MAX_TITLES or not are_names(held[place], held[place + 1 :]):
        return 0
    if len(held[place]) < 3 and rows[place][0] == rows[place - 1][0] + 1:
        return 0  # two columns below one cell, and no empty row between them: it could be a list
    left = min(held[place])
    return place if all(min(cells) <= left for cells in held[:place]) else 0


def _below_pairs(rows: Sequence[Row], held: Sequence[dict[int, str]]) -> int:
    """Return the position of the first row after an empty one, if above it are pairs such as a name and a date."""
    for place in range(1, min(len(rows), MAX_TITLES + 1)):
        if len(held[place - 1]) > 2:
            return 0
        if rows[place][0] > rows[place - 1][0] + 1 and len(held[place]) > 3:
            return place
    return 0


def filled(cells: Sequence[Any]) -> dict[int, str]:
    """Return the texts of cells that hold something, by place; what is not text is shown as text."""
    return {place: str(cell).strip() for place, cell in enumerate(cells) if cell is not None and str(cell).strip()}


def with_row_names(rows: Iterator[Row], note: Callable[[str], None]) -> Iterator[Row]:
    """Return rows whose header has an empty name in front, if they begin with their number and it lacks a name for it.

    Args:
        note: is told if so.
    """
    first = list(islice(rows, LOOKED_AT))
    if are_row_names([cells for _, cells in first]):
        note("its rows begin with their number, which the header does not name, as R writes them")
        first[0] = (first[0][0], ["", *first[0][1]])
    return chain(first, rows)


def are_row_names(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether all rows have one field more than the header, the first one, which counts them."""
    if len(rows) < 2 or any(len(row) != len(rows[0]) + 1 for row in rows[1:]):
        return False
    return [row[0] for row in rows[1:]] == [str(number) for number in range(1, len(rows))]


def are_names(header: dict[int, str], below: Sequence[dict[int, str]]) -> bool:
    """Whether texts can be the names of columns, and are not values of them."""
    if not below or len(set(header.values())) < len(header) or any(map(NO_NAME.search, header.values())):
        return False
    if any(cells.get(place) == name for cells in below for place, name in header.items()):
        return False
    return 2 * sum(len(cells) > 1 for cells in below) > len(below)
