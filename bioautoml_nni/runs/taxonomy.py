"""Which taxon a class belongs to at each coarser rank that the table states."""

from __future__ import annotations

import pandas as pd

from ..audit.names import RANKS, is_rank
from ..data.manifest import LABEL


def coarser_taxa(table: pd.DataFrame, classes: list[str], rank: str) -> dict[str, list[str]]:
    """Return for each coarser rank that the table states the taxon of every class, by rank.

    A rank is left out unless all specimens of a class agree on it, for every class, and it joins some classes.

    Args:
        table: a manifest's rows, those of the training split.
        classes: names of the classes.
        rank: what the label is; a label of no standard rank may lie below any.
    """
    found: dict[str, list[str]] = {}
    for column in table.columns:
        name = is_rank(str(column))
        if name is None or name in found or (rank in RANKS and RANKS.index(name) >= RANKS.index(rank)):
            continue
        stated = table[table[column].notna()].groupby(LABEL)[column].agg(["nunique", "first"])
        agreed = stated["first"][stated["nunique"] == 1].reindex(classes)
        if agreed.notna().all() and len(classes) > agreed.nunique():
            found[name] = [str(taxon) for taxon in agreed]
    return found
