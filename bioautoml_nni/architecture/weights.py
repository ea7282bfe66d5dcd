"""What architecture weights tell of a search: how many skips it prefers, and how decided a choice is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from ..utils.errors import ArchitectureError
from .derive import ArchWeights
from .schema import Architecture
from .topology import Topology, cell_kind, only_edges


def skip_counts(
    weights: Mapping[str, Mapping[str, float]], skips: frozenset[str] | Mapping[str, frozenset[str]]
) -> dict[str, int]:
    """Return for each kind of cell the number of edges whose strongest operation is a skip connection.

    The kind is that of the edge's label, in NNI's own cells what stands before the last ``/``; all other choices count
    together, as the kind "".

    Args:
        skips: names of skip connections, of all choices or by label.

    >>> weights = {"normal_edge_0_1": {"skip": 0.6, "conv": 0.4}, "normal_edge_0_2": {"skip": 0.3, "conv": 0.7}}
    >>> skip_counts(weights, frozenset({"skip"}))
    {'normal': 1}
    """
    counts: dict[str, int] = {}
    for label, values in weights.items():
        kind = cell_kind(label)
        if kind is None:
            kind = str(label).rpartition("/")[0]
        own = skips.get(label, frozenset()) if isinstance(skips, Mapping) else skips
        counts[kind] = counts.get(kind, 0) + (max(values, key=lambda name: values[name]) in own)
    return counts


def entropy(weights: Mapping[str, float]) -> float:
    """Return the entropy of architecture weights in nats; log(number of candidates) at most.

    >>> round(entropy({"skip": 0.5, "conv": 0.5}), 4), abs(entropy({"skip": 1.0, "conv": 0.0}))
    (0.6931, 0.0)
    """
    return -sum(share * math.log(share) for share in weights.values() if share > 0)


def with_positions(weights: Mapping[str, Mapping[str, float]], topology: Topology) -> dict[str, dict[Any, float]]:
    """Return architecture weights as JSON keeps them with the numbers of input states as numbers again.

    Where a node's inputs were one choice from sets of them, such as ``0+2``, an input's share is the sum of the weights
    of its sets, each divided by the size of the set.
    """
    nodes = {label for cell in topology.cells.values() for label in cell.node_labels.values()}
    found: dict[str, dict[Any, float]] = {}
    for label, own in weights.items():
        if label not in nodes:
            found[label] = dict(own)
            continue
        inputs: dict[Any, float] = {}
        for name, share in own.items():
            chosen = str(name).split("+")
            for source in map(int, chosen):
                inputs[source] = inputs.get(source, 0.0) + share / len(chosen)
        found[label] = inputs
    return found


def uniform_weights(topology: Topology) -> dict[str, dict[Any, float]]:
    """Return architecture weights that prefer nothing."""
    weights: dict[str, dict[Any, float]] = {}
    for cell in topology.cells.values():
        weights |= {edge.label: dict.fromkeys(topology.operations, 1 / len(topology.operations)) for edge in cell.edges}
        weights |= {label: dict.fromkeys(range(node), 1 / node) for node, label in cell.node_labels.items()}
    return weights | {label: dict.fromkeys(names, 1 / len(names)) for label, names in topology.choices.items()}


def sample_architecture(
    topology: Topology, weights: ArchWeights, rng: np.random.Generator
) -> dict[str, dict[Any, float]]:
    """Return one-hot architecture weights of one architecture, every choice drawn with its weights as probabilities.

    The inputs of a node are drawn without replacement, one after the other.
    """

    def drawn(own: Mapping[Any, float], count: int) -> list[Any]:
        names = list(own)
        weights = np.array([own[name] for name in names], dtype=np.float64) + 1e-12
        return [names[index] for index in rng.choice(len(names), count, replace=False, p=weights / weights.sum())]

    certain: dict[str, dict[Any, float]] = {}
    for cell in topology.cells.values():
        for edge in cell.edges:
            [chosen] = drawn(weights[edge.label], 1)
            certain[edge.label] = {name: float(name == chosen) for name in topology.operations}
        for node, label in cell.node_labels.items():
            certain[label] = {source: 2.0 ** -(rank + 1) for rank, source in enumerate(drawn(weights[label], node))}
    for label, names in topology.choices.items():
        [chosen] = drawn(weights[label], 1)
        certain[label] = {name: float(name == str(chosen)) for name in names}
    return certain


def open_choices(topology: Topology) -> dict[str, list[str]]:
    """Return the candidates of every label that leaves something to choose, as texts.

    A candidate of a node is the set of its inputs, such as ``0+2``; as many as a node keeps.
    """
    found: dict[str, list[str]] = {}
    for cell in topology.cells.values():
        found |= {edge.label: list(topology.operations) for edge in cell.edges}
        for node, label in cell.node_labels.items():
            found[label] = ["+".join(map(str, some)) for some in combinations(range(node), cell.kept_inputs(node))]
    found |= {label: list(names) for label, names in topology.choices.items()}
    return {label: names for label, names in found.items() if len(names) > 1}


def as_text(choice: Any) -> str:
    """Return a choice of NNI's as `open_choices` writes it; the inputs of a node joined by +.

    >>> as_text([2, 0]), as_text("sep_conv_3x3")
    ('0+2', 'sep_conv_3x3')
    """
    return "+".join(map(str, sorted(choice))) if isinstance(choice, list | tuple) else str(choice)


def weight_statistics(
    weights: Mapping[str, Mapping[str, float]], groups: Mapping[str, frozenset[str]]
) -> dict[str, float]:
    """Return what the edges' weights say on average: entropy in nats, gap of the first two, share of each group.

    Args:
        weights: of all choices; only edges count.
        groups: names of operations by what they are called together, such as ``skip`` and ``zero``.
    """
    edges = list(only_edges(weights).values())
    if not edges:
        return {}
    found = {"alpha_entropy": sum(map(entropy, edges)) / len(edges)}
    first_two = [sorted(own.values(), reverse=True)[:2] for own in edges]
    found["alpha_gap"] = sum(best[0] - best[-1] for best in first_two) / len(edges)
    for group, names in groups.items():
        found[f"{group}_share"] = sum(own.get(name, 0.0) for own in edges for name in names) / len(edges)
    return found


def one_hot_weights(topology: Topology, choices: Mapping[str, str]) -> dict[str, dict[Any, float]]:
    """Return one-hot architecture weights for one candidate of every open label.

    Raises:
        ArchitectureError: for labels and candidates that do not exist, and labels without a choice, all at once.
    """
    known = open_choices(topology)
    problems = [f"{label} is not a choice of this space" for label in choices if label not in known]
    for label, names in known.items():
        if label not in choices:
            problems.append(f"{label} is missing")
        elif choices[label] not in names:
            problems.append(f"{label}: {choices[label]!r} is none of {', '.join(names)}")
    if problems:
        raise ArchitectureError(f"derivation.choices: {'; '.join(problems)}. Each of {', '.join(known)} takes one.")
    certain = uniform_weights(topology)
    nodes = {label for cell in topology.cells.values() for label in cell.node_labels.values()}
    for label, choice in choices.items():
        chosen = set(map(int, choice.split("+"))) if label in nodes else {choice}
        certain[label] = {name: (name in chosen) / len(chosen) for name in certain[label]}
    return certain


def record_weights(architecture: Architecture, topology: Topology, weights: ArchWeights) -> Architecture:
    """Return the same decisions with the architecture weights that a search gave them."""
    cells = {}
    for kind, cell in topology.cells.items():
        labels = {(edge.source, edge.target): edge.label for edge in cell.edges}
        found = architecture.cells[kind]
        told: dict[str, list[Any]] = {"edges": [], "pruned": []}
        for name, edges in told.items():
            for edge in getattr(found, name):
                own = weights[labels[edge.source, edge.target]]
                facts = {
                    "zero_share": float(own.get(topology.zero or "", 0.0)),
                    "input_share": float(weights[cell.node_labels[edge.target]][edge.source]),
                }
                if name == "edges":
                    facts["operation_share"] = float(own[edge.operation])
                edges.append(edge.model_copy(update=facts))
        cells[kind] = found.model_copy(update={name: tuple(edges) for name, edges in told.items()})
    choices = {
        label: record.model_copy(update={"share": float(weights[label][record.choice])})
        for label, record in architecture.choices.items()
    }
    return architecture.model_copy(update={"cells": cells, "choices": choices})
