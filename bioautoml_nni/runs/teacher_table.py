"""A teacher that was made elsewhere: a Parquet of logits, or of embeddings, by specimen id."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from ..data import splits
from ..data.manifest import ID
from ..features.probe import LinearProbe, fit_probe
from ..utils.errors import DataError
from .prepared import PreparedData
from .teacher_asked import Asked

LOGIT, EMBEDDING, LEARNED = "logit_", "embedding", "learned"


def read_teacher(file: Path, key: str) -> pd.DataFrame:
    """Return the table with its first column's ids as index, as text.

    Args:
        key: of the configuration, for the messages.

    Raises:
        DataError: if it cannot be read, names a specimen twice, or holds neither logits nor embeddings.
    """
    try:
        table = pd.read_parquet(file)
    except FileNotFoundError as error:
        raise DataError(f"{file}: {key}: there is no such file.") from error
    except Exception as error:  # pyarrow's errors have no common base
        raise DataError(f"{file}: {key}: cannot be read as Parquet ({' '.join(str(error).split())[:160]}).") from error
    ids = next((name for name in ("id", "specimen_id", ID, *table) if name in table), None)
    if ids is None:
        raise DataError(f"{file}: {key}: is empty; it needs a column id and a column for each class.")
    table = table.set_index(table[ids].astype(str)).drop(columns=ids)
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()][0]
        raise DataError(f"{file}: {key}: names specimen {twice} twice; keep one row of each.")
    return table


def table_logits(file: Path, asked: Asked) -> np.ndarray:
    """Return logits under the training prior (N, K) of the rows that are asked for, NaN elsewhere.

    Logits stand in one column for each class, named as the class or, as `bioautoml predict --logits` writes them,
    ``logit_`` and the class; they are taken as logits under the training prior. Embeddings stand in a column
    ``embedding`` of lists; a logistic regression is fitted to those of the training split alone. A column ``learned``
    tells which specimens the teacher was trained on.

    Raises:
        DataError: if specimens are missing, classes differ, values are not finite, or the teacher learned from
            specimens that the run validates or tests with.
    """
    data, wanted = asked.data, asked.rows
    table = read_teacher(file, asked.key)
    where = f"{file}: {asked.key}"
    ids = data.table[ID].astype(str)
    missing = ids[wanted][~ids[wanted].isin(table.index)]
    if len(missing):
        raise DataError(
            f"{where}: lacks {len(missing)} of {int(wanted.sum())} training specimens, such as {missing.iloc[0]}; add "
            "them, or check that its ids are those of this experiment."
        )
    _require_honest(table, where, ids[~data.in_training], asked.console)
    rows = table.loc[ids[wanted]]
    logits = np.full((len(ids), len(data.classes)), np.nan, np.float32)
    if EMBEDDING in table:
        logits[wanted] = _of_embeddings(rows[EMBEDDING], where, asked)
    else:
        logits[wanted] = _of_classes(rows, where, data.classes)
    if not np.isfinite(logits[wanted]).all():
        broken = ids[wanted][~np.isfinite(logits[wanted]).all(1)].iloc[0]
        raise DataError(
            f"{where}: has values that are not finite, such as those of specimen {broken}; make them again."
        )
    return logits


def _require_honest(table: pd.DataFrame, where: str, held_out: pd.Series, console: Console) -> None:
    if LEARNED not in table:
        console.print(
            f"[yellow]warning:[/] {where}: does not say (by a column {LEARNED!r}) what its teacher was trained on; if "
            "validation or test specimens were among it, scores of this run are not honest.",
            highlight=False,
            soft_wrap=True,
        )
        return
    learned = table.index[table[LEARNED].fillna(False).astype(bool)]
    seen = int(held_out.isin(learned).sum())
    if seen:
        raise DataError(
            f"{where}: was trained on {seen} of the specimens that this run validates and tests with, so its scores "
            "would not be honest; train the teacher with the same split and seed."
        )


def _of_classes(rows: pd.DataFrame, where: str, classes: list[str]) -> np.ndarray:
    prefixed = any(str(name).startswith(LOGIT) for name in rows)
    names = {str(name).removeprefix(LOGIT): name for name in rows if not prefixed or str(name).startswith(LOGIT)}
    names.pop(LEARNED, None)
    differing = sorted(set(names) ^ set(classes))
    if differing:
        raise DataError(
            f"{where}: has other classes than this run ({', '.join(differing[:5])}); it needs one column for each of "
            f"the {len(classes)} classes, and else only id and {LEARNED}."
        )
    try:
        return rows[[names[name] for name in classes]].to_numpy(np.float32)
    except ValueError as error:
        raise DataError(f"{where}: has logits that are no numbers ({error}).") from error


def _of_embeddings(values: pd.Series, where: str, asked: Asked) -> np.ndarray:
    try:
        features = np.stack([np.asarray(value, np.float32) for value in values])
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}: column {EMBEDDING!r} must hold lists of one length ({error}).") from error
    if features.ndim != 2 or not np.isfinite(features).all():
        raise DataError(f"{where}: column {EMBEDDING!r} must hold lists of finite numbers.")
    learned = asked.data.in_training[asked.rows]
    return fit_head(features[learned], asked.data).logits(features)


def fit_head(features: np.ndarray, data: PreparedData) -> LinearProbe:
    """Return a head that the training split alone has taught: its decay by alpha-train.

    Args:
        features: (n, D) of the training split, in the manifest's order.
    """
    part = data.part[data.in_training].to_numpy()
    target = data.targets[data.in_training]
    first, second = part == splits.WEIGHTS, part == splits.ALPHA
    return fit_probe(features[first], target[first], features[second], target[second], len(data.classes))
