"""A teacher that was made elsewhere: a Parquet of logits, or of embeddings, by specimen id.

The file may hold far more specimens than the run. It is read block by block: first its ids, then of the row groups in
which specimens of the run stand the columns that are needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from ..data import splits
from ..data.manifest import ID
from ..features.probe import LinearProbe, fit_probe
from ..training.top_logits import Answers
from ..utils.errors import DataError
from .prepared import PreparedData
from .teacher_asked import Asked

LOGIT, EMBEDDING, LEARNED = "logit_", "embedding", "learned"

BLOCK_BYTES = 2**25
"""What the values of one block of rows may take, as double precision."""

BLOCK_ROWS = 2**16
"""Rows of a block at most."""

UNNAMED = "__index_level_"
"""How the column of a pandas index without a name begins."""


@dataclass(frozen=True)
class _Table:
    """A teacher's file, open.

    Attributes:
        files: parts, one of them unless the path is a folder.
        where: how messages begin.
        ids: name of the column of ids.
        columns: names of the others.
    """

    files: Sequence[pq.ParquetFile]
    where: str
    ids: str
    columns: Sequence[str]

    def blocks(self, columns: Sequence[str], groups: Sequence[Sequence[int]] | None = None) -> Iterator[pa.RecordBatch]:
        """Give some columns block by block.

        Args:
            groups: row groups that are read of each part; all by default.
        """
        rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // (8 * len(columns))))
        for number, file in enumerate(self.files):
            wanted = range(file.num_row_groups) if groups is None else groups[number]
            for group in wanted:
                yield from file.iter_batches(rows, row_groups=[group], columns=list(columns), use_threads=False)

    def places(self) -> Iterator[tuple[int, int, int]]:
        """Give part, row group and number of rows of all row groups, in the order of `blocks`."""
        for number, file in enumerate(self.files):
            for group in range(file.num_row_groups):
                yield number, group, file.metadata.row_group(group).num_rows


@contextmanager
def _opened(file: Path, key: str) -> Iterator[_Table]:
    """Open a teacher's file; what goes wrong in reading it is one sentence.

    Args:
        key: of the configuration, for the messages.

    Raises:
        DataError: if it cannot be read, or has no columns.
    """
    where = f"{file}: {key}"
    try:
        with ExitStack() as stack:
            paths = sorted(file.rglob("*.parquet")) if file.is_dir() else [file]
            files = [stack.enter_context(pq.ParquetFile(path, memory_map=True)) for path in paths]
            names = [name for name in files[0].schema_arrow.names if not name.startswith(UNNAMED)] if files else []
            ids = next((name for name in ("id", "specimen_id", ID, *names) if name in names), None)
            if ids is None:
                raise DataError(f"{where}: is empty; it needs a column id and a column for each class.")
            yield _Table(files, where, ids, [name for name in names if name != ids])
    except FileNotFoundError as error:
        raise DataError(f"{where}: there is no such file.") from error
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{where}: cannot be read as Parquet ({' '.join(str(error).split())[:160]}).") from error


def check_teacher(file: Path, key: str, features: bool) -> None:
    """Check what can be checked of a table before anything is trained, reading its ids alone.

    Args:
        key: of the configuration, for the messages.
        features: whether its features are wanted.

    Raises:
        DataError: if it cannot be read, names a specimen twice, or has no features though they are wanted.
    """
    with _opened(file, key) as table:
        if features:
            _require_features(table, key)
        digests = np.concatenate(
            [np.zeros(0, np.uint64), *(pd.util.hash_array(_texts(block, 0)) for block in table.blocks([table.ids]))]
        )
        known, counts = np.unique(digests, return_counts=True)
        if (counts > 1).any():  # by their digests, which takes eight bytes an id; now by the ids
            texts = (_texts(block, 0) for block in table.blocks([table.ids]))
            again = [found[np.isin(pd.util.hash_array(found), known[counts > 1])] for found in texts]
            ids, often = np.unique(np.concatenate(again).astype(str), return_counts=True)
            _require_each_once(table.where, pd.Index(ids), np.zeros(len(ids), bool), often)


def _require_features(table: _Table, key: str) -> None:
    if EMBEDDING not in table.columns:
        raise DataError(
            f"{table.where}: has no column {EMBEDDING!r} of features, which {key.removesuffix('teacher')}features asks "
            "for; add it, or set that to 0."
        )


def _texts(block: pa.RecordBatch, column: int) -> np.ndarray:
    """Return a column of a block as text."""
    return block.column(column).to_pandas().astype(str).to_numpy(object)


def table_answers(file: Path, asked: Asked) -> Answers:
    """Return what a table says under the training prior of the rows that are asked for.

    Logits stand in one column for each class, named as the class or, as `bioautoml predict --logits` writes them,
    ``logit_`` and the class; they are taken as logits under the training prior. Embeddings stand in a column
    ``embedding`` of lists: they are the teacher's features. Where there are no logits beside them, a logistic
    regression gives these, which is fitted to the training split alone. A column ``learned`` tells which specimens the
    teacher was trained on.

    Raises:
        DataError: if specimens are missing, classes differ, values are not finite, features are wanted and there are
            none, or the teacher learned from specimens that the run validates or tests with.
    """
    with _opened(file, asked.key) as table:
        classes = _class_columns(table, asked.data.classes)
        if asked.features:
            _require_features(table, asked.key)
        groups = _wanted_groups(table, asked)
        answers = asked.plain_answers()
        rows = np.flatnonzero(asked.rows)
        for places, block in _wanted(table, classes, groups, asked) if classes else ():
            answers.put(0, rows[places], _finite(table, asked, rows[places], _of_classes(table, block)))
        if classes and not asked.features:
            return answers
        features = _embeddings(table, groups, asked)
    if asked.features:
        answers.put_features(0, rows, features)
    if classes:
        return answers
    head = fit_head(features[asked.data.in_training[asked.rows]], asked.data)
    for start in range(0, len(rows), BLOCK_ROWS):
        block_of = slice(start, start + BLOCK_ROWS)
        answers.put(0, rows[block_of], head.logits(features[block_of]).astype(np.float32))
    return answers


def require_fitting_table(file: Path, asked: Asked) -> None:
    """Check what can be checked of a table without reading its values: ids, classes, and what its teacher has seen.

    Raises:
        DataError: see `table_answers`.
    """
    with _opened(file, asked.key) as table:
        _class_columns(table, asked.data.classes)
        _wanted_groups(table, asked)


def _wanted_groups(table: _Table, asked: Asked) -> list[list[int]]:
    """Return of each part the row groups in which specimens that are asked for stand.

    Raises:
        DataError: if some stand nowhere or twice, or the teacher has learned from what it may not have seen.
    """
    ids = asked.data.table[ID].astype(str)
    known = pd.Index(ids.unique())
    wanted, held_out = (_marked(known, ids[rows]) for rows in (asked.rows, ~asked.data.in_training))
    counts = np.zeros(len(known), np.int64)
    found: list[np.ndarray] = [np.zeros(0, np.int64)]
    seen = position = 0
    says = LEARNED in table.columns
    for block in table.blocks([table.ids, *([LEARNED] if says else [])]):
        code = known.get_indexer(pd.Index(_texts(block, 0)))
        here = code >= 0
        counts += np.bincount(code[here], minlength=len(known))
        found.append(position + np.flatnonzero(here & wanted[code]))
        position += len(code)
        if says:
            learned = block.column(1).to_pandas().fillna(False).astype(bool).to_numpy()
            seen += int(held_out[code[here & learned]].sum())
    _require_each_once(table.where, known, wanted, counts)
    _require_honest(table.where, says, seen, asked.console)
    return _groups_of(table, np.concatenate(found))


def _marked(known: pd.Index, ids: pd.Series) -> np.ndarray:
    """Return whether each of `known` is among ids."""
    marked = np.zeros(len(known), bool)
    marked[known.get_indexer(pd.Index(ids))] = True
    return marked


def _require_each_once(where: str, known: pd.Index, wanted: np.ndarray, counts: np.ndarray) -> None:
    if (counts > 1).any():
        raise DataError(f"{where}: names specimen {known[counts > 1][0]} twice; keep one row of each.")
    missing = known[wanted & (counts == 0)]
    if len(missing):
        raise DataError(
            f"{where}: lacks {len(missing)} of {int(wanted.sum())} training specimens, such as {missing[0]}; add "
            "them, or check that its ids are those of this experiment."
        )


def _groups_of(table: _Table, positions: np.ndarray) -> list[list[int]]:
    """Return of each part the row groups that hold some rows, which are counted over all parts."""
    groups: list[list[int]] = [[] for _ in table.files]
    start = 0
    for part, group, count in table.places():
        if ((positions >= start) & (positions < start + count)).any():
            groups[part].append(group)
        start += count
    return groups


def _require_honest(where: str, says: bool, seen: int, console: Console) -> None:
    if not says:
        console.print(
            f"[yellow]warning:[/] {where}: does not say (by a column {LEARNED!r}) what its teacher was trained on; if "
            "validation or test specimens were among it, scores of this run are not honest.",
            highlight=False,
            soft_wrap=True,
        )
    if seen:
        raise DataError(
            f"{where}: was trained on {seen} of the specimens that this run validates and tests with, so its scores "
            "would not be honest; train the teacher with the same split and seed."
        )


def _wanted(
    table: _Table, columns: Sequence[str], groups: Sequence[Sequence[int]], asked: Asked
) -> Iterator[tuple[np.ndarray, pa.RecordBatch]]:
    """Give, block by block, columns of the specimens that are asked for, and their places among these (n,)."""
    ids = asked.data.table[ID].astype(str)[asked.rows]
    known = pd.Index(ids.unique())
    codes = known.get_indexer(pd.Index(ids))
    order = np.argsort(codes, kind="stable")
    first, last = (np.searchsorted(codes[order], np.arange(len(known)), side) for side in ("left", "right"))
    for block in table.blocks([table.ids, *columns], groups):
        code = known.get_indexer(pd.Index(_texts(block, 0)))
        here = np.flatnonzero(code >= 0)
        if not len(here):
            continue
        taken = block.select(list(columns)).take(pa.array(here))
        counts = last[code[here]] - first[code[here]]  # runs of old versions may name a specimen more than once
        for number in range(counts.max()):
            more = counts > number
            yield order[first[code[here[more]]] + number], taken.filter(pa.array(more))


def _class_columns(table: _Table, classes: Sequence[str]) -> list[str]:
    """Return the columns of the classes, in their order; none of a table that has embeddings in their place.

    Raises:
        DataError: if the table has others.
    """
    prefixed = any(name.startswith(LOGIT) for name in table.columns)
    if EMBEDDING in table.columns and not prefixed and not set(classes) <= set(table.columns):
        return []
    names = {name.removeprefix(LOGIT): name for name in table.columns if not prefixed or name.startswith(LOGIT)}
    for name in (LEARNED, EMBEDDING):
        if name not in classes:
            names.pop(name, None)
    differing = sorted(set(names) ^ set(classes))
    if differing:
        raise DataError(
            f"{table.where}: has other classes than this run ({', '.join(differing[:5])}); it needs one column for "
            f"each of the {len(classes)} classes, and else only id, {LEARNED} and {EMBEDDING}."
        )
    return [names[name] for name in classes]


def _of_classes(table: _Table, block: pa.RecordBatch) -> np.ndarray:
    try:
        return block.to_pandas().to_numpy(np.float32)
    except ValueError as error:
        raise DataError(f"{table.where}: has logits that are no numbers ({error}).") from error


def _finite(table: _Table, asked: Asked, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return values (n, K) of rows.

    Raises:
        DataError: if they are not finite.
    """
    broken = rows[~np.isfinite(values).all(1)]
    if len(broken):
        raise DataError(
            f"{table.where}: has values that are not finite, such as those of specimen "
            f"{asked.data.table[ID].iloc[broken[0]]}; make them again."
        )
    return values


def _embeddings(table: _Table, groups: Sequence[Sequence[int]], asked: Asked) -> np.ndarray:
    """Return the embeddings (n, D) of the specimens that are asked for."""
    features: Any = None
    for places, block in _wanted(table, [EMBEDDING], groups, asked):
        try:
            values = np.stack([np.asarray(value, np.float32) for value in block.column(0).to_pandas()])
            if features is None:
                features = np.full((int(asked.rows.sum()), *values.shape[1:]), np.nan, np.float32)
            features[places] = values
        except (TypeError, ValueError) as error:
            raise DataError(f"{table.where}: column {EMBEDDING!r} must hold lists of one length ({error}).") from error
    if features.ndim != 2 or not np.isfinite(features).all():
        raise DataError(f"{table.where}: column {EMBEDDING!r} must hold lists of finite numbers.")
    return np.asarray(features)


def fit_head(features: np.ndarray, data: PreparedData) -> LinearProbe:
    """Return a head that the training split alone has taught: its decay by alpha-train.

    Args:
        features: (n, D) of the training split, in the manifest's order.
    """
    part = data.part[data.in_training].to_numpy()
    target = data.targets[data.in_training]
    first, second = part == splits.WEIGHTS, part == splits.ALPHA
    return fit_probe(features[first], target[first], features[second], target[second], len(data.classes))
