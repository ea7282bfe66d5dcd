"""The networks of a run: built, loaded, and asked about a part of the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from ..architecture import Architecture
from ..data.dataset import make_loader
from ..registry import get
from ..training.weights import restore
from .prepared import PreparedData
from .run_directory import RunDirectory


def build_network(
    run: RunDirectory, data: PreparedData, architecture: Architecture | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a freshly initialised network at the size that is trained, and the arguments that rebuild it.

    Args:
        architecture: the run's own by default.
    """
    experiment = run.experiment
    architecture = architecture or Architecture.load(run / "architecture.json")
    size = {key: value for key, value in experiment.retrain.model_dump(include={"cells", "channels"}).items() if value}
    arguments = {**data.space_inputs(), **experiment.space.arguments, **size}
    network = get("search_spaces", experiment.space.name).target.build(architecture, **arguments)
    return network.to(memory_format=torch.channels_last), arguments


def load_model(run: RunDirectory, data: PreparedData) -> nn.Module:
    """Return the trained network of a run in evaluation mode."""
    run.require("retrain")
    network, _ = build_network(run, data)
    restore(network, run / "retrain/model.pt")
    return network.eval()


@torch.no_grad()
def predict_logits(
    data: PreparedData, network: nn.Module, part: str, advance: Callable[[int], None] = lambda count: None
) -> tuple[torch.Tensor, np.ndarray]:
    """Return logits (N, K) and targets (N,) of one part, in the manifest's order."""
    transform = data.image_transform(data.run.experiment.training.augmentation)
    logits: list[torch.Tensor] = []
    targets: list[torch.Tensor] = []
    for batch in make_loader(data.dataset([part]), 256, shuffle=False):
        inputs = dict(batch)
        if transform is not None:
            inputs["image"] = transform.eval()(batch["image"])
        logits.append(network(inputs))
        targets.append(batch["target"])
        advance(len(batch["target"]))
    return torch.cat(logits), torch.cat(targets).numpy()
