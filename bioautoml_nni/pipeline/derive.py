"""Stage `derive`: from a finished search, or from chance, to one architecture."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from rich.console import Console

from ..architecture import Topology
from ..architecture import derive as derive_architecture
from ..architecture.derive import Shares, dense
from ..architecture.draw import draw
from ..architecture.fit import fit
from ..architecture.schema import Architecture, Cost, SpaceRecord, Sparsity
from ..architecture.shares import chosen_shares, draw_shares, equal_shares, with_positions, with_shares
from ..atomic import write_text
from ..budgets import Budget
from ..errors import RunDirectoryError
from ..evaluation.cost import count_parameters
from ..nni_engine import named_architecture_parameters
from ..progress import make_progress
from ..quiet import quiet
from ..registry import get
from ..seeding import derive_seed
from ..training.weights import restore
from .evaluate import specimen_flops
from .evolution import best_by_supernet
from .halving import best_by_training
from .networks import build_network, macro_f1
from .prepared import PreparedData
from .run_directory import RunDirectory
from .search import strategy_arguments

DRAWS = 50
"""Architectures that are drawn for one within a budget, before the nearest is made to fit."""
TRIES = 4
"""Draws for each candidate of successive halving; in a small space many are the same."""


def derive(run: RunDirectory, console: Console) -> None:
    """Write architecture.json and architecture.svg, and derive/ where candidates are trained.

    Raises:
        RunDirectoryError: if the method needs the supernet's weights and the run has none.
        ArchitectureError: if nothing within the limits is found, or for choices that the space does not have.
    """
    experiment = run.experiment
    settings = experiment.derivation
    if settings.searched:
        run.require("search")
    data = PreparedData.load(run)
    quiet()
    space = data.search_space()
    topology = space.topology()
    found: Shares = equal_shares(topology)
    if settings.searched:
        found = with_positions(json.loads((run / "search/shares.json").read_text(encoding="utf-8")), topology)
        if settings.method == "perturbation" and not topology.empty:
            found = _perturbed(run, data, space, found, console)
    elif settings.method == "given":
        found = chosen_shares(topology, settings.choices)
    provenance = {
        "strategy": None if topology.empty or not settings.searched else experiment.strategy.model_dump(),
        "derivation": settings.model_dump(),
        "seed": experiment.seed,
        "epochs": experiment.search.epochs if settings.searched else 0,
    }
    record = SpaceRecord(name=experiment.space.name, arguments=experiment.space.arguments)
    deriver = Deriver(topology, record, provenance, settings.budget, partial(_cost, run, data))
    drawn = partial(derive_seed, settings.seed, "architecture")
    if settings.method == "random":
        architecture = deriver.drawn(found, drawn(0))
    elif settings.method == "successive_halving" and not topology.empty:
        first = [deriver.strongest(found)] if settings.searched else []
        more = (deriver.drawn(found, drawn(number)) for number in range(TRIES * settings.candidates))
        candidates = _different(chain(first, more), settings.candidates)
        architecture = candidates[best_by_training(run, data, candidates, console)]
    elif settings.method == "evolution" and not topology.empty:
        best = best_by_supernet(run, data, topology, deriver.plain, deriver.overrun, console)
        architecture = with_shares(deriver.strongest(best), topology, found)
    else:
        architecture = deriver.strongest(found)
    architecture = deriver.with_sparsity(architecture, found)
    write_text(run / "architecture.svg", draw(architecture))
    architecture.save(run / "architecture.json")


@dataclass(frozen=True)
class Deriver:
    """Makes architectures of one space within one budget.

    Attributes:
        budget: limits that hold for every architecture, or None.
        cost_of: the cost of the network that is trained.
    """

    topology: Topology
    record: SpaceRecord
    provenance: dict[str, Any]
    budget: Budget | None
    cost_of: Callable[[Architecture], Cost]

    def plain(self, shares: Shares, barred: Any = None) -> Architecture:
        """Return the architecture with the largest shares, whatever it costs."""
        return derive_architecture(self.topology, shares, self.record, self.provenance, barred)

    def overrun(self, architecture: Architecture) -> float:
        """Return by how much an architecture breaks the budget; zero within it."""
        if self.budget is None:
            return 0.0
        cost = self.cost_of(architecture)
        return self.budget.overrun(cost.parameters, cost.flops)

    def strongest(self, shares: Shares) -> Architecture:
        """Return the architecture with the largest shares."""
        architecture = self.plain(shares)
        if self.budget is None:
            return architecture
        return fit(architecture, self.topology, shares, self.budget, partial(self.plain, shares), self.cost_of)

    def drawn(self, shares: Shares, seed: int) -> Architecture:
        """Return an architecture whose choices are drawn with their shares as probabilities.

        With a budget it is the first of `DRAWS` that keeps it, or what comes nearest, made to fit.
        """
        rng, nearest = np.random.default_rng(seed), None
        for _ in range(1 if self.budget is None else DRAWS):
            certain = draw_shares(self.topology, shares, rng)
            architecture = self.plain(certain)
            if self.budget is None:
                return with_shares(architecture, self.topology, shares)
            overrun = self.overrun(architecture)
            if nearest is None or overrun < nearest[0]:
                nearest = overrun, certain, architecture
            if overrun == 0:
                break
        assert nearest is not None and self.budget is not None  # DRAWS is positive
        _, certain, architecture = nearest
        fitting = fit(architecture, self.topology, certain, self.budget, partial(self.plain, certain), self.cost_of)
        return with_shares(fitting, self.topology, shares)

    def with_sparsity(self, architecture: Architecture, shares: Shares) -> Architecture:
        """Return the architecture with what the search removed written into it."""
        if not self.topology.cells:
            return architecture
        sparsity = Sparsity(
            edges=sum(len(cell.edges) for cell in self.topology.cells.values()),
            edges_kept=sum(len(cell.edges) for cell in architecture.cells.values()),
            network=self.cost_of(architecture),
            dense=self.cost_of(dense(architecture, self.topology, shares)),
        )
        return architecture.model_copy(update={"sparsity": sparsity})


def _different(architectures: Iterable[Architecture], count: int) -> list[Architecture]:
    """Return the first `count` architectures that build different networks, fewer if there are no more."""
    found: dict[str, Architecture] = {}
    for architecture in architectures:
        found.setdefault(architecture.decisions(), architecture)
        if len(found) == count:
            break
    return list(found.values())


def _cost(run: RunDirectory, data: PreparedData, architecture: Architecture) -> Cost:
    network, _ = build_network(run, data, architecture)
    return Cost(parameters=count_parameters(network), flops=specimen_flops(data, network))


def _perturbed(run: RunDirectory, data: PreparedData, space: Any, shares: Shares, console: Console) -> Shares:
    """Return importances in the place of shares (Wang et al., Rethinking Architecture Selection, arXiv 2108.04392).

    For every choice, each candidate is removed from the trained supernet in turn; its importance is what the
    validation macro-F1 loses. Importances of a choice are normalised; where nothing loses, the shares stand.
    """
    if not (run / "search/supernet.pt").is_file():
        raise RunDirectoryError(f"{run.path}: has no search/supernet.pt, which derivation.method=perturbation needs.")
    strategy = get("strategies", run.experiment.strategy.name).target(**strategy_arguments(run))
    network = strategy.mutate_model(space)
    restore(network, run / "search/supernet.pt")
    network.eval()
    alphas = named_architecture_parameters(network)
    names = {label: list(own) for label, own in shares.items()}
    result = {label: dict(own) for label, own in shares.items()}
    base = macro_f1(data, network, data.supernet_image_size)
    with make_progress(console) as progress:
        task = progress.add_task("derive", total=sum(len(own) for own in names.values()), note=f"macro-F1 {base:.3f}")
        for label, candidates in names.items():
            losses = {}
            for position, name in enumerate(candidates):
                kept = alphas[label].detach().clone()
                if len(candidates) > 1:
                    with torch.no_grad():
                        alphas[label][position] = -1e9
                    losses[name] = max(0.0, base - macro_f1(data, network, data.supernet_image_size))
                    with torch.no_grad():
                        alphas[label].copy_(kept)
                progress.advance(task)
            total = sum(losses.values())
            if total > 0:
                result[label] = {name: loss / total for name, loss in losses.items()}
    return result
