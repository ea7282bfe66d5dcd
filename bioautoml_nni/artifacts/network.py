"""retrain/network.json: what the trained network of a run is, and what it has learned from."""

from __future__ import annotations

from typing import Any

from ._base import Artifact

TRAINING_SPLITS = ["weights_train", "alpha_train"]
"""What a network learned from whose file does not say so."""


class NetworkRecord(Artifact):
    """The file.

    Attributes:
        space, arguments: what the network was built from, beside architecture.json.
        keep: which weights of the training are kept; empty for a classifier that was fitted.
        learned_from: the splits that it was trained on.
        best_epoch: counted from 0.
        averaged_epochs: whose weights are averaged.
        decay, validation_loss: of a classifier that was fitted, its weight decay and the log-loss of each one tried.
        validation_macro_f1: of the weights that are kept.
    """

    space: str
    arguments: dict[str, Any]
    brand: str
    keep: str = ""
    learned_from: list[str] = TRAINING_SPLITS
    best_epoch: int
    averaged_epochs: list[int] | None = None
    decay: float | None = None
    validation_loss: dict[str, float] | None = None
    validation_macro_f1: float
