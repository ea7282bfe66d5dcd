"""How many cells the rows of a table have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Shape:
    """Rows of one width: short ones are filled up, longer ones may only hold nothing more.

    Attributes:
        header: number of the row, or line, that holds the names of the columns.
        unit: what is counted, "row" or "line".
        short: rows that were filled up.
        long: number of rows that end in separators.
    """

    path: Path
    width: int
    header: int
    unit: str
    short: list[int] = field(default_factory=list)
    long: int = 0

    def fitted(self, line: int, cells: list[str]) -> list[str]:
        """Return as many cells as the header has.

        Raises:
            ValueError: for a row that holds more.
        """
        if len(cells) < self.width:
            self.short.append(line)
            return cells + [""] * (self.width - len(cells))
        if len(cells) > self.width:
            if any(cell.strip() for cell in cells[self.width :]):
                raise ValueError(self._too_long(line, cells))
            self.long += 1
        return cells[: self.width]

    def _too_long(self, line: int, cells: Sequence[str]) -> str:
        if self.unit == "row":
            place = next(place for place, cell in enumerate(cells, start=1) if place > self.width and cell.strip())
            return (
                f"row {line} has a value in column {place}, above which there is no name; name the column or clear it"
            )
        return f"line {line} has {len(cells)} fields, the header {self.width}; {self._way_out()}"

    def _way_out(self) -> str:
        if self.width == 1:
            return (
                f"if line {self.header} is a title, write data.header_row with the number of the line that has the "
                "names of the columns"
            )
        return "quote texts that hold the separator"

    def notes(self) -> list[str]:
        """Return what a reader should know of rows of another width, in sentences."""
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
