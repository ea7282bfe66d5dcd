"""Architectures within a hard budget, against a search over all architectures."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_derive import OPERATIONS, RECORD, make_shares, make_topology

from bioautoml_nni.architecture import derive
from bioautoml_nni.architecture.budgets import Budget
from bioautoml_nni.architecture.derive import dense
from bioautoml_nni.architecture.fit import fit
from bioautoml_nni.architecture.schema import Cost
from bioautoml_nni.utils.errors import ArchitectureError

PRICES = {"conv": 50, "pool": 7, "skip": 0, "sum": 3, "gate": 11}


def cost_of(architecture):
    edges = sum(PRICES[edge.operation] for edge in architecture.cells["normal"].edges)
    total = edges + PRICES[architecture.choices["fusion"].choice]
    return Cost(parameters=total, flops=10 * total)


def fitted(topology, weights, budget):
    def derived(barred):
        return derive(topology, weights, RECORD, None, barred)

    return fit(derived({}), topology, weights, budget, derived, cost_of)


@given(st.integers(0, 100_000), st.integers(1, 3), st.integers(3, 320))
def test_what_comes_out_keeps_the_budget_and_the_shares(seed, nodes, limit):
    topology = make_topology(nodes, nodes)
    weights = make_shares(topology, np.random.default_rng(seed))
    free = derive(topology, weights, RECORD)
    found = fitted(topology, weights, Budget(limit, None))
    assert cost_of(found).parameters <= limit
    if cost_of(free).parameters <= limit:
        assert found == free
    for edge in found.cells["normal"].edges:
        assert edge.operation_share == weights[f"e{edge.source}{edge.target}"][edge.operation]


@given(st.integers(0, 100_000), st.integers(3, 130))
def test_little_likelihood_is_lost_against_the_best_of_all_architectures(seed, limit):
    """Greedy moves stop in at most one move after the optimum of the relaxed problem; that bounds what they lose."""
    topology = make_topology(2, 2)
    weights = make_shares(topology, np.random.default_rng(seed), zero_bias=-9)
    found = fitted(topology, weights, Budget(limit, None))
    labels = [edge.label for edge in topology.cells["normal"].edges]

    def likelihood(operations, fusion):
        return sum(np.log(weights[label][name]) for label, name in zip(labels, operations, strict=True)) + np.log(
            weights["fusion"][fusion]
        )

    best = max(
        likelihood(operations, fusion)
        for operations in itertools.product(OPERATIONS[:-1], repeat=3)
        for fusion in ("sum", "gate")
        if sum(PRICES[name] for name in operations) + PRICES[fusion] <= limit
    )
    chosen = {f"e{edge.source}{edge.target}": edge.operation for edge in found.cells["normal"].edges}
    mine = likelihood([chosen[label] for label in labels], found.choices["fusion"].choice)
    largest_move = max(
        max(np.log(weights[label][name]) for name in OPERATIONS[:-1]) - np.log(weights[label][other])
        for label in labels
        for other in OPERATIONS[:-1]
    )
    assert best - 2 * largest_move - np.log(0.7 / 0.3) - 1e-9 <= mine <= best + 1e-9


def test_both_limits_hold_together():
    topology = make_topology(2, 2)
    weights = make_shares(topology, np.random.default_rng(3))
    found = fitted(topology, weights, Budget(1000, 300))
    assert cost_of(found).flops <= 300


def test_a_budget_that_nothing_meets_is_refused_with_the_nearest():
    topology = make_topology(1, 1)
    with pytest.raises(ArchitectureError, match=r"nearest has 3 parameters, at most 2\. Lower retrain\.channels"):
        fitted(topology, make_shares(topology, np.random.default_rng(0)), Budget(2, None))


def test_the_dense_network_has_every_edge_and_the_operations_that_were_kept():
    topology = make_topology(3, 1)
    weights = make_shares(topology, np.random.default_rng(5), zero_bias=3)
    architecture = derive(topology, weights, RECORD)
    whole = dense(architecture, topology, weights)
    assert len(whole.cells["normal"].edges) == 6 > len(architecture.cells["normal"].edges)
    every = {(edge.source, edge.target): edge.operation for edge in whole.cells["normal"].edges}
    assert all(every[edge.source, edge.target] == edge.operation for edge in architecture.cells["normal"].edges)
    assert "zero" not in every.values()


def test_budgets_join_to_the_lower_limits():
    assert Budget(10, None).tightened(Budget(20, 5)) == Budget(10, 5)
    assert Budget(10, 100).overrun(15, 120) == pytest.approx(0.7)


@pytest.mark.parametrize(("seed", "nodes"), [(107, 3), (230, 2), (1410, 3)])
def test_the_least_budget_is_met_where_a_dropped_edge_brings_a_dearer_one_back(seed, nodes):
    topology = make_topology(nodes, nodes)
    found = fitted(topology, make_shares(topology, np.random.default_rng(seed)), Budget(3, None))
    assert cost_of(found).parameters == 3
