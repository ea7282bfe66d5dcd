"""Stage `derive`: from a finished search to one architecture, without training."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from rich.console import Console
from sklearn.metrics import f1_score
from torch import nn

from ..architecture import Topology
from ..architecture import derive as derive_architecture
from ..architecture.draw import draw
from ..architecture.schema import SpaceRecord
from ..atomic import write_text
from ..data import splits
from ..errors import RunDirectoryError
from ..nni_engine import named_architecture_parameters
from ..progress import make_progress
from ..quiet import quiet
from ..registry import get
from ..seeding import derive_seed
from .evaluate import predict_logits
from .prepared import PreparedData
from .run_directory import RunDirectory
from .search import strategy_arguments

Shares = dict[str, dict[Any, float]]


def derive(run: RunDirectory, console: Console) -> None:
    """Write architecture.json and architecture.svg.

    Raises:
        RunDirectoryError: if the method needs the supernet's weights and the run has none.
    """
    if run.experiment.derivation.method != "random":
        run.require("search")
    data, experiment = PreparedData.load(run), run.experiment
    quiet()
    space = get("search_spaces", experiment.space.name).target(**data.space_inputs(), **experiment.space.arguments)
    topology = space.topology()
    method = experiment.derivation.method
    if method == "random":
        shares = random_shares(topology, experiment.derivation.seed)
    else:
        shares = _with_positions(json.loads((run / "search/shares.json").read_text(encoding="utf-8")), topology)
        if method == "perturbation" and not topology.empty:
            shares = _perturbed(run, data, space, shares, console)
    provenance = {
        "strategy": None if topology.empty or method == "random" else experiment.strategy.model_dump(),
        "derivation": experiment.derivation.model_dump(),
        "seed": experiment.seed,
        "epochs": 0 if method == "random" else experiment.search.epochs,
    }
    record = SpaceRecord(name=experiment.space.name, arguments=experiment.space.arguments)
    architecture = derive_architecture(topology, shares, record, provenance)
    write_text(run / "architecture.svg", draw(architecture))
    architecture.save(run / "architecture.json")


def random_shares(topology: Topology, seed: int) -> Shares:
    """Return shares of an architecture drawn at random: every candidate of every choice is equally likely."""
    rng = np.random.default_rng(derive_seed(seed, "random architecture"))
    shares: Shares = {}
    for cell in topology.cells.values():
        for edge in cell.edges:
            chosen = str(rng.choice(list(topology.operations)))
            shares[edge.label] = {name: float(name == chosen) for name in topology.operations}
        for node, label in cell.node_labels.items():
            order = rng.permutation(node)
            shares[label] = {int(source): 2.0 ** -(rank + 1) for rank, source in enumerate(order)}
    for label, names in topology.choices.items():
        chosen = str(rng.choice(list(names)))
        shares[label] = {name: float(name == chosen) for name in names}
    return shares


def _with_positions(shares: dict[str, dict[str, float]], topology: Topology) -> Shares:
    """Return shares as JSON keeps them with the numbers of input states as numbers again."""
    nodes = {label for cell in topology.cells.values() for label in cell.node_labels.values()}
    return {
        label: {int(name) if label in nodes else name: share for name, share in own.items()}
        for label, own in shares.items()
    }


def _perturbed(run: RunDirectory, data: PreparedData, space: Any, shares: Shares, console: Console) -> Shares:
    """Return importances in the place of shares (Wang et al., Rethinking Architecture Selection, arXiv 2108.04392).

    For every choice, each candidate is removed from the trained supernet in turn; its importance is what the
    validation macro-F1 loses. Importances of a choice are normalised; where nothing loses, the shares stand.
    """
    if not (run / "search/supernet.pt").is_file():
        raise RunDirectoryError(f"{run.path}: has no search/supernet.pt, which derivation.method=perturbation needs.")
    strategy = get("strategies", run.experiment.strategy.name).target(**strategy_arguments(run))
    network = strategy.mutate_model(space)
    network.load_state_dict(torch.load(run / "search/supernet.pt", weights_only=True, map_location="cpu"))
    network.eval()
    alphas = named_architecture_parameters(network)
    names = {label: list(own) for label, own in shares.items()}
    result = {label: dict(own) for label, own in shares.items()}
    base = _score(data, network)
    with make_progress(console) as progress:
        task = progress.add_task("derive", total=sum(len(own) for own in names.values()), note=f"macro-F1 {base:.3f}")
        for label, candidates in names.items():
            losses = {}
            for position, name in enumerate(candidates):
                kept = alphas[label].detach().clone()
                if len(candidates) > 1:
                    with torch.no_grad():
                        alphas[label][position] = -1e9
                    losses[name] = max(0.0, base - _score(data, network))
                    with torch.no_grad():
                        alphas[label].copy_(kept)
                progress.advance(task)
            total = sum(losses.values())
            if total > 0:
                result[label] = {name: loss / total for name, loss in losses.items()}
    return result


def _score(data: PreparedData, network: nn.Module) -> float:
    """Return the macro-F1 of a supernet on validation."""
    logits, target = predict_logits(data, network, splits.VALIDATION)
    return float(f1_score(target, logits.argmax(1).numpy(), average="macro"))
