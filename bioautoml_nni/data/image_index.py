"""The index of an image store: a table of facts, and how a store takes over what a shard has of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .caches import append_rows

COLUMNS = (
    "reference",
    "row",
    "bytes",
    "modified",
    "width",
    "height",
    "digest",
    "phash",
    "checksum",
    "several",
    "failure",
)
TABLE = f"images ({', '.join(COLUMNS)}, PRIMARY KEY (reference)) WITHOUT ROWID"
NEWER = (
    "SELECT new.* FROM shard.images AS new LEFT JOIN images AS old USING (reference) WHERE old.reference IS NULL "
    "OR old.failure IS NOT NULL OR old.bytes != new.bytes OR old.modified != new.modified OR old.row < min(new.row, 0)"
)
"""What a shard has and the store has not, or of another time."""

NUMBERS = ("row", "bytes", "modified", "width", "height", "phash", "checksum", "several")
TEXTS = ("digest", "failure")
READ = 1 << 15
"""Entries that are read at a time."""


class Entries:
    """What an index holds of some images, column by column: of millions, tuples would take most of the memory.

    Args:
        wanted: references; one that comes twice is kept once.

    Attributes:
        references: of the images, each once, in the order given.
        known: whether there is an entry of each (N,).
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        index = pd.Index(wanted, dtype=object, name="reference")
        self.references = index if index.is_unique else index.unique()
        self.known = np.zeros(len(self.references), bool)
        missing = {"row": -1, "bytes": -1, "modified": -1}
        self._numbers = {name: np.full(len(self.known), missing.get(name, 0), np.int64) for name in NUMBERS}
        self._texts = {name: np.full(len(self.known), None, object) for name in TEXTS}

    def put(self, entries: Sequence[tuple[Any, ...]]) -> None:
        """Take entries as the index has them; those of other runs are none of our business."""
        if not entries:
            return
        columns = dict(zip(COLUMNS, zip(*entries, strict=True), strict=True))
        places = self.references.get_indexer(pd.Index(columns["reference"], dtype=object))
        ours = places >= 0
        places = places[ours]
        for name, numbers in self._numbers.items():
            numbers[places] = _numbers(columns[name])[ours]
        for name, texts in self._texts.items():
            texts[places] = np.array(columns[name], object)[ours]
        self.known[places] = True

    def read(self, index: sqlite3.Connection, where: str = "1") -> Entries:
        """Take all entries of an index for which a condition holds; return itself.

        Args:
            where: in SQL.
        """
        found = index.execute(f"SELECT {', '.join(COLUMNS)} FROM images WHERE {where}")
        while block := found.fetchmany(READ):
            self.put(block)
        return self

    def stamps(self) -> np.ndarray:
        """Return size and time stamp of the files (N, 2), as they were when they were read."""
        return np.column_stack([self._numbers["bytes"], self._numbers["modified"]])

    def table(self) -> pd.DataFrame:
        """Return the facts, by reference; the columns are not copied."""
        columns = {**self._numbers, **self._texts}
        named = {
            name: pd.Series(columns[name], self.references, columns[name].dtype, copy=False) for name in COLUMNS[1:]
        }
        return pd.DataFrame(named, copy=False)


def _numbers(column: Sequence[int | None]) -> np.ndarray:
    """Return whole numbers, 0 where there is none, as for the width of what could not be read."""
    try:
        return np.array(column, np.int64)
    except TypeError:
        return np.array([value or 0 for value in column], np.int64)


def read_only(file: Path) -> sqlite3.Connection:
    """Open an index to read it.

    Raises:
        sqlite3.OperationalError: if there is none.
    """
    return sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)


def longest_sides(indices: Iterable[Path], wanted: Collection[str]) -> np.ndarray | None:
    """Return the longest side of each wanted image that can be read, None unless all have been looked at.

    Args:
        indices: of a store and its shards.
    """
    found: dict[str, int | None] = {}
    for file in indices:
        try:
            with closing(read_only(file)) as index:
                entries = index.execute("SELECT reference, max(width, height) FROM images")
                found |= {text: side for text, side in entries if text in wanted}
        except sqlite3.DatabaseError:  # there is none, or it is rebuilt
            continue
    if len(found) < len(wanted):
        return None
    return np.array([side for side in found.values() if side is not None], float)


def take_over(index: sqlite3.Connection, pixels: Path, shard: Path, its_pixels: Path, row_bytes: int) -> None:
    """Add what a shard has and a store has not; pixels first, so that a kill costs no more than their copy.

    Args:
        index, pixels: of the store.
        shard, its_pixels: files of the shard; a damaged one adds nothing, and its images are decoded again.
    """
    try:
        index.execute("ATTACH ? AS shard", (str(shard),))
        index.execute(f"CREATE TABLE IF NOT EXISTS shard.{TABLE}")
        first = int(index.execute("SELECT coalesce(max(row), -1) + 1 FROM images").fetchone()[0])
        last = index.execute(f"SELECT max(row) FROM ({NEWER})").fetchone()[0]
        if last is not None and last >= 0:
            append_rows(its_pixels, pixels, first * row_bytes)
        moved = ", ".join(f"row + {first} * (row >= 0)" if name == "row" else name for name in COLUMNS)
        with index:
            index.execute(f"INSERT OR REPLACE INTO images SELECT {moved} FROM ({NEWER})")
    except FileNotFoundError:  # pixels that are gone
        pass
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        index.rollback()
    finally:
        if any(name == "shard" for _, name, _ in index.execute("PRAGMA database_list").fetchall()):
            index.execute("DETACH shard")
