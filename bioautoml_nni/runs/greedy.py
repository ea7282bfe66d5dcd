"""The greedy average of a training's best epochs (`training.keep: greedy`)."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from sklearn.metrics import f1_score
from torch import Tensor, nn

from ..data import splits
from ..training.averaging import greedy_average, mean
from ..training.history import CheckpointCallback
from ..training.weights import load_weights
from .directory import RunDirectory
from .networks import predict_logits
from .prepared import PreparedData


def kept_weights(run: RunDirectory) -> dict[str, Tensor]:
    """Return what a run's training kept before it was repeated with the validation split: an epoch, or an average."""
    folder, epochs = run / "retrain", run.network().averaged_epochs
    if not epochs:
        return load_weights(folder / "best.pt")
    return mean([load_weights(folder / f"epoch-{epoch}.pt") for epoch in epochs])


def averaged_weights(
    data: PreparedData, network: nn.Module, checkpoint: CheckpointCallback
) -> tuple[dict[str, Tensor], list[int]]:
    """Return the greedy average of the epochs that a training kept, and which epochs it holds.

    Args:
        checkpoint: of the training; its metric on validation is what each epoch has to better.
    """
    epochs = checkpoint.best_first
    asked, loss = copy.deepcopy(network).eval(), data.loss()

    def score(weights: Mapping[str, Tensor]) -> float:
        asked.load_state_dict(weights)
        logits, target = predict_logits(data, asked, splits.VALIDATION)
        if checkpoint.monitor == "val_loss":
            return -float(loss(logits, torch.from_numpy(target)))
        return float(f1_score(target, logits.argmax(1).numpy(), average="macro"))

    weights, members = greedy_average([load_weights(checkpoint.candidate(epoch)) for epoch in epochs], score)
    return weights, sorted(epochs[member] for member in members)
