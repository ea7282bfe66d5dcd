"""An architecture within a hard budget: operations give way where that costs least share for what it saves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

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

    def point(architecture: Architecture, barred: dict[str, frozenset[str]]) -> _Point:
        cost = cost_of(architecture)
        return _Point(architecture, cost, budget.overrun(cost.parameters, cost.flops), barred)

    here = nearest = point(architecture, {})
    while here.overrun > 0:
        there = _step(here, topology, weights, lambda barred: point(derived(barred), barred))
        if there is None:  # every way down has been tried; what is left is the cheapest of everything
            barred = _all_but_the_cheapest(topology, weights, derived, cost_of)
            here = point(derived(barred), barred)
        else:
            here = there
        nearest = min(nearest, here, key=lambda each: each.overrun)
        if there is None:
            break
    if here.overrun > 0:
        excess = "; ".join(budget.excess(nearest.cost.parameters, nearest.cost.flops))
        raise ArchitectureError(
            f"derivation: no architecture within the budget was found; the nearest has {excess}. Lower "
            "retrain.channels or retrain.cells."
        )
    return here.architecture


@dataclass(frozen=True)
class _Point:
    """Where the search has come: an architecture, by how much it breaks the budget, and what is barred there."""

    architecture: Architecture
    cost: Cost
    overrun: float
    barred: dict[str, frozenset[str]]


def _step(
    here: _Point, topology: Topology, weights: ArchWeights, point: Callable[[dict[str, frozenset[str]]], _Point]
) -> _Point | None:
    """Return where the best step leads; None if every candidate of every decision is barred."""
    ranked: tuple[tuple[bool, float], _Point] | None = None
    for label, chosen, candidate in _alternatives(here.architecture, topology):
        barred = _without_stronger(here.barred, label, chosen, candidate, weights, topology.zero)
        if candidate in barred[label]:
            continue
        there = point(barred)
        rank = _rank(here, there, weights[label][chosen], weights[label][candidate])
        if ranked is None or rank < ranked[0]:
            ranked = rank, there
    return None if ranked is None else ranked[1]


def _rank(here: _Point, there: _Point, given_up: float, taken: float) -> tuple[bool, float]:
    """Return a step's place among others, the smallest first: those that lower the overrun, by what each unit costs."""
    if there.overrun < here.overrun:
        return False, (_log(given_up) - _log(taken)) / (here.overrun - there.overrun)
    return True, there.overrun


def _without_stronger(
    barred: dict[str, frozenset[str]], label: str, chosen: str, candidate: str, weights: ArchWeights, zero: str | None
) -> dict[str, frozenset[str]]:
    """Bar `chosen`, and whatever else would be taken before `candidate`."""
    stronger = frozenset(
        name
        for name in map(str, weights[label])
        if name not in (candidate, zero) and weights[label][name] >= weights[label][candidate]
    )
    return {**barred, label: barred.get(label, frozenset()) | stronger | {chosen}}


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
