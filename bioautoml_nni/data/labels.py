"""Labels that can be learned: two at least, of two specimens at least; what is held out is never learned."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import pandas as pd

from ..config.schema import DataConfig
from ..registry import suggestion
from ..utils.errors import DataError
from .manifest import LABEL
from .remark import Remark


@dataclass(frozen=True)
class Learnable:
    """Specimens whose labels can be learned or are held out.

    Attributes:
        table: their rows, numbered anew.
        left_out: number of specimens by label left out.
        remarks: why.
    """

    table: pd.DataFrame
    left_out: Mapping[str, int]
    remarks: tuple[Remark, ...]


def require_labels(table: pd.DataFrame, held_out: Collection[str]) -> None:
    """Check that specimens of all labels to hold out exist.

    Raises:
        DataError: naming the first label that no specimen has.
    """
    known = set(table[LABEL])
    for name in held_out:
        if name not in known:
            raise DataError(f"data.hold_out: no specimen has the label {name!r}{suggestion(name, sorted(known))}.")


def learnable(table: pd.DataFrame, settings: DataConfig) -> Learnable:
    """Leave out labels with a single specimen; unless they may be dropped, that is a reason to refuse.

    Args:
        table: a manifest's rows.
        settings: of the data: `hold_out` and `rare_labels`.

    Raises:
        DataError: if fewer than two labels are left to learn.
    """
    counts = table[LABEL][~table[LABEL].isin(settings.hold_out)].value_counts()
    if counts.empty:
        raise DataError("data.hold_out: names all labels; two at least must be left to learn.")
    if len(counts) < 2:
        raise DataError(
            f"All {len(table)} specimens have the label {counts.index[0]!r}; two classes at least are needed."
        )
    rare = counts[counts < 2]
    if rare.empty:
        return Learnable(table, {}, ())
    if len(counts) - len(rare) < 2:
        raise DataError("Fewer than two labels have two specimens; two classes at least are needed.")
    kept = table[~table[LABEL].isin(rare.index)].reset_index(drop=True)
    return Learnable(kept, {str(name): 1 for name in rare.index}, (_rare_remark(rare.index, settings.rare_labels),))


def twin_remarks(table: pd.DataFrame) -> list[Remark]:
    """Remark on labels that differ only in case, spaces or Unicode form: most likely one label, written in two ways."""
    counts = table[LABEL].value_counts()
    twins: dict[str, list[str]] = {}
    for name in counts.index:
        plain = " ".join(unicodedata.normalize("NFKC", str(name)).casefold().replace("_", " ").split())
        twins.setdefault(plain, []).append(str(name))
    found = [" and ".join(f"{name!r} ({counts[name]})" for name in names) for names in twins.values() if len(names) > 1]
    if not found:
        return []
    shown = "; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")
    text = (
        f"Labels that differ only in case, spaces or letters' form are classes of their own: {shown}. Write them alike."
    )
    return [Remark("warning", "labels", text)]


def _rare_remark(rare: pd.Index, way: str) -> Remark:
    names = ", ".join(repr(name) for name in rare[:5]) + (" and others" if len(rare) > 5 else "")
    if way == "drop":
        return Remark("note", "labels", f"Labels with one specimen left out: {names}.")
    text = (
        f"Label {names} has one specimen only, which cannot be both learned and tested; merge it with another "
        "label or set data.rare_labels=drop."
    )
    return Remark("refused", "labels", text)
