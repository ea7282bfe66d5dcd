"""Stage `prepare`: audited data to manifest, splits and fitted preprocessing."""

from __future__ import annotations

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape

from ..artifacts.preprocessing import ImageInput, Preprocessing
from ..audit.examine import Examination, examine
from ..data.classes import table_of_labels
from ..data.image_store import Pixels
from ..data.manifest import ID, LABEL, Manifest
from ..data.metadata import MetadataPreprocessor
from ..data.naming import Naming
from ..data.own_csv import csv_text
from ..runs.directory import RunDirectory
from ..runs.encoders import require_encoders
from ..runs.places import images_digest
from ..runs.prepared import NORMALISATION_REVISION
from ..runs.teacher import require_teacher
from ..utils.atomic import replacing, write_text
from ..utils.errors import DataError


def prepare(run: RunDirectory, console: Console, manifest: Manifest | None = None) -> None:
    """Write manifest.parquet, splits.csv, labels.csv, preprocessing.json, audit.json and unreadable.csv.

    Args:
        manifest: the source's own by default.

    Raises:
        DataError: for data that cannot be used, with every reason; nothing is recorded as done then.
        RunDirectoryError: if the teacher of the training is neither a run nor an encoder nor a table.
        EncoderError: if the weights of an encoder cannot be had.
    """
    settings = run.experiment.data
    require_teacher(run)  # these are needed much later; better to know now
    require_encoders(run.experiment, console)
    found = examine(run.experiment, console, manifest)
    data = found.data
    write_text(run / "unreadable.csv", csv_text(data.unreadable))
    found.audit.write(run / "audit.json")
    if found.refusals:
        raise DataError("\n".join([*found.refusals, f"All findings are in {run / 'audit.json'}."]))
    _tell(found, run, console)
    preprocessor = MetadataPreprocessor(
        data.manifest.features(), **settings.encoding.model_dump(), forms=data.manifest.forms,
        missing=data.manifest.missing,
    )  # fmt: skip
    preprocessor.fit(data.table[data.in_training])
    with replacing(run / "manifest.parquet") as temporary:
        _parquet_ready(data.table).to_parquet(temporary, index=False)
    naming = data.manifest.naming or Naming()
    held_out = sorted(data.table[LABEL][~data.learned].unique())
    write_text(run / "labels.csv", csv_text(table_of_labels(naming, data.labels_dropped, held_out)))
    write_text(run / "splits.csv", csv_text(pd.DataFrame({"id": data.table[ID], "part": data.part})))
    Preprocessing(
        classes=sorted(data.table[LABEL][data.learned].unique()),
        rank=data.manifest.rank,
        modalities=list(settings.modalities),
        image=_image_input(data.pixels, np.flatnonzero(data.in_training)),
        image_root=str(data.manifest.image_root.resolve()),
        metadata=preprocessor.to_dict(),
        labels=naming.state(),
        brand=found.audit.brand,
    ).write(run / "preprocessing.json")
    images = {} if data.facts is None else {"images_sha256": images_digest(data.facts)}
    run.record(data_sha256=data.digest(), origin=data.manifest.origin, **images)


def _tell(found: Examination, run: RunDirectory, console: Console) -> None:
    if len(found.data.unreadable):
        text = f"{len(found.data.unreadable)} unreadable images left out; they are named in {run / 'unreadable.csv'}."
        console.print(f"[yellow]{escape(text)}", highlight=False, soft_wrap=True)
    warnings = [remark for remark in found.judged.remarks if remark.level == "warning" and remark.topic != "unreadable"]
    for remark in warnings:
        console.print(f"[yellow]warning:[/] {escape(remark.text)}", highlight=False, soft_wrap=True)


def _image_input(pixels: Pixels | None, training: np.ndarray) -> ImageInput:
    """Return the size of the images and how they are normalised, each None without images."""
    size, mean, std = None, None, None
    if pixels is not None:
        mean, std = _pixel_statistics(pixels, training)
        size = int(pixels.batch(np.array([0])).shape[1])
    return ImageInput(size=size, mean=mean, std=std, revision=NORMALISATION_REVISION)


def _pixel_statistics(pixels: Pixels, rows: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel over at most 2,000 training images, of values in [0, 1].

    From the 256 counts of each channel, which need no copy of the images in double precision.
    """
    values = pixels.batch(rows[:: max(1, len(rows) // 2000)]).reshape(-1, 3)
    counts = np.stack([np.bincount(channel, minlength=256) for channel in values.T])
    levels = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ levels
    variance = (shares * (levels - mean[:, None]) ** 2).sum(axis=1)
    return mean.round(5).tolist(), np.sqrt(variance).clip(1e-3).round(5).tolist()


def _parquet_ready(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with object columns of mixed kinds as text, which Parquet requires."""
    ready = table.copy(deep=False)
    for name in ready.columns:
        if ready[name].dtype == object:
            ready[name] = ready[name].map(lambda value: None if pd.isna(value) else str(value))
    ready.columns = [str(name) for name in ready.columns]
    return ready
