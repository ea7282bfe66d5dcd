"""Names of columns and values that a person takes for the same: of another Unicode form, or with other spaces."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

import pandas as pd


def same_names(wanted: Iterable[str], there: Iterable[str]) -> dict[str, str]:
    """Return by name that is there the wanted one which it is, for those that differ in Unicode form or spaces alone.

    A name that stands for two, or that two stand for, is left out.

    Example:
        >>> same_names(['length mm', 'trap'], ['length\\u00a0mm', 'trap', 'Trap'])
        {'length\\xa0mm': 'length mm'}
    """
    columns = [str(name) for name in there]
    missing = [name for name in dict.fromkeys(wanted) if name not in columns]
    if not missing:
        return {}
    plain = {name: _plain(name) for name in (*columns, *missing)}
    often = [Counter(plain[name] for name in names) for names in (columns, missing)]
    return {
        column: name
        for name in missing
        for column in columns
        if plain[column] == plain[name] and all(counts[plain[name]] == 1 for counts in often)
    }


def with_names(table: pd.DataFrame, wanted: Iterable[str]) -> pd.DataFrame:
    """Return a table whose columns bear the wanted names where they are the same to a person."""
    found = same_names(wanted, table.columns)
    return table.rename(columns=found) if found else table


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())
