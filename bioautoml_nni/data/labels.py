"""Labels that can be learned: two at least, of two specimens at least; what is held out is never learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ..config.schema import DataConfig
from ..registry import suggestion
from ..utils.errors import DataError
from .column_names import same_names
from .joining import rows_of
from .label_names import SPELLING, WAYS, twins, ways_between
from .manifest import LABEL, Manifest
from .naming import Naming
from .remark import Answer, Remark

OTHER = "other"
"""The class of all rare labels where `data.rare_labels` says so."""


@dataclass(frozen=True)
class Learnable:
    """Specimens whose labels can be learned or are held out.

    Attributes:
        table: their rows, renumbered.
        kept: positions of these rows in the table that was given (n,).
        left_out: number of specimens by label left out.
        joined: number of specimens by label that is part of `OTHER` now.
        remarks: why.
    """

    table: pd.DataFrame
    kept: np.ndarray
    left_out: Mapping[str, int] = field(default_factory=dict)
    joined: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()


def named_settings(settings: DataConfig, manifest: Manifest) -> DataConfig:
    """Return settings whose `hold_out` names classes, in whatever spelling or synonym they stand.

    Raises:
        DataError: naming the first label that no specimen has.
    """
    naming = manifest.naming or Naming()
    known = set(manifest.table[LABEL])
    same = {name: label for label, name in same_names(settings.hold_out, known).items()}
    names = [name if name in known else same.get(name) or naming.name(name) for name in settings.hold_out]
    for name, given in zip(names, settings.hold_out, strict=True):
        if name not in known:
            raise DataError(f"data.hold_out: no specimen has the label {given!r}{suggestion(given, sorted(known))}.")
    return settings.model_copy(update={"hold_out": names})


def learnable(table: pd.DataFrame, settings: DataConfig) -> Learnable:
    """Leave out or join labels with too few specimens; unless that is allowed, it is a reason to refuse.

    Args:
        table: a manifest's rows.
        settings: of the data: `hold_out`, `rare_labels` and `labels.min_specimens`.

    Raises:
        DataError: if fewer than two labels are left to learn.
    """
    least = settings.labels.min_specimens
    counts = table[LABEL][~table[LABEL].isin(settings.hold_out)].value_counts()
    if counts.empty:
        raise DataError("data.hold_out: names all labels; two at least must be left to learn.")
    if len(counts) < 2:
        raise DataError(
            f"All {len(table)} specimens have the label {counts.index[0]!r}; two classes at least are needed."
        )
    rare = {str(name): int(count) for name, count in counts.items() if count < least}
    every = np.arange(len(table))
    if not rare:
        return Learnable(table, every)
    others = {name: count for name, count in rare.items() if name != OTHER}
    together = sum(others.values()) + int(counts.get(OTHER, 0))
    joins = settings.rare_labels == "other" and bool(others) and together >= least
    rare = others if joins else rare
    if len(counts) - len(rare) + (joins and OTHER not in counts) < 2:
        words = "two" if least == 2 else f"{least} (data.labels.min_specimens)"
        raise DataError(f"Fewer than two labels have {words} specimens; two classes at least are needed.")
    is_rare = table[LABEL].isin(list(rare))
    remark = _rare_remark(rare, settings, joins)
    if joins:
        return Learnable(table.assign(**{LABEL: table[LABEL].mask(is_rare, OTHER)}), every, {}, rare, (remark,))
    positions = np.flatnonzero(~is_rare)
    held = [table]
    del table
    return Learnable(rows_of(held, positions).reset_index(drop=True), positions, rare, {}, (remark,))


def twin_remarks(table: pd.DataFrame) -> list[Remark]:
    """Remark on labels that are most likely one, written in several ways; they are never merged by themselves."""
    counts = {str(name): int(count) for name, count in table[LABEL].value_counts().items()}
    groups = twins(counts)
    if not groups:
        return []
    found = [" and ".join(f"{name!r} ({counts[name]})" for name in names) for names in groups]
    ways = [way for way in WAYS if any(way in ways_between(names) for names in groups)]
    shown = "; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")
    text = f"Labels that are most likely one, written in several ways, are classes of their own: {shown}."
    sure = set(ways) <= SPELLING and all(len(name) > 2 for names in groups for name in names)
    return [Remark("warning", "labels", text, Answer("data.labels", {"merge": ways}, sure))]


def _rare_remark(rare: Mapping[str, int], settings: DataConfig, joins: bool) -> Remark:
    names = ", ".join(f"{name!r} ({count})" for name, count in list(rare.items())[:5])
    names += f" and {len(rare) - 5} more" if len(rare) > 5 else ""
    least = settings.labels.min_specimens
    if joins:
        text = f"{len(rare)} labels with fewer than {least} specimens are one class {OTHER!r}: {names}."
        return Remark("note", "labels", text)
    if settings.rare_labels != "error":
        text = f"{len(rare)} labels with fewer than {least} specimens left out: {names}."
        text += " Together they are too few for a class of their own." if settings.rare_labels == "other" else ""
        return Remark("note", "labels", text)
    if least == 2:
        start = f"Label {', '.join(map(repr, list(rare)[:5]))}{' and others' if len(rare) > 5 else ''} has one specimen"
        text = f"{start} only, which cannot be both learned and tested; merge it with another label, let all such be "
        text += "one class (data.rare_labels: other), or leave them out."
    else:
        text = f"{len(rare)} labels have fewer specimens than data.labels.min_specimens={least}: {names}; let them be "
        text += "one class (data.rare_labels: other), or leave them out."
    return Remark("refused", "labels", text, Answer("data.rare_labels", "drop"))
