"""Fitting of a probe: the classifier of a network of which everything else stays as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from rich.console import Console
from sklearn.metrics import f1_score
from torch import nn

from ..data import splits
from ..data.dataset import make_loader
from ..features.probe import LinearProbe, fit_probe
from ..training.inference import Inference
from ..utils.own_files import read_array
from .directory import RunDirectory
from .prepared import PreparedData

VALIDATION_LOGITS = "validation_logits.npy"
"""In retrain/: what calibration may look at where the network itself has learned from the validation split too."""


def validation_logits(run: RunDirectory) -> np.ndarray | None:
    """Return logits (N, K) of the validation split by a network that had not seen it, if the run's own one had."""
    file = run / "retrain" / VALIDATION_LOGITS
    return read_array(file) if file.is_file() and _learned_validation(run) else None


def learned_parts(run: RunDirectory) -> list[str]:
    """Return the splits that the run's network has learned from."""
    return list(run.network().learned_from)


def _learned_validation(run: RunDirectory) -> bool:
    return splits.VALIDATION in learned_parts(run)


def fit_classifier(
    data: PreparedData, network: Any, console: Console, refit: bool
) -> tuple[dict[str, Any], np.ndarray]:
    """Fit the linear layer at the end of `network`, in place.

    The regression's logits are those under the training prior; those of the network are what the experiment's
    loss would make of them, so that the balanced decision is shifted as the loss says.

    Args:
        network: with the parts of `MultimodalForward` and a classifier that ends in a linear layer.
        refit: also learn from the validation split, once it has chosen the decay.

    Returns:
        What network.json says of the fit; logits (N, K) of the validation split by what had not seen it.
    """
    parts = {
        name: _joint(data, network, names)
        for name, names in {"train": splits.TRAINING, "validation": (splits.VALIDATION,)}.items()
    }
    targets = {"train": data.targets[data.in_training]}
    targets["validation"] = data.targets_of(splits.VALIDATION)

    def tell(decay: float, loss: float) -> None:
        console.print(f"probe: decay {decay:g}, log-loss on validation {loss:.4f}", highlight=False)

    arguments = (parts["train"], targets["train"], parts["validation"], targets["validation"], len(data.classes))
    chosen = fit_probe(*arguments, refit=False, advance=tell)
    shift = data.loss().prior_logits(torch.zeros(1, len(data.classes)))[0].numpy()
    unseen = chosen.logits(parts["validation"]) - shift
    final = fit_probe(*arguments, decays=[chosen.decay]) if refit else chosen
    _put(network, final, shift)
    record = {
        "decay": chosen.decay,
        "validation_loss": {f"{decay:g}": loss for decay, loss in chosen.losses.items()},
        "learned_from": [*splits.TRAINING, *([splits.VALIDATION] if refit else [])],
        "validation_macro_f1": float(f1_score(targets["validation"], unseen.argmax(1), average="macro")),
    }
    return record, unseen


def _put(network: Any, fitted: LinearProbe, shift: np.ndarray) -> None:
    last = network.classifier[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.copy_(torch.from_numpy(fitted.weight))
        last.bias.copy_(torch.from_numpy(fitted.bias - shift))


def _joint(data: PreparedData, network: Any, names: tuple[str, ...]) -> np.ndarray:
    """Return what the classifier sees of some splits, in the manifest's order (N, D)."""
    inference = Inference.on_this_machine()
    transform = data.image_transform(data.run.experiment.training.augmentation)
    loader = make_loader(data.dataset(names), inference.batch_size, shuffle=False)
    parts = [part for part in (network.image_encoder, network.metadata_encoder, network.fusion) if part is not None]
    found: torch.Tensor = inference.run(network.eval().embed, loader, *parts, images=transform)
    return found.numpy()
