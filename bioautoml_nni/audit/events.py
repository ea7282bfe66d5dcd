"""The hidden collecting event: which columns are the same for all specimens that were taken together.

Under a random split such a column works as an event id: specimens of one trap resemble each other, so that a model
that recognises the trap scores better than it will on the next trap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .association import associate
from .names import is_collecting, snake

SAMPLE = 200_000
MAX_KEYS = 16
MIN_FOLLOWERS = 2


@dataclass(frozen=True)
class Event:
    """A collecting event that the table shows.

    Attributes:
        key: columns that together identify the event.
        codes: event of each row (N,), -1 if unknown.
        followers: columns that are the same for all specimens of an event, `key` included.
    """

    key: tuple[str, ...]
    codes: np.ndarray
    followers: tuple[str, ...]

    @property
    def name(self) -> str:
        """The key in words."""
        return " + ".join(self.key)


def find_event(codes: Mapping[str, np.ndarray], group: str | None = None, seed: int = 0) -> Event | None:
    """Return the event that explains most columns, or None if at most one column follows from any.

    Args:
        codes: integer codes (N,) by column, -1 for missing; columns that state the label must not be among them.
        group: a column known to be the event; otherwise all columns with repeated values are tried as the key, and
            all columns together whose names say place or time.
    """
    rows = len(next(iter(codes.values()))) if codes else 0
    if rows == 0:
        return None
    chosen = np.arange(rows)
    if rows > SAMPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(rows, SAMPLE, replace=False))
    sample = {name: values[chosen] for name, values in codes.items()}
    sizes = {name: len(np.unique(values[values >= 0])) for name, values in sample.items()}
    members = [name for name, size in sizes.items() if 2 <= size <= len(chosen) / 4]
    if group is not None:
        keys: list[tuple[str, ...]] = [(group,)]
    else:
        ranked = sorted(members, key=lambda name: (not is_collecting(name), -sizes[name]))
        keys = [(name,) for name in ranked[:MAX_KEYS]]
        together = tuple(name for name in members if is_collecting(name))
        keys += [together] if len(together) > 1 else []
    best: tuple[tuple[int, int, int, int], tuple[str, ...], list[str]] | None = None
    for key in keys:
        joint = join(sample, key)
        if group is None and len(np.unique(joint)) > len(chosen) / 2:
            continue
        followers = [name for name in members if name in key or _follows(joint, sample[name])]
        named = any("event" in snake(name).split("_") for name in key)
        rank = (len(followers), -len(key), int(named), int(any(is_collecting(name) for name in key)))
        if best is None or rank > best[0]:
            best = rank, key, followers
    if best is None or (group is None and len(best[2]) < MIN_FOLLOWERS + 1):
        return None
    _, key, followers = best
    return Event(key, join(codes, key), tuple(dict.fromkeys([*key, *followers])))


def join(codes: Mapping[str, np.ndarray], key: Sequence[str]) -> np.ndarray:
    """Return one code per combination of values; -1 where all are missing."""
    joint = codes[key[0]].astype(np.int64)
    missing = joint < 0
    for name in key[1:]:
        values = codes[name].astype(np.int64)
        missing &= values < 0
        joint = np.unique((joint + 1) * (values.max() + 2) + values + 1, return_inverse=True)[1].ravel()
    return np.where(missing, -1, joint)


def _follows(key: np.ndarray, column: np.ndarray) -> bool:
    return associate(key, column).determines(min_accuracy=0.99, min_skill=0.9, min_coverage=0.5)


def shared_share(event: np.ndarray, test: np.ndarray, train: np.ndarray) -> float:
    """Return the share of test specimens whose event has training specimens too.

    Args:
        event: event of each row (N,), -1 if unknown.
        test, train: masks (N,).

    Example:
        >>> import numpy as np
        >>> train, test = np.array([True, True, False, False]), np.array([False, False, True, True])
        >>> shared_share(np.array([0, 1, 1, 2]), train, test)
        0.5
    """
    known = test & (event >= 0)
    return float(np.isin(event[known], np.unique(event[train & (event >= 0)])).mean()) if known.any() else 0.0
