"""The teacher of a distillation: the network of an earlier run."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
from rich.console import Console

from ..audit.examine import image_store
from ..config.schema import DistillationConfig
from ..data import splits
from ..data.manifest import ID, IMAGE
from ..utils.errors import DataError
from ..utils.progress import make_progress
from .networks import load_model, predict_logits
from .prepared import PreparedData
from .probe import learned_parts
from .directory import RunDirectory


def teacher_logits(run: RunDirectory, data: PreparedData, console: Console) -> np.ndarray | None:
    """Return the teacher's natural logits (N, K) of all rows, NaN where not trained on; None without a teacher.

    The teacher sees each training picture once, unchanged, at its own size and with its own reading of the metadata.

    Raises:
        DataError: if it names other classes, or was trained on specimens that this run validates or tests with.
    """
    settings = run.experiment.training.distillation
    if settings is None:
        return None
    other = RunDirectory.open(settings.teacher)
    other.require("retrain")
    taught = PreparedData.load(other)
    _require_fitting(settings, data, taught)
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


def _require_fitting(settings: DistillationConfig, data: PreparedData, taught: PreparedData) -> None:
    where = f"{settings.teacher}: training.distillation.teacher"
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
    store = image_store(data.run.experiment, data.image_root)
    return store.ensure(data.table[IMAGE][rows].tolist())["digest"]
