"""CSV that this project writes, and reads again as it was written."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..utils.errors import BioAutoMLError, RunDirectoryError
from ..utils.own_files import WAY_OUT, reading, require_last_line


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
    text = _csv(table, header, quoted=False)
    return _csv(table, header, quoted=True) if "\r" in text else text  # a reader would take it for the end of a line


def _csv(table: pd.DataFrame, header: bool, quoted: bool) -> str:
    quoting = csv.QUOTE_NONNUMERIC if quoted else csv.QUOTE_MINIMAL
    return table.to_csv(index=False, header=header, lineterminator="\n", quoting=quoting)


def csv_blocks(table: pd.DataFrame, rows: int, quoted: bool) -> Iterator[str]:
    """Yield the text of `csv_text` in blocks of so many rows, of which one is held at a time.

    Args:
        quoted: whether texts are quoted, as `csv_text` does where one of them holds a carriage return.
    """
    for start in range(0, max(len(table), 1), rows):
        yield _csv(table.iloc[start : start + rows], header=start == 0, quoted=quoted)
