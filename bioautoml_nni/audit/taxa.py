"""Columns of ranks above the label that do not say one taxon for every class: no result is rolled up by them."""

from __future__ import annotations

import pandas as pd

from ..data.manifest import LABEL
from ..data.remark import Remark
from .names import RANKS, is_rank


def taxa_remarks(table: pd.DataFrame, rank: str) -> list[Remark]:
    """Remark on columns that nearly say which taxon above the label each class belongs to.

    Args:
        table: rows that are learned.
        rank: what the label is; one of no standard rank may lie below any.
    """
    remarks = []
    for column in table.columns:
        name = is_rank(str(column))
        if name is None or (rank in RANKS and RANKS.index(name) >= RANKS.index(rank)):
            continue
        taxa = table.groupby(LABEL)[column].nunique()
        several, without = list(taxa.index[taxa > 1]), list(taxa.index[taxa == 0])
        if 0 < len(several) + len(without) <= len(taxa) / 2:
            remarks.append(Remark("note", "labels", _text(table, column, several, without)))
    return remarks


def _text(table: pd.DataFrame, column: str, several: list[str], without: list[str]) -> str:
    told = []
    if several:
        counts = table.loc[table[LABEL] == several[0], column].value_counts()
        shown = ", ".join(f"{taxon!r} ({count})" for taxon, count in list(counts.items())[:3])
        told.append(f"{len(several)} classes have several ({several[0]!r}: {shown})")
    if without:
        told.append(f"{len(without)} have none ({', '.join(map(repr, without[:3]))})")
    return (
        f"Column {column!r} states a taxon above the label, but {' and '.join(told)}: results are not rolled up by it. "
        "Correct it, or name a table of the classes and their taxa as data.labels.taxonomy."
    )
