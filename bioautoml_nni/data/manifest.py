"""The manifest: the one table that every source turns its format into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from .naming import Naming
from .remark import Lost

Role = Literal[
    "numeric", "size", "fraction", "categorical", "date", "hour", "latitude", "longitude", "coordinates", "text",
    "group", "taxonomy", "ignored",
]  # fmt: skip
FEATURE_ROLES: tuple[Role, ...] = (
    "numeric", "size", "fraction", "categorical", "date", "hour", "latitude", "longitude", "coordinates", "text",
)  # fmt: skip

ID, IMAGE, LABEL, SPLIT = "_id", "_image", "_label", "_split"
"""Reserved columns of a manifest's table."""


@dataclass(frozen=True)
class Unread:
    """Texts of a column that were to be numbers and are none: how many, and some of them."""

    count: int
    examples: tuple[str, ...]


@dataclass
class Manifest:
    """Specimens, one row each.

    Attributes:
        table: reserved columns `ID` (unique string), `IMAGE` (path below `image_root`), `LABEL` (string, no gaps) and,
            where the source has one, `SPLIT`; besides them the source's own columns under their own names.
        image_root: folder below which all images lie.
        roles: role by column, as far as the user or the source knows it; the audit completes it.
        rank: what the label is, in words ("order", "label", ...).
        declared: columns whose role the user gave.
        infer: whether roles of all other columns are inferred; otherwise they are ignored.
        notes: what the source wants a reader to know: roles inferred and why and, as `Lost`, what is left out, which a
            later refusal of the data says again.
        forms: how columns write numbers and dates; see `with_types`.
        unread: texts that were to be numbers and are none, by column.
        origin: where the data come from, for whoever cites them: ``doi``, ``title``, ``citation``, ``rights``, and
            ``image_licences`` with the number of images by licence, as far as they are known.
        naming: how labels became classes, once that is decided.
        missing: texts that meant a gap in the source's columns, and will in those of a prediction.
    """

    table: pd.DataFrame
    image_root: Path
    roles: Mapping[str, Role]
    rank: str
    declared: frozenset[str] = frozenset()
    infer: bool = True
    notes: list[str] = field(default_factory=list)
    forms: dict[str, dict[str, str]] = field(default_factory=dict)
    unread: dict[str, Unread] = field(default_factory=dict)
    origin: dict[str, Any] = field(default_factory=dict)
    naming: Naming | None = None
    missing: tuple[str, ...] = ()

    def features(self) -> dict[str, Role]:
        """Columns that are metadata features, in the table's order."""
        return {name: self.roles[name] for name in self.table if self.roles.get(name) in FEATURE_ROLES}


def contract_fault(loaded: Any) -> str | None:
    """Return what is wrong with what a source has read, None if it is a manifest with the columns that all have."""

    def kind(value: Any) -> str:
        return "None" if value is None else f"a {type(value).__name__}"

    if not isinstance(loaded, Manifest):
        return f"load() must return a Manifest, not {kind(loaded)}"
    table = loaded.table
    if not isinstance(loaded.image_root, str | PathLike):
        return f"image_root must be a path, not {kind(loaded.image_root)}"
    if not isinstance(table, pd.DataFrame):
        return f"its table must be a DataFrame, not {kind(table)}"
    if missing := {ID, IMAGE, LABEL} - set(table):
        return f"the table lacks {', '.join(sorted(missing))}"
    if len(twice := table.columns[table.columns.duplicated()].unique()):
        return f"the table has several columns named {', '.join(map(repr, twice))}"
    if not all(isinstance(each, str) for each in table[IMAGE].dropna()):
        return f"{IMAGE} must hold paths below image_root, as texts"
    return None


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


def without_repeats(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Return rows of which none stands twice, word for word; how many were left out is noted."""
    repeated = table.astype(str).duplicated()
    if repeated.any():
        first = table.loc[repeated.idxmax(), ID]
        notes.append(
            Lost(f"{int(repeated.sum())} entries that repeat another word for word left out, such as {first!r}.")
        )
    return table[~repeated].reset_index(drop=True)


def as_strings(column: pd.Series) -> pd.Series:
    """Return values as strings without space around them, with gaps as None; a text stays what it is, and whole floats
    lose their point, since a number has no spelling."""

    codes, values = pd.factorize(column)
    texts = np.array([*(_text(value) for value in values), None], dtype=object)
    return pd.Series(texts[codes], index=column.index, dtype=object)


def _text(value: Any) -> str | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None
