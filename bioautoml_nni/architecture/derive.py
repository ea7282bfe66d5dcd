"""From the architecture weights of a relaxed search to one discrete architecture.

The rule, per kind of cell, nodes in ascending order:

1. Weights are softmax-normalised per edge (over its operations) and per node (over its inputs). Raw logits of
   different edges are never compared.
2. Zero rule: an edge is removed if the zero operation has more than half of the share, that is, more than all
   operations that do something together. A mere plurality does not tell: where a batch norm follows, the share of zero
   on a node's edges only scales what the norm rescales (DARTS, arXiv 1806.09055, section 2.4), so that it drifts.
3. An edge from a node without input is removed (dead source).
4. A node keeps its `inputs_per_node` strongest edges; strength is input share times operation share. An input whose
   share is exactly zero was not chosen.
5. If nothing is left, the strongest non-zero operation on the strongest edge from the cell's input is put back, so
   that the output always depends on the input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .schema import Architecture, CellArchitecture, Choice, Edge, PrunedEdge, SpaceRecord
from .topology import CellTopology, EdgeTopology, Topology

ZERO = 0.5
"""Share of the zero operation above which it removes an edge."""

ArchWeights = Mapping[str, Mapping[Any, float]]
"""For each label the normalised share of each of its candidates."""


@dataclass(frozen=True)
class _Scored:
    edge: EdgeTopology
    operation: str
    operation_share: float
    zero_share: float
    input_share: float
    is_zero: bool

    @property
    def strength(self) -> float:
        return self.input_share * self.operation_share

    def kept(self) -> Edge:
        return Edge(
            source=self.edge.source,
            target=self.edge.target,
            operation=self.operation,
            operation_share=self.operation_share,
            zero_share=self.zero_share,
            input_share=self.input_share,
        )

    def pruned(self, reason: Any) -> PrunedEdge:
        return PrunedEdge(
            source=self.edge.source,
            target=self.edge.target,
            reason=reason,
            zero_share=self.zero_share,
            input_share=self.input_share,
        )


Barred = Mapping[str, frozenset[str]]
"""For some labels the candidates that must not be chosen, whatever their share."""


def derive(
    topology: Topology,
    weights: ArchWeights,
    space: SpaceRecord,
    provenance: Mapping[str, Any] | None = None,
    barred: Barred | None = None,
) -> Architecture:
    """Derive an architecture from normalised architecture weights.

    Args:
        topology: what the space leaves open.
        weights: for each label of the topology, the share of each candidate; the weights of a label sum to one.
        space: the space's name and arguments, recorded in the result.
        provenance: recorded in the result.
        barred: what a budget rules out; at least one candidate besides zero must be left for each label.
    """
    choices, barred = {}, barred or {}
    for label in topology.choices:
        allowed = {str(name): float(share) for name, share in weights[label].items()}
        share, best = max((share, name) for name, share in allowed.items() if name not in barred.get(label, ()))
        choices[label] = Choice(choice=best, share=share)
    cells = {kind: _derive_cell(cell, topology, weights, barred) for kind, cell in topology.cells.items()}
    return Architecture(space=space, cells=cells, choices=choices, provenance=dict(provenance or {}))


def dense(architecture: Architecture, topology: Topology, weights: ArchWeights) -> Architecture:
    """Return what `architecture` would be if no edge were removed: the strongest operation on every candidate edge.

    An edge that the architecture keeps has the operation that it has there.
    """
    cells = {}
    for kind, cell in topology.cells.items():
        kept = {(edge.source, edge.target): edge for edge in architecture.cells[kind].edges}
        edges = tuple(
            kept.get((edge.source, edge.target))
            or _score(edge, topology, weights, float(weights[cell.node_labels[edge.target]][edge.source])).kept()
            for edge in cell.edges
        )
        cells[kind] = CellArchitecture(nodes=cell.nodes, inputs_per_node=cell.nodes, edges=edges)
    return architecture.model_copy(update={"cells": cells, "sparsity": None})


def _derive_cell(cell: CellTopology, topology: Topology, weights: ArchWeights, barred: Barred) -> CellArchitecture:
    kept: list[Edge] = []
    pruned: list[PrunedEdge] = []
    alive = {0}
    for node, label in cell.node_labels.items():
        live: list[_Scored] = []
        for edge in cell.incoming(node):
            scored = _score(edge, topology, weights, float(weights[label][edge.source]), barred.get(edge.label))
            if scored.is_zero:
                pruned.append(scored.pruned("zero"))
            elif edge.source not in alive:
                pruned.append(scored.pruned("dead_source"))
            else:
                live.append(scored)
        live.sort(key=lambda scored: -scored.strength)
        count = min(cell.inputs_per_node, sum(scored.input_share > 0 for scored in live))
        kept.extend(scored.kept() for scored in live[:count])
        pruned.extend(scored.pruned("input_not_chosen") for scored in live[count:])
        if count:
            alive.add(node)
    if not kept:
        kept = [_revive(cell, topology, weights, barred)]
        pruned = [edge for edge in pruned if (edge.source, edge.target) != (kept[0].source, kept[0].target)]
    kept.sort(key=lambda edge: (edge.target, edge.source))
    return CellArchitecture(
        nodes=cell.nodes, inputs_per_node=cell.inputs_per_node, edges=tuple(kept), pruned=tuple(pruned)
    )


def _score(
    edge: EdgeTopology,
    topology: Topology,
    weights: ArchWeights,
    input_share: float,
    barred: frozenset[str] | None = None,
) -> _Scored:
    edge_weights = {str(name): float(share) for name, share in weights[edge.label].items()}
    zero_share = edge_weights.get(topology.zero or "", 0.0)
    allowed = [name for name in topology.operations if name != topology.zero and name not in (barred or ())]
    best = max(allowed, key=lambda name: edge_weights[name])
    return _Scored(edge, best, edge_weights[best], zero_share, input_share, is_zero=zero_share > ZERO)


def _revive(cell: CellTopology, topology: Topology, weights: ArchWeights, barred: Barred) -> Edge:
    candidates = [
        _score(edge, topology, weights, float(weights[cell.node_labels[edge.target]][0]), barred.get(edge.label))
        for edge in cell.edges
        if edge.source == 0
    ]
    return max(candidates, key=lambda scored: scored.strength).kept()
