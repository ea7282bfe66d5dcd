"""The networks of a run: built, loaded, and asked about a split."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import nn

from ..architecture import Architecture
from ..config.arguments import constructor
from ..data import splits
from ..data.dataset import make_loader
from ..registry import get
from ..training.group import current_group
from ..training.inference import Inference, Outputs
from ..training.weights import restore
from ..utils.errors import PluginError
from .directory import RunDirectory
from .prepared import PreparedData


def build_network(
    run: RunDirectory, data: PreparedData, architecture: Architecture | None = None, as_searched: bool = False
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a freshly initialised network at the size that is trained, and the arguments that rebuild it.

    Args:
        architecture: the run's own by default.
        as_searched: as in the supernet instead, whose weights the network can take.
    """
    experiment = run.experiment
    architecture = architecture or Architecture.load(run / "architecture.json")
    own = experiment.space.arguments if as_searched else experiment.network_arguments()
    arguments = {**data.space_inputs(), **own}
    space = get("search_spaces", experiment.space.name)
    network = space.target.build(architecture, **arguments)
    if not isinstance(network, nn.Module):
        raise PluginError(
            f"{space.told}: build() must return a network, not a {type(network).__name__}; correct it, or name another "
            "space."
        )
    return network.to(memory_format=torch.channels_last), arguments


def starting_network(
    run: RunDirectory, data: PreparedData, architecture: Architecture | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """Return what `build_network` does, with the pretrained weights that its space starts from, if there are any."""
    network, arguments = build_network(run, data, architecture)
    space = get("search_spaces", run.experiment.space.name).target
    if hasattr(space, "load_pretrained"):
        space.load_pretrained(network)
    return network, arguments


def strategy_arguments(run: RunDirectory) -> dict[str, Any]:
    """Return the arguments of the run's strategy, the seed among them if it takes one."""
    section = run.experiment.strategy
    accepted = inspect.signature(constructor(get("strategies", section.name))).parameters
    seed = {"seed": run.experiment.seed} if "seed" in accepted else {}
    return {**seed, **section.arguments}


def load_model(run: RunDirectory, data: PreparedData) -> nn.Module:
    """Return the trained network of a run in evaluation mode."""
    run.require("retrain")
    network, _ = build_network(run, data)
    restore(network, run / "retrain/model.pt")
    return network.eval()


def macro_f1(
    data: PreparedData, network: nn.Module, image_size: int | None = None, inference: Inference | None = None
) -> float:
    """Return the macro-F1 of a network on validation, at another size of the images if one is given."""
    logits, target = predict_logits(data, network, splits.VALIDATION, image_size=image_size, inference=inference)
    return float(f1_score(target, logits.argmax(1).numpy(), average="macro"))


def predict_logits(
    data: PreparedData,
    network: nn.Module,
    part: str,
    advance: Callable[[int], None] = lambda count: None,
    image_size: int | None = None,
    inference: Inference | None = None,
) -> tuple[torch.Tensor, np.ndarray]:
    """Return logits (N, K) and targets (N,) of one part, in the manifest's order.

    Args:
        network: in evaluation mode; it stays where it is.
        advance: called with the number of specimens after each batch.
        image_size: edge of the images, where it is not that of the decoded ones.
        inference: where and how it is asked; by default what this machine offers.
    """
    logits = predict_outputs(data, network, part, advance=advance, image_size=image_size, inference=inference)
    return logits, data.targets_of(part)


def predict_outputs(
    data: PreparedData,
    ask: Callable[[dict[str, torch.Tensor]], Outputs],
    part: str,
    *modules: nn.Module,
    advance: Callable[[int], None] = lambda count: None,
    image_size: int | None = None,
    inference: Inference | None = None,
    share: tuple[int, int] = (0, 1),
) -> Outputs:
    """Return what a network, or a function that asks some modules, makes of one part, in the manifest's order.

    Args:
        ask: gets a batch.
        modules: that it uses, if it is a function.
        advance, image_size, inference: see `predict_logits`.
        share: which share of how many of the part's rows, see `share_of`.
    """
    inference = inference or Inference.on_this_machine()
    transform = data.image_transform(data.run.experiment.training.augmentation, image_size)
    dataset = data.dataset([part])
    dataset.positions = dataset.positions[share_of(len(dataset), inference.batch_size, share)]
    batches = make_loader(dataset, inference.batch_size, shuffle=False)
    return inference.run(ask, batches, *modules, images=transform, advance=advance)


def share_of(rows: int, batch_size: int, share: tuple[int, int]) -> slice:
    """Return which rows a process asks about where several share them: whole batches, those of a single process.

    Args:
        share: number of the process, and of all.
    """
    number, count = share
    batches = -(-rows // batch_size)
    return slice(number * batches // count * batch_size, min(rows, (number + 1) * batches // count * batch_size))


def shared_logits(
    data: PreparedData, network: nn.Module, part: str, advance: Callable[[int], None] = lambda count: None
) -> torch.Tensor | None:
    """Return logits (N, K) of one part from all processes of a group in the first of them, None in the others.

    Every process asks about whole batches of a single process, so that on CPUs the answers are the same, bit for bit.
    """
    inference = Inference.on_this_machine()
    found = _own_share(data, network, part, advance=advance, inference=inference)
    return found if (group := current_group()) is None else group.join_rows(found)


def outputs_for_all(
    data: PreparedData,
    ask: Callable[[dict[str, torch.Tensor]], torch.Tensor],
    part: str,
    *modules: nn.Module,
    inference: Inference,
) -> torch.Tensor:
    """Return what `predict_outputs` does (N, D), in every process of a group, of which each asks about its share."""
    found, group = _own_share(data, ask, part, *modules, inference=inference), current_group()
    if group is not None:
        return group.join_rows_for_all(found)
    assert found is not None  # one process has all of it
    return found


def _own_share(
    data: PreparedData,
    ask: Callable[[dict[str, torch.Tensor]], torch.Tensor],
    part: str,
    *modules: nn.Module,
    inference: Inference,
    advance: Callable[[int], None] = lambda count: None,
) -> torch.Tensor | None:
    """Return what `predict_outputs` does of this process's share of a part, None without rows for it."""
    group = current_group()
    share = (0, 1) if group is None else (group.rank, group.size)
    own = share_of(int(data.mask_of(part).sum()), inference.batch_size, share)
    if group is not None and own.start >= own.stop:
        return None
    return predict_outputs(data, ask, part, *modules, advance=advance, inference=inference, share=share)
