"""Files that hold ids, joined to a table by them: never by the order of their rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ..utils.errors import DataError
from ..utils.memory import return_freed_memory
from .own_csv import read_own

ID_COLUMN = "id"


def read_by_id(path: Path, ids: pd.Series, way_out: str) -> pd.DataFrame:
    """Return the rows of a CSV file that has a column ``id``, all of them text, in the order of `ids`.

    Rows that have the ids of `ids` in their very order fit, even if ids repeat, as in runs of versions that let them.

    Args:
        ids: the id of every specimen that the file is about.
        way_out: what to do about a file that does not fit, as the end of the sentence.

    Raises:
        DataError: if an id stands twice in the file, is missing in it, or is none of `ids`.
    """
    table = read_own(path, way_out=way_out, kind=DataError)
    if ID_COLUMN not in table:
        raise DataError(f"{path}: has no column {ID_COLUMN!r}; {way_out}.")
    found, wanted = pd.Index(table[ID_COLUMN], dtype=object), pd.Index(ids.astype(str), dtype=object)
    if found.equals(wanted):
        return table
    for which, words in (
        (found[found.duplicated()], "stands there more than once"),
        (wanted[~wanted.isin(found)], "is missing there"),
        (found[~found.isin(wanted)], "is there but none of the run's own"),
    ):
        if len(which):
            more = f" (and {len(which) - 1} more)" if len(which) > 1 else ""
            raise DataError(f"{path}: id {which[0]!r}{more} {words}; {way_out}.")
    return table.iloc[found.get_indexer(wanted)].reset_index(drop=True)


def rows_of(held: list[pd.DataFrame], positions: np.ndarray) -> pd.DataFrame:
    """Return some rows of the table in a list, which is taken from there.

    Where nobody else holds that table, no more than one column is in memory twice.

    Args:
        positions: of the rows (n,).
    """
    table = held.pop().copy(deep=False)
    index, names = table.index[positions], list(table)
    columns = {}
    for name in names:
        columns[name] = table.pop(name).iloc[positions].set_axis(index)  # else each has an index of its own
        return_freed_memory()
    return pd.DataFrame(columns, index=index, columns=names, copy=False)
