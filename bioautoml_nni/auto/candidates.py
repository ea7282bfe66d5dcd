"""Candidates that need no encoder: baselines on metadata, and networks that are searched from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._base import Candidate, Work, scaled_epochs

SEARCHING, TRAINING = 9e-3, 2.2e-3
"""Seconds of one specimen and epoch at 64 pixels with six cells of 16 channels (examples/pitfall, two cores)."""
REFERENCE_SIZE, REFERENCE_CELLS, REFERENCE_CHANNELS = 64, 6, 16


class MajorityCandidate(Candidate):
    """The most frequent class: what every other candidate has to beat."""

    row = "majority"
    baseline = True

    def seconds(self, work: Work) -> float:
        return 0.1


class BoostingCandidate(Candidate):
    """Gradient boosting on the metadata."""

    row = "metadata_boosting"
    needs = ("metadata",)

    def seconds(self, work: Work) -> float:
        return 1.0 + 2e-5 * work.trained * work.classes * (1 + work.metadata_columns / 10) + 0.1 * work.classes


class LogisticCandidate(Candidate):
    """Logistic regression on the metadata."""

    row = "metadata_logistic"
    needs = ("metadata",)

    def seconds(self, work: Work) -> float:
        return 0.5 + 2e-6 * work.trained * work.classes * (1 + work.metadata_columns)


class SearchedCandidate(Candidate):
    """The experiment itself: a network whose cells are searched and trained from scratch."""

    row = "as_configured"
    priority = 2
    least = 0.2
    training_share = 0.5
    kind = "searched from scratch"

    def seconds(self, work: Work) -> float:
        return _search_seconds(work) + _training_seconds(work)

    def settings(self, work: Work, share: float) -> Mapping[str, Any]:
        return _shortened(work, share)


class TaughtCandidate(Candidate):
    """The searched network, retrained with the best network so far as its teacher."""

    row = "as_configured"
    needs = ("image", "teacher")
    least = 0.2
    training_share = 0.5

    def seconds(self, work: Work) -> float:
        return _search_seconds(work) + 1.1 * _training_seconds(work)

    def settings(self, work: Work, share: float) -> Mapping[str, Any]:
        return {**_shortened(work, share), "training.distillation": {"teacher": str(work.teacher)}}


def _search_seconds(work: Work) -> float:
    if not work.experiment.derivation.searched:
        return 0.0
    return SEARCHING * work.trained * work.experiment.search.epochs * _size(work)


def _training_seconds(work: Work) -> float:
    settings = work.experiment.training
    channels = work.experiment.retrain.channels or _space(work, "channels", REFERENCE_CHANNELS)
    wider = channels / _space(work, "channels", REFERENCE_CHANNELS)
    return TRAINING * work.trained * settings.epochs * _size(work) * wider**1.5


def _size(work: Work) -> float:
    """Return how many times longer an epoch takes than that of the reference, by pixels, cells and channels."""
    data = work.experiment.data
    pixels = (work.image_size / REFERENCE_SIZE) ** 2 if "image" in data.modalities else 0.02
    cells = _space(work, "cells", REFERENCE_CELLS) / REFERENCE_CELLS
    return max(0.02, pixels * cells * (_space(work, "channels", REFERENCE_CHANNELS) / REFERENCE_CHANNELS) ** 1.5)


def _space(work: Work, name: str, default: int) -> float:
    value = work.experiment.space.arguments.get(name, default)
    return float(value) if isinstance(value, int | float) and value > 0 else float(default)


def _shortened(work: Work, share: float) -> dict[str, Any]:
    if share >= 1:
        return {}
    search, training = work.experiment.search, work.experiment.training
    warmup = work.experiment.strategy.arguments.get("warmup_epochs", 0)
    values: dict[str, Any] = {
        "search.epochs": scaled_epochs(search.epochs, share, 2),
        "training.epochs": scaled_epochs(training.epochs, share, 3),
    }
    if isinstance(warmup, int) and warmup:
        values["strategy.warmup_epochs"] = min(warmup, max(0, values["search.epochs"] // 4))
    return values
