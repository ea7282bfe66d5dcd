"""The index of an image store: a table of facts, and how a store takes over what a shard has of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path

import numpy as np

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
