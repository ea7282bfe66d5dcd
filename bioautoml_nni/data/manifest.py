"""The manifest: the one table that every source turns its format into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

Role = Literal["numeric", "size", "categorical", "date", "latitude", "longitude", "group", "ignored"]
FEATURE_ROLES: tuple[Role, ...] = ("numeric", "size", "categorical", "date", "latitude", "longitude")

ID, IMAGE, LABEL, SPLIT = "_id", "_image", "_label", "_split"
"""Reserved columns of a manifest's table."""


@dataclass
class Manifest:
    """Specimens, one row each.

    Attributes:
        table: reserved columns `ID` (unique string), `IMAGE` (path below `image_root`), `LABEL` (string, no gaps) and,
            where the source has one, `SPLIT`; besides them the source's own columns under their own names.
        image_root: folder below which all images lie.
        roles: role of each of the source's own columns.
        rank: what the label is, in words ("order", "label", ...).
        notes: what the source wants a reader to know: rows left out, roles inferred and why.
    """

    table: pd.DataFrame
    image_root: Path
    roles: Mapping[str, Role]
    rank: str
    notes: list[str] = field(default_factory=list)

    def features(self) -> dict[str, Role]:
        """Columns that are metadata features, in the table's order."""
        return {name: self.roles[name] for name in self.table if self.roles.get(name) in FEATURE_ROLES}


class Source(Protocol):
    """Contract of a data format. Constructor arguments are the keys of `data:` in experiment.yml.

    `root` is always the first argument. Relative paths are resolved by the engine before.
    """

    def load(self) -> Manifest:
        """Read the table.

        Raises:
            DataError: naming the file, row or column at fault and the way out.
        """
        ...


def as_strings(column: pd.Series) -> pd.Series:
    """Return values as strings with gaps as None; whole floats lose their point, so that 3.0 and 3 are one value."""

    def text(value: Any) -> str | None:
        if pd.isna(value):
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return str(value).strip() or None

    return column.map(text).astype(object).where(column.notna(), None)
