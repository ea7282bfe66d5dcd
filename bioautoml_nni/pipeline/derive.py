"""Stage `derive`: from a finished search to one architecture, without training."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rich.console import Console
from sklearn.metrics import f1_score
from torch import nn

from ..architecture import Topology
from ..architecture import derive as derive_architecture
from ..architecture.derive import dense
from ..architecture.draw import draw
from ..architecture.fit import fit
from ..architecture.schema import Architecture, Cost, SpaceRecord, Sparsity
from ..architecture.shares import with_positions
from ..atomic import write_text
from ..budgets import Budget
from ..data import splits
from ..errors import RunDirectoryError
from ..evaluation.cost import count_parameters
from ..nni_engine import named_architecture_parameters
from ..progress import make_progress
from ..quiet import quiet
from ..registry import get
from ..seeding import derive_seed
from .evaluate import predict_logits, specimen_flops
from .prepared import PreparedData
from .retrain import build_network
from .run_directory import RunDirectory
from .search import strategy_arguments

Shares = dict[str, dict[Any, float]]

DRAWS = 300
"""Random architectures that are tried for one within a budget."""


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
        shares: Shares = random_shares(topology, experiment.derivation.seed)
    else:
        shares = with_positions(json.loads((run / "search/shares.json").read_text(encoding="utf-8")), topology)
        if method == "perturbation" and not topology.empty:
            shares = _perturbed(run, data, space, shares, console)
    provenance = {
        "strategy": None if topology.empty or method == "random" else experiment.strategy.model_dump(),
        "derivation": experiment.derivation.model_dump(),
        "seed": experiment.seed,
        "epochs": 0 if method == "random" else experiment.search.epochs,
    }
    record = SpaceRecord(name=experiment.space.name, arguments=experiment.space.arguments)

    def cost_of(architecture: Architecture) -> Cost:
        network, _ = build_network(run, data, architecture)
        return Cost(parameters=count_parameters(network), flops=specimen_flops(data, network))

    architecture = derive_architecture(topology, shares, record, provenance)
    budget = experiment.derivation.budget
    if budget is not None and method == "random":
        shares, architecture = _draw_within(topology, experiment.derivation.seed, budget, record, provenance, cost_of)
    if budget is not None:
        architecture = fit(
            architecture,
            topology,
            shares,
            budget,
            lambda barred: derive_architecture(topology, shares, record, provenance, barred),
            cost_of,
        )
    if topology.cells:
        whole = dense(architecture, topology, shares)
        sparsity = Sparsity(
            edges=sum(len(cell.edges) for cell in topology.cells.values()),
            edges_kept=sum(len(cell.edges) for cell in architecture.cells.values()),
            network=cost_of(architecture),
            dense=cost_of(whole),
        )
        architecture = architecture.model_copy(update={"sparsity": sparsity})
    write_text(run / "architecture.svg", draw(architecture))
    architecture.save(run / "architecture.json")


def _draw_within(
    topology: Topology,
    seed: int,
    budget: Budget,
    record: SpaceRecord,
    provenance: dict[str, Any],
    cost_of: Callable[[Architecture], Cost],
) -> tuple[Shares, Architecture]:
    """Return the first of `DRAWS` random architectures that keeps the budget, else the one that breaks it least.

    The first draw is the one that is taken without a budget.
    """
    nearest: tuple[float, Shares, Architecture] | None = None
    for draw_number in range(DRAWS):
        shares = random_shares(topology, seed, draw_number)
        architecture = derive_architecture(topology, shares, record, provenance)
        cost = cost_of(architecture)
        overrun = budget.overrun(cost.parameters, cost.flops)
        if nearest is None or overrun < nearest[0]:
            nearest = overrun, shares, architecture
        if overrun == 0:
            break
    assert nearest is not None  # DRAWS is positive
    return nearest[1:]


def random_shares(topology: Topology, seed: int, draw_number: int = 0) -> Shares:
    """Return shares of an architecture drawn at random: every candidate of every choice is equally likely."""
    rng = np.random.default_rng(derive_seed(seed, "random architecture", *([draw_number] if draw_number else [])))
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
