"""Text columns that contain the name of the specimen's own taxon."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

_WORD = re.compile(r"[^\W\d_]{3,}")
MIN_SHARE = 0.02
MAX_ROWS = 200_000
_PLAIN = {"unknown", "indet", "other", "none", "male", "female", "adult", "larva", "insect", "insects"}


def _phrases(text: str) -> set[str]:
    """Return the words and pairs of neighbouring words of a text, in lower case."""
    words = [word.lower() for word in _WORD.findall(text)]
    return {*words, *(f"{left} {right}" for left, right in pairwise(words))}


def name_of(value: object) -> str | None:
    """Return a taxon's name as it would stand in a text (lower case, two words at most), or None if it has none."""
    words = [word.lower() for word in _WORD.findall(str(value))]
    name = " ".join(words[:2])
    return name if name and name not in _PLAIN else None


def share_naming_own_taxon(column: pd.Series, names: Sequence[pd.Series]) -> float:
    """Return the share of rows whose text contains the row's own label or taxon name.

    Args:
        column: texts, gaps allowed.
        names: for each rank the taxon of each row, gaps allowed.

    Every different text is read once; of more than `MAX_ROWS` rows a random sample is read.
    """
    if len(column) > MAX_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(len(column), MAX_ROWS, replace=False))
        column, names = column.iloc[rows], [ranks.iloc[rows] for ranks in names]
    codes, texts = pd.factorize(column)
    vocabulary: dict[str, int] = {}
    named: list[np.ndarray] = []
    for ranks in names:
        rank_codes, values = pd.factorize(ranks)
        ids = np.array([_identify(name_of(value), vocabulary) for value in values], dtype=np.int64)
        named.append(np.where(rank_codes >= 0, ids[rank_codes] if len(ids) else -1, -1))
    found = {(code, vocabulary[phrase]) for code, text in enumerate(texts) for phrase in _known(text, vocabulary)}
    if not found:
        return 0.0
    width = len(vocabulary)
    keys = np.array(sorted(code * width + name for code, name in found), dtype=np.int64)
    hit = np.zeros(len(column), dtype=bool)
    for ids in named:
        hit |= (codes >= 0) & (ids >= 0) & np.isin(codes.astype(np.int64) * width + ids, keys)
    return float(hit.mean())


def _identify(name: str | None, vocabulary: dict[str, int]) -> int:
    return -1 if name is None else vocabulary.setdefault(name, len(vocabulary))


def _known(text: object, vocabulary: dict[str, int]) -> Iterable[str]:
    return (phrase for phrase in _phrases(str(text)) if phrase in vocabulary)
