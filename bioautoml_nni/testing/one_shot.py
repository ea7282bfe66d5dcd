"""The suite of search strategies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import TensorDataset

from ..architecture import derive, topology_of
from ..architecture.schema import SpaceRecord
from ..nni_engine import run_one_shot
from ..registry import get
from ._base import SPACE, kind_of, name_of, random_tensor, small_arguments, small_space, suite, tried


@suite
def check_strategy(strategy: Callable[..., Any], **arguments: Any) -> None:
    """Check a one-shot strategy: in NNI's engine it searches a small space, reproducibly, with weights that sum to one.

    `arguments` go to the strategy; a seed among them if it takes one.
    """
    from nni.nas.oneshot.pytorch.strategy import OneShotStrategy
    from nni.nas.strategy.base import Strategy

    name, contract = name_of(strategy), "an NNI one-shot strategy, such as a subclass of nni.nas.strategy.DARTS"
    made = tried(f"{name}: must be built from its arguments", strategy, **arguments) if callable(strategy) else None
    assert isinstance(made, Strategy), f"{name}: must be {contract}, not {kind_of(strategy if made is None else made)}"
    several = isinstance(made, OneShotStrategy)
    assert several, (
        f"{name}: is a multi-trial strategy, which trains one network after the other; it must be {contract}"
    )
    found = []
    for _ in range(2):
        weights, state = _search(name, lambda: strategy(**arguments))
        _check_weights(name, weights)
        finite = all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point())
        assert finite, f"{name}: leaves weights that are not finite"
        found.append(weights)
    assert found[0] == found[1], f"{name}: two searches from one seed differ"


def _search(name: str, strategy: Callable[[], Any]) -> tuple[Any, Mapping[str, Any]]:
    """Search a small space from a fixed seed; return the architecture weights and the supernet's state."""
    from nni.nas.evaluator.pytorch import Classification, DataLoader

    torch.manual_seed(0)
    space = small_space()
    images, classes = random_tensor(32, 3, 16, 16).float(), torch.arange(32) % 3
    loaders = {
        part: DataLoader(TensorDataset(images, classes), 8, shuffle=part == "train_dataloaders")
        for part in ("train_dataloaders", "val_dataloaders")
    }
    evaluator = Classification(
        num_classes=3, max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, **loaders,
    )  # fmt: skip
    what = f"{name}: must search a small space in NNI's engine"
    with tempfile.TemporaryDirectory() as folder:
        weights, state = tried(what, run_one_shot, space, evaluator, strategy(), Path(folder), None)
    return weights, state


def _check_weights(name: str, weights: Any) -> None:
    """Check that every edge has weights, that those of a label sum to one, and that they give an architecture."""
    assert isinstance(weights, Mapping), (
        f"{name}: export_probs() must return architecture weights by label, not {kind_of(weights)}"
    )
    topology = topology_of(get("search_spaces", SPACE).target, small_arguments())
    wanted = {edge.label for cell in topology.cells.values() for edge in cell.edges}
    assert wanted <= set(weights), f"{name}: exports no weights for {sorted(wanted - set(weights))}"
    for label, own in weights.items():
        assert isinstance(own, Mapping), (
            f"{name}: export_probs() must return a share for each candidate of {label}, not {kind_of(own)}"
        )
        total = sum(float(share) for share in own.values())
        assert abs(total - 1) < 1e-4, f"{name}: the weights of {label} sum to {total:.4f}, not to 1"
    derive(topology, weights, SpaceRecord(name=SPACE))
