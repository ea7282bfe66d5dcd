"""Stage `prepare`: source to manifest, image cache, splits and fitted preprocessing."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from ..atomic import replacing, write_json, write_text
from ..data import splits
from ..data.images import build_cache
from ..data.manifest import ID, IMAGE, LABEL, Manifest
from ..data.metadata import MetadataPreprocessor
from ..errors import DataError
from ..registry import get
from ..training.progress import make_progress
from .run_directory import RunDirectory

CACHE = "cache/images.npy"


def prepare(run: RunDirectory, console: Console) -> None:
    """Write manifest.parquet, splits.csv, preprocessing.json, audit.json and the image cache.

    Raises:
        DataError: for data that cannot be used; nothing is recorded as done then.
    """
    settings = run.experiment.data
    source = get("sources", settings.source).target(settings.root, **settings.arguments)
    manifest: Manifest = source.load()
    table, dropped = _drop_rare(manifest.table, settings.rare_labels)
    if "metadata" in settings.modalities and not manifest.features():
        raise DataError(
            "data.modalities names metadata, but the table has no metadata column; give roles under data.columns or "
            "set data.modalities to [image]."
        )
    unreadable = pd.DataFrame(columns=[ID, IMAGE, "reason"])
    if "image" in settings.modalities:
        table, unreadable = _cache_images(run, manifest, table, console)
    part = splits.assign(table, settings.split, run.experiment.seed)
    train = part.isin([splits.WEIGHTS, splits.ALPHA])
    preprocessor = MetadataPreprocessor(manifest.features()).fit(table[train])
    classes = sorted(table[LABEL].unique())
    mean, std = _pixel_statistics(run, train.to_numpy()) if "image" in settings.modalities else (None, None)
    _write_text(run / "unreadable.csv", unreadable)
    with replacing(run / "manifest.parquet") as temporary:
        _parquet_ready(table).to_parquet(temporary, index=False)
    _write_text(run / "splits.csv", pd.DataFrame({"id": table[ID], "part": part}))
    write_json(
        run / "preprocessing.json",
        {
            "classes": classes,
            "rank": manifest.rank,
            "modalities": list(settings.modalities),
            "image": {"size": settings.image_size, "mean": mean, "std": std},
            "metadata": preprocessor.to_dict(),
        },
    )
    write_json(run / "audit.json", _audit(manifest, table, part, dropped, unreadable, settings))
    run.record(data_sha256=_digest(run, table))


def _drop_rare(table: pd.DataFrame, policy: str) -> tuple[pd.DataFrame, dict[str, int]]:
    counts = table[LABEL].value_counts()
    if len(counts) < 2:
        raise DataError(
            f"All {len(table)} specimens have the label {counts.index[0]!r}; two classes at least are needed."
        )
    rare = counts[counts < 2]
    if rare.empty:
        return table, {}
    names = ", ".join(repr(name) for name in rare.index[:5]) + (" and others" if len(rare) > 5 else "")
    if policy == "error":
        raise DataError(
            f"Label {names} has one specimen only, which cannot be both learned and tested; merge it with "
            "another label or set data.rare_labels=drop."
        )
    return table[~table[LABEL].isin(rare.index)].reset_index(drop=True), {str(name): 1 for name in rare.index}


def _cache_images(
    run: RunDirectory, manifest: Manifest, table: pd.DataFrame, console: Console
) -> tuple[pd.DataFrame, pd.DataFrame]:
    settings = run.experiment.data
    paths = table[IMAGE].tolist()
    cache = run / CACHE
    with make_progress(console) as progress:
        task = progress.add_task("images", total=len(paths), note="")
        workers = os.cpu_count() or 1
        failures = build_cache(
            manifest.image_root, paths, settings.image_size, cache, workers, lambda: progress.advance(task)
        )
    if not failures:
        return table, pd.DataFrame(columns=[ID, IMAGE, "reason"])
    unreadable = table.loc[list(failures), [ID, IMAGE]].assign(reason=list(failures.values()))
    share = len(failures) / len(table)
    if share > settings.max_unreadable:
        _write_text(run / "unreadable.csv", unreadable)
        cache.unlink(missing_ok=True)
        first = unreadable.iloc[0]
        raise DataError(
            f"{len(failures)} of {len(table)} images ({share:.1%}) cannot be read, more than data.max_unreadable="
            f"{settings.max_unreadable:g}; the first is {first[IMAGE]} ({first['reason']}), all are in "
            f"{run / 'unreadable.csv'}."
        )
    console.print(f"[yellow]{len(failures)} unreadable images left out; they are named in {run / 'unreadable.csv'}.")
    kept = np.setdiff1d(np.arange(len(table)), list(failures))
    pixels = np.load(cache, mmap_mode="r", allow_pickle=False)
    with replacing(cache) as temporary:
        compact = np.lib.format.open_memmap(temporary, "w+", np.uint8, (len(kept), *pixels.shape[1:]))
        compact[:] = pixels[kept]
        compact.flush()
    return _drop_rare(table.iloc[kept].reset_index(drop=True), "error")[0], unreadable


def _pixel_statistics(run: RunDirectory, train: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel over at most 2,000 training images, of values in [0, 1]."""
    pixels = np.load(run / CACHE, mmap_mode="r", allow_pickle=False)
    rows = np.flatnonzero(train)
    rows = rows[:: max(1, len(rows) // 2000)]
    values = pixels[rows].reshape(-1, 3).astype(np.float64) / 255
    return values.mean(0).round(5).tolist(), values.std(0).clip(1e-3).round(5).tolist()


def _audit(
    manifest: Manifest,
    table: pd.DataFrame,
    part: pd.Series,
    dropped: dict[str, int],
    unreadable: pd.DataFrame,
    settings: Any,
) -> dict[str, Any]:
    counts = pd.crosstab(table[LABEL], part).reindex(columns=list(splits.PARTS), fill_value=0)
    group = settings.split.group
    crossing = (
        int((table.assign(test=part == splits.TEST).groupby(group)["test"].nunique() > 1).sum()) if group else None
    )
    return {
        "specimens": len(table),
        "labels_dropped": dropped,
        "unreadable_images": len(unreadable),
        "split_sizes": {name: int((part == name).sum()) for name in splits.PARTS},
        "groups_that_cross_into_test": crossing,
        "class_counts": {str(name): {p: int(n) for p, n in row.items()} for name, row in counts.iterrows()},
        "columns": {str(name): role for name, role in manifest.roles.items()},
        "notes": manifest.notes,
    }


def _parquet_ready(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with object columns of mixed kinds as text, which Parquet requires."""
    ready = table.copy()
    for name in ready.columns:
        if ready[name].dtype == object:
            ready[name] = ready[name].map(lambda value: None if pd.isna(value) else str(value))
    ready.columns = [str(name) for name in ready.columns]
    return ready


def _write_text(path: Path, table: pd.DataFrame) -> None:
    write_text(path, table.to_csv(index=False))


def _digest(run: RunDirectory, table: pd.DataFrame) -> str:
    digest = hashlib.sha256(table.to_csv(index=False).encode())
    if (run / CACHE).is_file() and "image" in run.experiment.data.modalities:
        with (run / CACHE).open("rb") as stream:
            for block in iter(lambda: stream.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()
