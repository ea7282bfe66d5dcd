"""Finished data: what a source gave, once specimens are left out and divided, and every column has its role."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from . import splits
from .image_store import Pixels
from .manifest import Manifest
from .own_csv import csv_blocks
from .remark import Remark

DIGESTED = 1 << 14
"""Rows whose text is held at a time."""


@dataclass(frozen=True)
class Specimens:
    """Specimens that are used, and what was left out on the way to them.

    Attributes:
        manifest: as the source gave it, with the final roles and the rows that are used.
        table: rows that are used: labelled, frequent enough, with a readable image if images are used.
        part: part of each of them.
        facts: their facts from the image store, or None without images.
        pixels: their pixels, or None without images.
        unreadable: id, image and reason of the images that cannot be read.
        labels_dropped: number of specimens by label that was left out.
        labels_joined: number of specimens by label that is part of the class of all rare ones.
        overridden: reason, by refused column that is used all the same.
        remarks: what was left out or decided, in words.
    """

    manifest: Manifest
    table: pd.DataFrame
    part: pd.Series
    facts: pd.DataFrame | None
    pixels: Pixels | None
    unreadable: pd.DataFrame
    labels_dropped: Mapping[str, int]
    labels_joined: Mapping[str, int]
    overridden: Mapping[str, str]
    remarks: tuple[Remark, ...]

    @property
    def learned(self) -> np.ndarray:
        """Whether the label of each row is a class, not one that is held out (N,)."""
        return ~splits.mask(self.part, splits.UNKNOWN)

    @property
    def learned_rows(self) -> tuple[pd.DataFrame, pd.Series]:
        """The rows whose label is a class, and their parts."""
        learned = self.learned
        return (self.table, self.part) if learned.all() else (self.table[learned], self.part[learned])

    @property
    def in_training(self) -> np.ndarray:
        """Whether each row is trained on (N,)."""
        return splits.mask(self.part, *splits.TRAINING)

    @property
    def in_test(self) -> np.ndarray:
        """Whether each row is tested on (N,)."""
        return splits.mask(self.part, splits.TEST)

    def digest(self) -> str:
        """Return the SHA-256 of the table and of every image's content."""
        digest = csv_digest(self.table)
        if self.facts is not None:
            for start in range(0, len(self.facts), DIGESTED):
                digest.update("".join(self.facts["digest"].iloc[start : start + DIGESTED]).encode())
        return digest.hexdigest()


def csv_digest(table: pd.DataFrame) -> Any:
    """Return the SHA-256 of a table's text as `csv_text` writes it, without holding that text."""
    for quoted in (False, True):
        digest = hashlib.sha256()
        for text in csv_blocks(table, DIGESTED, quoted):
            if "\r" in text and not quoted:
                break
            digest.update(text.encode())
        else:
            break
    return digest
