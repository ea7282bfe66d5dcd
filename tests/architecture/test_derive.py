from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.architecture import CellTopology, EdgeTopology, Topology, derive
from bioautoml_nni.architecture.derive import dense
from bioautoml_nni.architecture.draw import draw
from bioautoml_nni.architecture.schema import SpaceRecord
from bioautoml_nni.architecture.weights import one_hot_weights, open_choices
from bioautoml_nni.utils.errors import ArchitectureError

OPERATIONS = ("conv", "pool", "skip", "zero")
RECORD = SpaceRecord(name="test")


def make_topology(nodes: int, inputs: int) -> Topology:
    edges = tuple(EdgeTopology(s, t, f"e{s}{t}") for t in range(1, nodes + 1) for s in range(t))
    cell = CellTopology(edges, {t: f"n{t}" for t in range(1, nodes + 1)}, inputs)
    return Topology({"normal": cell}, OPERATIONS, "zero", {"fusion": ("sum", "gate")})


def make_shares(topology: Topology, rng: np.random.Generator, zero_bias: float = 0.0) -> dict:
    def softmax(logits):
        weights = np.exp(logits - logits.max())
        return weights / weights.sum()

    cell = topology.cells["normal"]
    weights = {}
    for edge in cell.edges:
        logits = 2 * rng.standard_normal(len(OPERATIONS)) + np.array([0, 0, 0, zero_bias])
        weights[edge.label] = dict(zip(OPERATIONS, softmax(logits), strict=True))
    for node, label in cell.node_labels.items():
        weights[label] = dict(enumerate(softmax(rng.standard_normal(node))))
    weights["fusion"] = {"sum": 0.3, "gate": 0.7}
    return weights


@given(st.integers(0, 100_000), st.integers(1, 5), st.integers(1, 3), st.floats(-2, 6))
def test_output_is_connected_and_nothing_is_dead_for_any_shares(seed, nodes, inputs, zero_bias):
    topology = make_topology(nodes, inputs)
    cell = derive(topology, make_shares(topology, np.random.default_rng(seed), zero_bias), RECORD).cells["normal"]
    assert cell.edges
    reached = {0}
    for edge in cell.edges:
        assert edge.operation != "zero"
        assert edge.source in reached
        reached.add(edge.target)
    for node in cell.live_nodes:
        assert len(cell.incoming(node)) <= inputs
    decided = {(edge.source, edge.target) for edge in (*cell.edges, *cell.pruned)}
    assert len(decided) == len(cell.edges) + len(cell.pruned) == nodes * (nodes + 1) // 2


def fixed_shares(best: dict[str, str], share: float = 0.7) -> dict:
    rest = (1 - share) / 3
    return {label: {name: share if name == chosen else rest for name in OPERATIONS} for label, chosen in best.items()}


def test_the_zero_rule_removes_an_edge_and_what_hangs_on_it():
    topology = make_topology(2, 2)
    weights = fixed_shares({"e01": "zero", "e02": "conv", "e12": "pool"})
    weights |= {"n1": {0: 1.0}, "n2": {0: 0.4, 1: 0.6}, "fusion": {"sum": 0.3, "gate": 0.7}}
    architecture = derive(topology, weights, RECORD)
    cell = architecture.cells["normal"]
    assert [(edge.source, edge.target, edge.operation) for edge in cell.edges] == [(0, 2, "conv")]
    assert {(edge.source, edge.target): edge.reason for edge in cell.pruned} == {(0, 1): "zero", (1, 2): "dead_source"}
    assert architecture.choices["fusion"].choice == "gate"


def test_a_plurality_of_zero_removes_nothing():
    """Before a batch norm, zero only scales; only more than all other operations together is a decision."""
    topology = make_topology(1, 1)
    weights = {"e01": {"conv": 0.1, "pool": 0.3, "skip": 0.15, "zero": 0.45}, "n1": {0: 1.0}}
    weights["fusion"] = {"sum": 1.0, "gate": 0.0}
    edge = derive(topology, weights, RECORD).cells["normal"].edges[0]
    assert (edge.operation, edge.zero_share) == ("pool", 0.45)


def test_if_zero_wins_everywhere_the_strongest_input_edge_comes_back():
    topology = make_topology(2, 2)
    weights = fixed_shares({"e01": "zero", "e02": "zero", "e12": "zero"})
    weights["e02"] = {"conv": 0.1, "pool": 0.2, "skip": 0.1, "zero": 0.6}
    weights |= {"n1": {0: 1.0}, "n2": {0: 0.9, 1: 0.1}, "fusion": {"sum": 1.0, "gate": 0.0}}
    cell = derive(topology, weights, RECORD).cells["normal"]
    assert [(edge.source, edge.target, edge.operation) for edge in cell.edges] == [(0, 2, "pool")]


def test_zero_needs_more_than_half_of_the_share():
    topology = make_topology(1, 1)
    weights = {"n1": {0: 1.0}, "fusion": {"sum": 0.3, "gate": 0.7}}
    weights["e01"] = {"conv": 0.25, "pool": 0.125, "skip": 0.125, "zero": 0.5}
    (edge,) = derive(topology, weights, RECORD).cells["normal"].edges
    assert (edge.operation, edge.zero_share) == ("conv", 0.5)


def test_barred_operations_are_not_chosen_on_an_edge_that_is_kept_or_put_back():
    topology = make_topology(1, 1)
    rest = {"n1": {0: 1.0}, "fusion": {"sum": 0.3, "gate": 0.7}}
    barred = {"e01": frozenset({"conv"}), "fusion": frozenset({"gate"})}
    for zero in (0.1, 0.9):  # removed by the zero rule, and put back since nothing else is left
        left = 1 - zero
        weights = {**rest, "e01": {"conv": 0.5 * left, "pool": 0.3 * left, "skip": 0.2 * left, "zero": zero}}
        architecture = derive(topology, weights, RECORD, barred=barred)
        assert [edge.operation for edge in architecture.cells["normal"].edges] == ["pool"]
        assert architecture.choices["fusion"].choice == "sum"


def test_a_space_without_a_zero_operation_removes_no_edge():
    cell = CellTopology((EdgeTopology(0, 1, "e01"),), {1: "n1"}, 1)
    topology = Topology({"normal": cell}, ("conv", "pool"), None, {})
    (edge,) = derive(topology, {"e01": {"conv": 0.4, "pool": 0.6}, "n1": {0: 1.0}}, RECORD).cells["normal"].edges
    assert (edge.operation, edge.zero_share) == ("pool", 0.0)


def test_dense_has_every_edge_as_the_architecture_has_it_and_otherwise_the_strongest_operation():
    topology = make_topology(3, 1)
    weights = make_shares(topology, np.random.default_rng(3), zero_bias=1.0)
    architecture = derive(topology, weights, RECORD, barred={"e01": frozenset({"conv", "pool"})})
    cell, full = architecture.cells["normal"], dense(architecture, topology, weights).cells["normal"]
    found = {(edge.source, edge.target): edge for edge in full.edges}
    assert list(found) == [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)] and not full.pruned
    assert full.nodes == full.inputs_per_node == 3
    for edge in cell.edges:
        assert found[edge.source, edge.target] == edge
    for edge in cell.pruned:
        shares = weights[f"e{edge.source}{edge.target}"]
        strongest = max(("conv", "pool", "skip"), key=lambda name: shares[name])
        other = found[edge.source, edge.target]
        assert (other.operation, other.operation_share) == (strongest, shares[strongest])
        assert other.input_share == weights[f"n{edge.target}"][edge.source]


def test_a_node_keeps_its_strongest_inputs():
    topology = make_topology(3, 1)
    weights = fixed_shares(dict.fromkeys(("e01", "e02", "e12", "e03", "e13", "e23"), "conv"))
    weights["e13"] = {"conv": 0.97, "pool": 0.01, "skip": 0.01, "zero": 0.01}
    weights |= {"n1": {0: 1.0}, "n2": {0: 0.2, 1: 0.8}, "n3": {0: 0.3, 1: 0.35, 2: 0.35}}
    weights["fusion"] = {"sum": 1.0, "gate": 0.0}
    cell = derive(topology, weights, RECORD).cells["normal"]
    assert [(edge.source, edge.target) for edge in cell.edges] == [(0, 1), (1, 2), (1, 3)]


@given(st.integers(0, 1000), st.integers(1, 4))
def test_the_drawing_is_wellformed_and_names_every_operation(seed, nodes):
    from xml.dom.minidom import parseString

    topology = make_topology(nodes, 2)
    architecture = derive(topology, make_shares(topology, np.random.default_rng(seed), 1.0), RECORD)
    svg = draw(architecture)
    labels = [each.firstChild for each in parseString(svg).getElementsByTagName("text")]
    texts = Counter(each.nodeValue.split(" ")[0] for each in labels if each is not None)
    edges = Counter(edge.operation for edge in architecture.cells["normal"].edges)
    assert {name: texts[name] for name in edges} == edges
    for edge in architecture.cells["normal"].edges:
        assert f"{edge.source} to {edge.target} {edge.operation}" in svg


@given(st.integers(0, 100_000), st.integers(1, 4), st.integers(1, 3))
def test_given_choices_become_exactly_the_edges_that_they_name(seed, nodes, inputs):
    topology, rng = make_topology(nodes, inputs), np.random.default_rng(seed)
    choices = {label: str(rng.choice(names)) for label, names in open_choices(topology).items()}
    found = derive(topology, one_hot_weights(topology, choices), RECORD)
    assert found.choices["fusion"].choice == choices["fusion"]
    cell, alive = topology.cells["normal"], {0}
    expected = {}
    for node, label in cell.node_labels.items():
        sources = [int(each) for each in choices[label].split("+")] if label in choices else range(node)
        own = {(s, node): choices[f"e{s}{node}"] for s in sources if s in alive and choices[f"e{s}{node}"] != "zero"}
        expected |= own
        alive |= {node} if own else set()
    kept = {(edge.source, edge.target): edge.operation for edge in found.cells["normal"].edges}
    if expected:
        assert kept == expected
    else:
        assert len(kept) == 1 and next(iter(kept))[0] == 0, "something always leads from the input to the output"


def test_all_mistakes_in_given_choices_are_told_at_once():
    topology = make_topology(3, 2)
    choices = {label: names[0] for label, names in open_choices(topology).items()}
    assert set(choices) == {"e01", "e02", "e12", "e03", "e13", "e23", "n3", "fusion"}, "two inputs of two are no choice"
    del choices["fusion"]
    with pytest.raises(ArchitectureError) as told:
        one_hot_weights(topology, choices | {"n3": "0+3", "e01": "sconv", "extra": "conv"})
    for word in ("fusion is missing", "n3: '0+3' is none of 0+1, 0+2, 1+2", "'sconv'", "extra is not a choice"):
        assert word in str(told.value)
