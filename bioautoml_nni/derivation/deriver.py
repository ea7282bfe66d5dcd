"""From architecture weights, or from chance, to an architecture of one space within one budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..architecture import Topology
from ..architecture import derive as derive_architecture
from ..architecture.budgets import Budget
from ..architecture.derive import ArchWeights, dense
from ..architecture.fit import fit
from ..architecture.schema import Architecture, Cost, SpaceRecord, Sparsity
from ..architecture.weights import record_weights, sample_architecture
from ..evaluation.cost import count_parameters, specimen_flops
from ..runs.directory import RunDirectory
from ..runs.networks import build_network
from ..runs.prepared import PreparedData

DRAWS = 50
"""Architectures that are drawn for one within a budget, before the nearest is made to fit."""


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

    def plain(self, weights: ArchWeights, barred: Any = None) -> Architecture:
        """Return the architecture with the largest architecture weights, whatever it costs."""
        return derive_architecture(self.topology, weights, self.record, self.provenance, barred)

    def overrun(self, architecture: Architecture) -> float:
        """Return by how much an architecture breaks the budget; zero within it."""
        if self.budget is None:
            return 0.0
        cost = self.cost_of(architecture)
        return self.budget.overrun(cost.parameters, cost.flops)

    def strongest(self, weights: ArchWeights) -> Architecture:
        """Return the architecture with the largest architecture weights."""
        architecture = self.plain(weights)
        if self.budget is None:
            return architecture
        return fit(architecture, self.topology, weights, self.budget, partial(self.plain, weights), self.cost_of)

    def drawn(self, weights: ArchWeights, seed: int) -> Architecture:
        """Return an architecture whose choices are drawn with their weights as probabilities.

        With a budget it is the first of `DRAWS` that keeps it, or what comes nearest, made to fit.
        """
        rng, nearest = np.random.default_rng(seed), None
        for _ in range(1 if self.budget is None else DRAWS):
            certain = sample_architecture(self.topology, weights, rng)
            architecture = self.plain(certain)
            if self.budget is None:
                return record_weights(architecture, self.topology, weights)
            overrun = self.overrun(architecture)
            if nearest is None or overrun < nearest[0]:
                nearest = overrun, certain, architecture
            if overrun == 0:
                break
        assert nearest is not None and self.budget is not None  # DRAWS is positive
        _, certain, architecture = nearest
        fitting = fit(architecture, self.topology, certain, self.budget, partial(self.plain, certain), self.cost_of)
        return record_weights(fitting, self.topology, weights)

    def with_sparsity(self, architecture: Architecture, weights: ArchWeights) -> Architecture:
        """Return the architecture with what the search removed written into it."""
        if not self.topology.cells:
            return architecture
        sparsity = Sparsity(
            edges=sum(len(cell.edges) for cell in self.topology.cells.values()),
            edges_kept=sum(len(cell.edges) for cell in architecture.cells.values()),
            network=self.cost_of(architecture),
            dense=self.cost_of(dense(architecture, self.topology, weights)),
        )
        return architecture.model_copy(update={"sparsity": sparsity})


def different(architectures: Iterable[Architecture], count: int) -> list[Architecture]:
    """Return the first `count` architectures that build different networks, fewer if there are no more."""
    found: dict[str, Architecture] = {}
    for architecture in architectures:
        found.setdefault(architecture.decisions(), architecture)
        if len(found) == count:
            break
    return list(found.values())


def network_cost(run: RunDirectory, data: PreparedData, architecture: Architecture) -> Cost:
    """Return what an architecture costs as the network that is trained."""
    network, _ = build_network(run, data, architecture)
    return Cost(parameters=count_parameters(network), flops=specimen_flops(data, network))
