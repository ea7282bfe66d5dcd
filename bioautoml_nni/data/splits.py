"""Disjoint parts: weights-train, alpha-train, validation and test; seeded, stratified, and by group where asked."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from ..config.schema import DataConfig
from ..utils.errors import DataError
from ..utils.seeding import derive_seed
from .column_names import same_names
from .manifest import LABEL, SPLIT, as_strings
from .remark import Answer, Remark
from .roles import plain_name

WEIGHTS, ALPHA, VALIDATION, TEST = "weights_train", "alpha_train", "validation", "test"
PARTS = (WEIGHTS, ALPHA, VALIDATION, TEST)
TRAINING = (WEIGHTS, ALPHA)
"""What the final network is trained on."""
UNKNOWN = "unknown"
"""Specimens of labels that are no class; in no other part, and in none of `PARTS`."""
TRIALS = 2000


def mask(part: pd.Series, *wanted: str) -> np.ndarray:
    """Return whether each row is in one of the wanted parts (N,).

    >>> mask(pd.Series([WEIGHTS, TEST, ALPHA]), *TRAINING).tolist()
    [True, False, True]
    """
    return part.isin(wanted).to_numpy()


def divide(table: pd.DataFrame, settings: DataConfig, seed: int) -> pd.Series:
    """Return the part of each row; specimens of labels that are held out are in `UNKNOWN`.

    Args:
        table: a manifest's rows.
        settings: of the data: `split` and `hold_out`.
        seed: of the experiment; splits are drawn with it unless `split.seed` says otherwise.

    Raises:
        DataError: if a column is missing, a value is not assigned, or a part stays empty.
    """
    seed = seed if settings.split.seed is None else settings.split.seed
    learned = ~table[LABEL].isin(settings.hold_out)
    needed = {LABEL, SPLIT, settings.split.group, settings.split.column}
    table = table[[name for name in table if name in needed]]  # of many rows, copies of few columns
    return assign(table[learned], settings.split, seed).reindex(table.index, fill_value=UNKNOWN)


def unused_split(table: pd.DataFrame, settings: DataConfig) -> list[Remark]:
    """Remark on parts that the source states and that are not used, since the data are split again."""
    if SPLIT not in table or settings.split.method == "official":
        return []
    names = ", ".join(sorted(str(name) for name in table[SPLIT].dropna().unique())[:6])
    text = (
        f"The source divides the data into {names}, but data.split.method is {settings.split.method!r}: all are pooled "
        "and split again."
    )
    official = official_split(str(name) for name in table[SPLIT].dropna().unique())
    return [Remark("warning", "split", text, None if official is None else Answer("data.split", official, sure=True))]


def idle_group(table: pd.DataFrame, settings: DataConfig) -> list[Remark]:
    """Remark on a group that keeps nothing together, since no two specimens have a value of it in common."""
    group = settings.split.group
    if settings.split.method != "group" or group not in table:
        return []
    values = as_strings(table[group]).dropna()
    if len(values) < 2 or values.duplicated().any():
        return []
    text = (
        f"data.split.group {group!r} has another value in each of {len(values)} rows, so that it keeps nothing "
        "together; name the column of what was collected together, if there is one, or say that there is none."
    )
    return [Remark("note", "split", text, Answer("data.split", {"method": "stratified"}))]


PART_NAMES = {
    "train": ("train", "training", "treino", "treinamento", "entrenamiento", "entrainement", "apprentissage", "lern"),
    "validation": ("val", "valid", "validation", "dev", "validierung", "validacion", "validacao"),
    "test": ("test", "testing", "eval", "prueba", "pruebas", "teste", "testes"),
}
OF_DATA = re.compile(r"(?:s?daten|s?data|set|split|part|images?|bilder)$")
"""What follows the name of a part, as in trainset and Testdaten."""


def part_of(name: str) -> str | None:
    """Return the part that a folder or a value is plainly called like: train, validation or test; None for another.

    Example:
        >>> part_of('Train_Set'), part_of('Trainingsdaten'), part_of('trap')
        ('train', 'train', None)
    """
    letters = plain_name(name).replace("_", "")
    stems = (letters, OF_DATA.sub("", letters))
    return next((part for part, known in PART_NAMES.items() if any(stem in known for stem in stems)), None)


def official_split(names: Iterable[str]) -> dict[str, Any] | None:
    """Return the split that parts of these names most plainly are, None if some are called otherwise.

    Where there is no test split, the validation split is tested on, and another one drawn from the training split.
    """
    split: dict[str, Any] = {"method": "official"}
    for name in sorted(names):
        part = part_of(name)
        if part is None:
            return None
        split.setdefault(part, []).append(name)
    if "test" not in split and "validation" in split:
        split["test"] = split.pop("validation")
    return split if {"train", "test"} <= split.keys() else None


def assign(table: pd.DataFrame, settings: Any, seed: int) -> pd.Series:
    """Return the part of each row.

    Args:
        table: a manifest's table.
        settings: a `SplitConfig`: method (stratified, group, column or official), the columns and fractions.
        seed: of the random parts.

    Raises:
        DataError: if a column is missing, a value is not assigned, or a part stays empty.
    """
    groups = groups_of(table, settings.group)
    part = pd.Series(WEIGHTS, index=table.index, dtype=object)
    if settings.method in ("column", "official"):
        part = _by_column(table, settings)
    else:
        part[_fraction(table, groups, settings.test_fraction, derive_seed(seed, "test"))] = TEST
    train = part == WEIGHTS
    if not (part == VALIDATION).any():
        chosen = _fraction(table[train], _of(groups, train), settings.validation_fraction, derive_seed(seed, "val"))
        part[chosen] = VALIDATION
        train = part == WEIGHTS
    part[_fraction(table[train], _of(groups, train), settings.alpha_fraction, derive_seed(seed, "alpha"))] = ALPHA
    empty = [name for name in PARTS if not (part == name).any()]
    if empty:
        raise DataError(
            f"data.split: no specimen is left for {', '.join(empty)}; change the fractions or columns of data.split."
        )
    return part


def groups_of(table: pd.DataFrame, column: str | None) -> pd.Series | None:
    """Return the group of every row as text, those without one each in a group of their own; None without a column.

    Raises:
        DataError: if the table has no such column.
    """
    if column is None:
        return None
    if column not in table:
        raise DataError(f"data.split.group: the table has no column {column!r}; name one that it has.")
    values = as_strings(table[column])
    missing = values.isna()
    values[missing] = [f"<no group {row}>" for row in values.index[missing]]
    return values


def _of(groups: pd.Series | None, rows: pd.Series) -> pd.Series | None:
    return None if groups is None else groups[rows]


def _by_column(table: pd.DataFrame, settings: Any) -> pd.Series:
    column = SPLIT if settings.method == "official" else settings.column
    if column not in table:
        raise DataError(f"data.split.column: the table has no column {column!r}; name one that it has.")
    values = as_strings(table[column])
    wanted: dict[str, str] = {}
    for part, names in ((WEIGHTS, settings.train), (VALIDATION, settings.validation), (TEST, settings.test)):
        for name in names:
            wanted[str(name).strip()] = part
    different = [str(value) for value in values.dropna().unique()]
    wanted |= {value: wanted[name] for value, name in same_names(wanted, different).items()}
    unknown = sorted(set(different) - set(wanted))
    if unknown or values.isna().any():
        found = unknown[:5] + (["a missing value"] if values.isna().any() else [])
        raise DataError(
            f"data.split: column {column!r} holds {', '.join(found)}, which neither train, validation nor test names; "
            "add it to one of them or remove those rows."
        )
    return values.map(wanted)


def _fraction(table: pd.DataFrame, groups: pd.Series | None, fraction: float, seed: int) -> pd.Index:
    """Return the index of about `fraction` of the rows, stratified by label and never dividing a group."""
    if table.empty:
        return table.index[:0]
    if groups is not None:
        return table.index[_group_subset(table[LABEL], groups, fraction, seed)]
    if len(table) < 2:
        raise DataError("data.split: a single specimen cannot be divided; add data.")
    return table.index[_stratified_subset(table[LABEL], fraction, seed)]


def _stratified_subset(labels: pd.Series, fraction: float, seed: int) -> np.ndarray:
    """Return which rows belong to a random subset with `fraction` of every class.

    Counts that are not whole numbers are rounded at random, so that many rare classes together come to the fraction.
    Every class keeps a row outside of the subset.
    """
    rng = np.random.default_rng(seed)
    codes = pd.factorize(labels, sort=True)[0]
    chosen = np.zeros(len(labels), dtype=bool)
    by_class = np.split(np.argsort(codes, kind="stable"), np.bincount(codes).cumsum()[:-1])
    for members in by_class:
        rows = rng.permutation(members)
        chosen[rows[: min(int(fraction * len(rows) + rng.random()), len(rows) - 1)]] = True
    if not chosen.any():
        chosen[rng.integers(len(labels))] = True
    return chosen


def _group_subset(labels: pd.Series, groups: pd.Series, fraction: float, seed: int) -> np.ndarray:
    """Return which rows belong to the best of many random sets of whole groups.

    Groups (trap events, sites) are often few and of very different size and composition, so that folds over groups
    come out lopsided. The set chosen is the one whose class counts come nearest to `fraction` of each class, by the
    chi-square distance; a class of which the set holds nothing counts extra, one that it takes wholly ten times so.
    Specimens are counted by group and class where there are some: no array has groups times classes.
    """
    group_codes, names = pd.factorize(groups, sort=True)
    if len(names) < 2:
        raise DataError("data.split: a single group cannot be divided; name another split.group or add data.")
    class_codes, classes = pd.factorize(labels, sort=True)
    shape = (len(classes), len(names))
    counts = csr_array((np.ones(len(labels)), (class_codes, group_codes)), shape=shape)
    totals, sizes = (np.bincount(codes).astype(np.float64) for codes in (class_codes, group_codes))
    rng = np.random.default_rng(seed)
    best, best_distance = np.zeros(len(names), dtype=bool), np.inf
    for _ in range(int(np.clip(2_000_000 // len(names), 20, TRIALS))):
        order = rng.permutation(len(names))
        reached = sizes[order].cumsum()
        take = int(np.clip(np.abs(reached - fraction * len(labels)).argmin() + 1, 1, len(names) - 1))
        chosen = np.zeros(len(names), dtype=bool)
        chosen[order[:take]] = True
        held = counts @ chosen.astype(np.float64)
        lost = 10 * (held == totals).sum() + (held == 0).sum()
        distance = float((((held - fraction * totals) ** 2) / (fraction * totals)).sum() + lost)
        if distance < best_distance:
            best_distance, best = distance, chosen
    return best[group_codes]
