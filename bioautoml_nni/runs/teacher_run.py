"""A teacher that is the network of an earlier run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..data import splits
from ..data.image_store import Pixels
from ..data.manifest import ID, IMAGE
from ..data.metadata import EncodedMetadata
from ..features.store import seen
from ..features.trunk import normalised
from ..training.distillation import KnownLogits
from ..training.teacher_features import ClassifierInput
from ..training.top_logits import Answers, TopLogits, top_of
from ..utils.errors import DataError
from ..utils.progress import make_progress
from .before_refit import network_before_refit
from .directory import RunDirectory
from .networks import load_model, predict_outputs
from .prepared import PreparedData
from .probe import learned_parts
from .teacher_asked import Asked


class RunTeacher:
    """The network of an earlier run as the teacher of another.

    One that has learned from the validation split too teaches a refit; before, it teaches as it was without.

    Raises:
        DataError: if it knows other classes, or was trained on specimens that the other validates or tests with.
        RunDirectoryError: if it has no trained network.
    """

    def __init__(self, folder: Path, asked: Asked) -> None:
        self.asked = asked
        self.taught = fitting_data(folder, asked)
        network = load_model if asked.refit else network_before_refit
        self.model = network(self.taught.run, self.taught)
        self.read = ClassifierInput(self.model, f"{folder}: {asked.key}") if asked.features else None

    @property
    def size(self) -> int:
        """Edge of its images; that of the student's where it sees none."""
        return int(self.taught.image_size or self.asked.data.image_size or 0)

    @cached_property
    def metadata(self) -> EncodedMetadata:
        """The metadata of all rows as it reads them."""
        return self.taught.preprocessor.transform(self.asked.data.table)

    def teacher(self) -> KnownLogits | TopLogits:
        """Return what it says under the training prior of the rows that are asked for."""
        data = self.asked.data
        asked = dataclasses.replace(
            self.taught, table=data.table, part=data.part, targets=data.targets, image_root=data.image_root,
            metadata=self.metadata,
        )  # fmt: skip
        found = self.asked.answers()
        with make_progress(self.asked.console) as progress:
            task = progress.add_task("teacher", total=self.asked.views * int(self.asked.rows.sum()), note="")
            for view in range(self.asked.views):
                in_view = _in_view(asked, view)
                for part in data.part[self.asked.rows].unique():
                    self._answer(found, in_view, view, part, lambda count: progress.advance(task, count))
        return found.teacher()

    def _answer(
        self, found: Answers, asked: PreparedData, view: int, part: str, advance: Callable[[int], None]
    ) -> None:
        """Answer about a part in one view; of many classes a batch at a time is known whole."""
        loss, rows, k = self.taught.loss(), self.asked.data.mask_of(part), found.top_k

        def ask(batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
            logits = loss.prior_logits(self.model(batch))
            said = (logits,) if k is None else top_of(logits, k, found.temperature)
            return said if self.read is None else (*said, self.read.taken())

        said = predict_outputs(asked, ask, part, self.model, loss, advance=advance)
        if self.read is not None:
            found.put_features(view, rows, said[-1].numpy())
        if k is None:
            found.put(view, rows, said[0].numpy())
        else:
            found.put_top(view, rows, *said[:3])

    def network(self) -> nn.Module:
        """Return it as a network from pixels and metadata to logits under the training prior, and features."""
        return _Natural(self.model, self.taught, self.read)


class _Natural(nn.Module):
    """A run's network that takes pixels, and gives logits under the training prior, and features if they are wanted."""

    def __init__(self, network: nn.Module, data: PreparedData, read: ClassifierInput | None) -> None:
        super().__init__()
        self.network = network
        self.read = read
        self.loss = data.loss()
        self.normalisation = data.image.normalisation if data.uses_images else None

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Return logits (N, K) and features (N, D) for ``image``, pixels (N, 3, S, S) in [0, 1], and metadata."""
        inputs = dict(batch)
        if self.normalisation is not None:
            inputs["image"] = normalised(batch["image"], *self.normalisation)
        under_prior: Tensor = self.loss.prior_logits(self.network(inputs))
        return under_prior, None if self.read is None else self.read.taken()


@dataclass(frozen=True)
class _TurnedPixels:
    """Pixels in one of the eight views of a square (`features.store.seen`)."""

    pixels: Pixels
    view: int

    @property
    def workers(self) -> int:
        return self.pixels.workers

    def batch(self, positions: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(self.pixels.batch(positions)).permute(0, 3, 1, 2)
        return np.ascontiguousarray(seen(images, self.view).permute(0, 2, 3, 1).numpy())


def _in_view(data: PreparedData, view: int) -> PreparedData:
    """Return the same specimens with their images in one view."""
    if not view or not data.uses_images:
        return data
    turned: Any = data.as_images()
    assert data.pixels is not None  # images are used
    vars(turned)["pixels"] = _TurnedPixels(data.pixels, view)  # where a cached property keeps its value
    return turned


def fitting_data(folder: Path, asked: Asked) -> PreparedData:
    """Return the data of a run that may teach, whose network is trained.

    Raises:
        DataError, RunDirectoryError: see `RunTeacher`.
    """
    other = RunDirectory.open(folder)
    other.require("retrain")
    taught = PreparedData.load(other)
    _require_fitting(f"{folder}: {asked.key}", asked, taught)
    return taught


def _require_fitting(where: str, asked: Asked, taught: PreparedData) -> None:
    data = asked.data
    if taught.classes != data.classes:
        differing = sorted(set(taught.classes) ^ set(data.classes))
        raise DataError(f"{where}: knows other classes ({', '.join(differing[:5])}); choose a run with the same ones.")
    by_image = taught.uses_images and data.uses_images
    learned = learned_parts(taught.run) if asked.refit else splits.TRAINING
    known = _identities(taught, splits.mask(taught.part, *learned), by_image)
    honest = _identities(data, ~asked.learned, by_image)
    found = int(honest.isin(known).sum())
    if found:
        raise DataError(
            f"{where}: was trained on {found} of the specimens that this run validates and tests with, so its scores "
            "would not be honest; train the teacher with the same split and seed."
        )


def _identities(data: PreparedData, rows: np.ndarray, by_image: bool) -> pd.Series:
    """Return what tells specimens of two runs apart: the content of their images, or their ids."""
    if not by_image:
        return data.table[ID][rows]
    return data.image_store().verified(data.table[IMAGE][rows].tolist())["digest"]
