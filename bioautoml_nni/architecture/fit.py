"""An architecture within a hard budget: operations give way where that costs least share for what it saves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ..utils.errors import ArchitectureError
from .budgets import Budget
from .derive import ArchWeights, Barred
from .schema import Architecture, Cost
from .topology import Topology

MIN_SHARE = 1e-6
"""A share below this counts as this much, so that its logarithm is finite."""


def fit(
    architecture: Architecture,
    topology: Topology,
    weights: ArchWeights,
    budget: Budget,
    derived: Callable[[Barred], Architecture],
    cost_of: Callable[[Architecture], Cost],
) -> Architecture:
    """Return `architecture`, or the one within `budget` that a greedy search finds near it.

    In every step one decision is lowered to a cheaper candidate: the one with the smallest loss of log share for each
    unit of overrun that it saves (the greedy rule of the multiple-choice knapsack problem). Where no
    decision lowers it, since an edge that falls away lets a dearer one come back, the one that raises it least is
    taken. What was given up is barred for good, so that the search ends.

    Args:
        weights: normalised architecture weights of all labels.
        derived: derives the architecture without the barred candidates.
        cost_of: the cost of the network that is trained.

    Raises:
        ArchitectureError: if no architecture of the space is found within the budget, with the cost of the nearest.
    """
    barred: dict[str, frozenset[str]] = {}
    cost = cost_of(architecture)
    overrun = budget.overrun(cost.parameters, cost.flops)
    nearest = overrun, cost
    while overrun > 0:
        best: tuple[tuple[bool, float], dict[str, frozenset[str]], Architecture, Cost, float] | None = None
        for label, chosen, candidate in _alternatives(architecture, topology):
            stronger = frozenset(
                name
                for name in map(str, weights[label])
                if name not in (candidate, topology.zero) and weights[label][name] >= weights[label][candidate]
            )
            trial_barred = {**barred, label: barred.get(label, frozenset()) | stronger | {chosen}}
            if candidate in trial_barred[label]:
                continue
            trial = derived(trial_barred)
            trial_cost = cost_of(trial)
            trial_overrun = budget.overrun(trial_cost.parameters, trial_cost.flops)
            if trial_overrun < overrun:
                loss = _log(weights[label][chosen]) - _log(weights[label][candidate])
                rank = False, loss / (overrun - trial_overrun)
            else:
                rank = True, trial_overrun
            if best is None or rank < best[0]:
                best = (rank, trial_barred, trial, trial_cost, trial_overrun)
        if best is None:  # every way down has been tried; what is left is the cheapest of everything
            barred = _all_but_the_cheapest(topology, weights, derived, cost_of)
            architecture = derived(barred)
            cost = cost_of(architecture)
            overrun = budget.overrun(cost.parameters, cost.flops)
            nearest = min(nearest, (overrun, cost), key=lambda found: found[0])
            break
        _, barred, architecture, cost, overrun = best
        nearest = min(nearest, (overrun, cost), key=lambda found: found[0])
    if overrun > 0:
        excess = "; ".join(budget.excess(nearest[1].parameters, nearest[1].flops))
        raise ArchitectureError(
            f"derivation: no architecture within the budget was found; the nearest has {excess}. Lower "
            "retrain.channels or retrain.cells."
        )
    return architecture


def _all_but_the_cheapest(
    topology: Topology,
    weights: ArchWeights,
    derived: Callable[[Barred], Architecture],
    cost_of: Callable[[Architecture], Cost],
) -> dict[str, frozenset[str]]:
    """Return what to bar so that all edges have the cheapest operation, and each other choice is the cheapest."""
    barred: dict[str, frozenset[str]] = {}
    edges = tuple(edge.label for cell in topology.cells.values() for edge in cell.edges)
    for labels in [edges] * bool(edges) + [(label,) for label in topology.choices]:
        names = frozenset(map(str, weights[labels[0]])) - {topology.zero}
        trials = {name: {**barred, **dict.fromkeys(labels, names - {name})} for name in sorted(names)}
        costs = {name: cost_of(derived(trial)) for name, trial in trials.items()}
        barred = trials[min(costs, key=lambda name: (costs[name].parameters, costs[name].flops))]
    return barred


def _alternatives(architecture: Architecture, topology: Topology) -> Iterator[tuple[str, str, str]]:
    """Yield (label, present choice, another candidate) for every decision that counts."""
    for kind, cell in topology.cells.items():
        kept = {(edge.source, edge.target): edge.operation for edge in architecture.cells[kind].edges}
        for edge in cell.edges:
            chosen = kept.get((edge.source, edge.target))
            if chosen is not None:
                for name in topology.operations:
                    if name not in (chosen, topology.zero):
                        yield edge.label, chosen, name
    for label, names in topology.choices.items():
        for name in names:
            if name != architecture.choices[label].choice:
                yield label, architecture.choices[label].choice, name


def _log(share: float) -> float:
    return math.log(max(share, MIN_SHARE))
