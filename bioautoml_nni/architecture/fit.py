"""An architecture within a hard budget: operations give way where that costs least share for what it saves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ..utils.errors import ArchitectureError
from .budgets import Budget
from .derive import Barred, Shares
from .schema import Architecture, Cost
from .topology import Topology

LEAST_SHARE = 1e-6
"""A share below this counts as this much, so that its logarithm is finite."""


def fit(
    architecture: Architecture,
    topology: Topology,
    shares: Shares,
    budget: Budget,
    derived: Callable[[Barred], Architecture],
    cost_of: Callable[[Architecture], Cost],
) -> Architecture:
    """Return `architecture`, or the one within `budget` that a greedy search finds near it.

    In every step one decision is lowered to a cheaper candidate: the one with the smallest loss of log share for each
    unit by which the overrun of the budget falls (the greedy rule of the multiple-choice knapsack problem). What was
    given up is barred for good, so that the search ends.

    Args:
        shares: normalised shares of all labels.
        derived: derives the architecture without the barred candidates.
        cost_of: the cost of the network that is trained.

    Raises:
        ArchitectureError: if no architecture of the space is found within the budget, with the cost of the nearest.
    """
    barred: dict[str, frozenset[str]] = {}
    cost = cost_of(architecture)
    overrun = budget.overrun(cost.parameters, cost.flops)
    while overrun > 0:
        best: tuple[float, dict[str, frozenset[str]], Architecture, Cost, float] | None = None
        for label, chosen, candidate in _alternatives(architecture, topology):
            stronger = frozenset(
                name
                for name in map(str, shares[label])
                if name not in (candidate, topology.zero) and shares[label][name] >= shares[label][candidate]
            )
            trial_barred = {**barred, label: barred.get(label, frozenset()) | stronger | {chosen}}
            if candidate in trial_barred[label]:
                continue
            trial = derived(trial_barred)
            trial_cost = cost_of(trial)
            trial_overrun = budget.overrun(trial_cost.parameters, trial_cost.flops)
            if trial_overrun < overrun:
                loss = _log(shares[label][chosen]) - _log(shares[label][candidate])
                price = loss / (overrun - trial_overrun)
                if best is None or price < best[0]:
                    best = (price, trial_barred, trial, trial_cost, trial_overrun)
        if best is None:
            raise ArchitectureError(
                f"derivation: no architecture within the budget was found; the nearest has "
                f"{'; '.join(budget.excess(cost.parameters, cost.flops))}. Lower retrain.channels or retrain.cells."
            )
        _, barred, architecture, cost, overrun = best
    return architecture


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
    return math.log(max(share, LEAST_SHARE))
