"""The leakage screen: one verdict per column, with the reason in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..data.coordinate_pairs import decide_pairs
from ..data.hours import is_hour
from ..data.remark import ColumnFinding
from ..data.roles import infer_role, is_day_of_year, nearly_numbers
from ..data.times import is_time
from .association import Association, associate, encode
from .events import Event, find_event, join, shared_share
from .names import is_catch, is_date, is_place, is_place_or_time, is_rank, proxy_by_name, snake
from .text import MIN_SHARE, share_naming_own_taxon

SPLIT_NAME = re.compile(r"^(split|subset|partition|cv_?fold|fold)(_.*)?$")
MUCH = 0.5
"""Share of test specimens with an event known from training above which event columns act as an event id."""


@dataclass(frozen=True)
class Screen:
    """The findings for all columns, and the collecting event, if the table shows one."""

    findings: tuple[ColumnFinding, ...]
    event: Event | None
    event_in_training: float

    def of(self, column: str) -> ColumnFinding:
        """Return the finding for a column."""
        return next(finding for finding in self.findings if finding.column == column)


def screen(
    table: pd.DataFrame,
    label: pd.Series,
    train: np.ndarray,
    test: np.ndarray,
    group: str | None = None,
    taxonomy: Collection[str] = (),
    assigns_split: Collection[str] = (),
    advance: Callable[[], None] = lambda: None,
) -> Screen:
    """Screen every column of a table.

    Args:
        table: the columns, one row per specimen; it is only read.
        label: the label of each row.
        train, test: masks (N,) of the parts.
        group: column that the split was made by, if any.
        taxonomy: columns that are known to state taxa.
        assigns_split: columns that only say to which part a specimen belongs.
        advance: called after every column.
    """
    target = encode(label)
    taxa = [label, *(table[name] for name in table if name in taxonomy or is_rank(str(name)))]
    findings: dict[str, ColumnFinding] = {}
    codes: dict[str, np.ndarray] = {}
    for name in table:
        text = str(name)
        if name in taxonomy:
            findings[text] = ColumnFinding(text, "refuse", "taxonomy", "its source says that it states the taxon")
        elif name in assigns_split or SPLIT_NAME.match(snake(text)):
            findings[text] = ColumnFinding(text, "drop", "split", "it says to which part a specimen belongs")
        elif by_name := proxy_by_name(text):
            findings[text] = ColumnFinding(text, "refuse", *by_name)
        else:
            column_codes = encode(table[name])
            findings[text] = _judge(text, table[name], column_codes, target, taxa)
            if findings[text].verdict in ("pass", "warn"):
                codes[text] = column_codes
        advance()
    if group is not None and group not in codes and group in table:
        codes[group] = encode(table[group])
    stated = group if group in codes and not _is_unique(codes[group]) else None
    event = find_event(codes, stated)
    known = shared_share(event.codes, test, train) if event else 0.0
    if stated and known == 0 and (beyond := _event_beyond(codes, stated, test, train)):
        event, known = beyond
    if event:
        for name in event.followers:
            findings[name] = _event_column(name, findings.get(name), event, known)
    return Screen(tuple(findings[str(name)] for name in table), event, known)


def _is_unique(codes: np.ndarray) -> bool:
    """Whether a column tells nearly every row from all others, so that it can be no event."""
    present = codes[codes >= 0]
    return len(np.unique(present)) > 0.9 * len(present)


def _event_beyond(
    codes: Mapping[str, np.ndarray], group: str, test: np.ndarray, train: np.ndarray
) -> tuple[Event, float] | None:
    """Return the event that unites groups of both sides, and the share of the test split in it.

    That is a column called like a catch, or date and place together; one of both alone is shared by many catches.
    """
    others = [name for name in codes if name != group and np.unique(codes[name]).size > 2]
    places, days = [name for name in others if is_place(name)], [name for name in others if is_date(name)]
    keys: list[tuple[str, ...]] = [(name,) for name in others if is_catch(name) and name not in days]
    keys += [(*places, *days)] if places and days else []
    for key in keys:
        joint = join(codes, key)
        if _is_unique(joint) or not associate(codes[group], joint.astype(np.int32)).determines(min_coverage=0.05):
            continue
        known = shared_share(joint, test, train)
        if known > MUCH:
            return Event(key, joint, (*key, *_followers(joint, codes, key))), known
    return None


def _followers(joint: np.ndarray, codes: Mapping[str, np.ndarray], key: tuple[str, ...]) -> list[str]:
    """Return further columns that are the same for all specimens of an event."""
    event = joint.astype(np.int32)
    return [
        name
        for name, values in codes.items()
        if name not in key and associate(event, values).determines(min_accuracy=0.99, min_coverage=0.5)
    ]


def _judge(
    name: str, column: pd.Series, codes: np.ndarray, target: np.ndarray, taxa: Sequence[pd.Series]
) -> ColumnFinding:
    present = codes >= 0
    different = int(codes.max(initial=-1)) + 1
    if different < 2:
        return ColumnFinding(name, "drop", "constant", "it has fewer than two different values")
    numeric = pd.api.types.is_numeric_dtype(column)
    if not numeric:
        named = share_naming_own_taxon(column, taxa)
        if named >= MIN_SHARE:
            return ColumnFinding(
                name, "refuse", "text", f"its text contains the specimen's own taxon in {named:.0%} of the rows"
            )
    forward = associate(codes, target)
    if forward.determines(min_coverage=0.05):
        return ColumnFinding(name, "refuse", "names_label", f"its values name the label: {_in_words(forward)}")
    backward = associate(target, codes)
    if backward.determines():
        reason = f"it follows from the label: {_in_words(backward)}"
        return ColumnFinding(name, "warn" if is_place_or_time(name) else "refuse", "follows_label", reason)
    unique = different == int(present.sum()) and not pd.api.types.is_float_dtype(column)
    if unique and not _is_quantity(name, column):
        told = "" if numeric else nearly_numbers(column.dropna())
        reason = f"each of its values stands only once, as in an identifier{told}"
        return ColumnFinding(name, "drop", "identifier", reason)
    gaps = (~present).astype(np.int32)
    if 0.02 < gaps.mean() < 0.98 and associate(target, gaps).determines():
        return ColumnFinding(name, "warn", "gaps", "which rows lack it follows from the label")
    if forward.determines(min_accuracy=0.9, min_skill=0.75, min_coverage=0.2):
        return ColumnFinding(name, "warn", "names_label", f"its values nearly name the label: {_in_words(forward)}")
    return ColumnFinding(name, "pass")


def _is_quantity(name: str, column: pd.Series) -> bool:
    """Whether values that stand once each are a time, a place or a measurement for all that."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return infer_role(name, column)[0] not in ("ignored", "numeric")
    return is_time(column) or is_day_of_year(name, column) or is_hour(name, column) or decide_pairs(column).certain


def _in_words(association: Association) -> str:
    return (
        f"right for {association.accuracy:.1%} of the rows that share a value with others "
        f"({association.coverage:.0%} of all), where the commonest answer is right for {association.majority:.1%}"
    )


def _event_column(name: str, finding: ColumnFinding | None, event: Event, known: float) -> ColumnFinding:
    same = (
        f"it is the same for all specimens of one {event.name}" if name not in event.key else "it identifies the event"
    )
    if known > MUCH:
        reason = (
            f"{same}; {known:.0%} of the test specimens share an event with training, so that it acts as an event id"
        )
        return ColumnFinding(name, "drop", "event", reason)
    if finding is not None and finding.verdict == "warn":
        return finding
    return ColumnFinding(name, "warn", "event", f"{same}, and does not tell specimens of one event apart")


def brand(used: Mapping[str, str]) -> str:
    """Return the mark that every result with overridden columns carries.

    Args:
        used: reason for the override, by refused column.
    """
    return "LEAKY-FEATURES: " + "; ".join(f"{name} ({reason})" for name, reason in used.items()) if used else ""
