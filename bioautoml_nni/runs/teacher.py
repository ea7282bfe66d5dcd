"""The teacher of a distillation: the network of an earlier run, an encoder with a head, or a table made elsewhere.

Whatever it is, it gives natural logits of the specimens that the network is trained on, and was itself trained on none
that the run validates or tests with.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from ..data import splits
from ..data.manifest import ID, IMAGE
from ..registry import plugins
from ..utils.errors import DataError, RunDirectoryError
from ..utils.progress import make_progress
from .directory import RunDirectory
from .networks import load_model, predict_logits
from .prepared import PreparedData
from .probe import learned_parts
from .teacher_encoder import encoder_logits
from .teacher_table import read_teacher, table_logits

KEY = "training.distillation.teacher"


def teacher_logits(run: RunDirectory, data: PreparedData, console: Console) -> np.ndarray | None:
    """Return the teacher's natural logits (N, K) of all rows, NaN where not trained on; None without a teacher.

    A run sees each training picture once, unchanged, at its own size and with its own reading of the metadata. An
    encoder's head is fitted to the training part alone, once, and kept in the run. A table is taken as it is.

    Raises:
        DataError: if it names other classes, lacks specimens, or was trained on specimens that this run validates or
            tests with.
    """
    settings = run.experiment.training.distillation
    if settings is None:
        return None
    if is_table(settings.teacher):
        return table_logits(Path(settings.teacher), KEY, data, console)
    if is_encoder(settings.teacher):
        return encoder_logits(settings.teacher, KEY, run, data, console)
    return _run_logits(Path(settings.teacher), data, console)


def require_teacher(run: RunDirectory) -> None:
    """Check what can be checked of a run's teacher before anything is trained.

    Raises:
        RunDirectoryError: if it is no run, no encoder and no table.
        DataError: for a table that cannot be read.
    """
    settings = run.experiment.training.distillation
    if settings is None or is_encoder(settings.teacher):
        return
    if is_table(settings.teacher):
        read_teacher(Path(settings.teacher), KEY)
        return
    try:
        RunDirectory.open(Path(settings.teacher))
    except RunDirectoryError as error:
        raise RunDirectoryError(f"{error} A teacher may also be an encoder or a .parquet of logits.") from error


def is_encoder(teacher: str) -> bool:
    """Whether a teacher is named by an encoder: its plug-in stands before the colon, and there is no such folder."""
    return teacher.partition(":")[0] in plugins("encoders") and not Path(teacher).is_dir()


def is_table(teacher: str) -> bool:
    """Whether a teacher is a table of logits or embeddings."""
    return Path(teacher).suffix.lower() == ".parquet"


def _run_logits(folder: Path, data: PreparedData, console: Console) -> np.ndarray:
    other = RunDirectory.open(folder)
    other.require("retrain")
    taught = PreparedData.load(other)
    _require_fitting(folder, data, taught)
    network = load_model(other, taught)
    loss = taught.loss()
    asked = dataclasses.replace(
        taught, table=data.table, part=data.part, targets=data.targets, image_root=data.image_root,
        metadata=taught.preprocessor.transform(data.table),
    )  # fmt: skip
    logits = np.full((len(data.table), len(data.classes)), np.nan, np.float32)
    with make_progress(console) as progress:
        task = progress.add_task("teacher", total=int(data.in_training.sum()), note="")
        for part in (splits.WEIGHTS, splits.ALPHA):
            found, _ = predict_logits(asked, network, part, lambda count: progress.advance(task, count))
            logits[(data.part == part).to_numpy()] = loss.natural_logits(found).numpy()
    return logits


def _require_fitting(folder: Path, data: PreparedData, taught: PreparedData) -> None:
    where = f"{folder}: {KEY}"
    if taught.classes != data.classes:
        differing = sorted(set(taught.classes) ^ set(data.classes))
        raise DataError(f"{where}: knows other classes ({', '.join(differing[:5])}); choose a run with the same ones.")
    by_image = taught.uses_images and data.uses_images
    known = _identities(taught, taught.part.isin(learned_parts(taught.run)).to_numpy(), by_image)
    seen = int(_identities(data, ~data.in_training, by_image).isin(known).sum())
    if seen:
        raise DataError(
            f"{where}: was trained on {seen} of the specimens that this run validates and tests with, so its scores "
            "would not be honest; train the teacher with the same split and seed."
        )


def _identities(data: PreparedData, rows: np.ndarray, by_image: bool) -> pd.Series:
    """Return what tells specimens of two runs apart: the content of their images, or their ids."""
    if not by_image:
        return data.table[ID][rows]
    return data.image_store().verified(data.table[IMAGE][rows].tolist())["digest"]
