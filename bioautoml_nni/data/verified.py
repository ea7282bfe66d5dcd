"""What this process has verified of its image caches, so that no stage looks at every file and every row again."""

from __future__ import annotations

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

Stamp = tuple[int, int, int] | None
"""Which file it is, its size and when it was last written to; None for a missing one."""


def stamp_of(file: Path) -> Stamp:
    """Return the stamp of a file."""
    try:
        status = os.stat(file)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class _Record:
    stamp: Stamp
    facts: pd.DataFrame


class Verified:
    """Facts of images by the cache that they are in, as long as nobody else has written to its pixels since."""

    def __init__(self) -> None:
        self._records: dict[Hashable, _Record] = {}

    def remember(self, cache: Hashable, facts: pd.DataFrame, before: Stamp, after: Stamp) -> None:
        """Keep facts that were just verified, beside those of before if nobody else has written in between.

        Args:
            facts: indexed by reference, each once.
            before, after: stamp of the cache's pixels when verifying began and ended.
        """
        known = self._records.get(cache)
        if known is not None and known.stamp == before:
            others = known.facts[~known.facts.index.isin(facts.index)]
            facts = pd.concat([others, facts]) if len(others) else facts
        self._records[cache] = _Record(after, facts)

    def recall(self, cache: Hashable, references: Sequence[str], stamp: Stamp) -> pd.DataFrame | None:
        """Return the facts of readable images, or None unless all were verified and the pixels are as they were then.

        Args:
            stamp: of the cache's pixels now.
        """
        known = self._records.get(cache)
        if known is None or known.stamp != stamp:
            return None
        rows = known.facts.index.get_indexer(pd.Index(references, dtype=object))
        if (rows < 0).any():
            return None
        facts = known.facts.iloc[rows]
        return None if facts["failure"].notna().any() else facts.reset_index()
