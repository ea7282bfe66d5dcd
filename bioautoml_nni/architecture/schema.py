"""The architecture file: plain JSON, validated on reading, never evaluated.

Schema version 2 is that of networks on a pretrained trunk, which it describes; everything else is written as version 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..utils.atomic import write_json
from ..utils.errors import ArchitectureError
from .topology import Topology

Share = Annotated[float, Field(ge=0, le=1 + 1e-6)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Connection(_Record):
    source: int = Field(ge=0)
    target: int = Field(ge=1)
    zero_share: Share
    input_share: Share


class Edge(_Connection):
    """A kept edge. ArchWeights are relaxed weights at the end of the search, normalised over the alternatives.

    Attributes:
        operation_share: share of `operation` among the candidates on this edge.
        zero_share: share of the zero operation on this edge.
        input_share: share of this input among the inputs of `target`.
    """

    operation: str
    operation_share: Share


class PrunedEdge(_Connection):
    """An edge that the derived network does not have, and why."""

    reason: Literal["zero", "input_not_chosen", "dead_source"]


class CellArchitecture(_Record):
    """One kind of cell: `edges` are what remains, `pruned` what the search removed.

    Every source of an edge is the input (0) or a node with an input of its own, so no edge is dead; the cell's
    output is made of all nodes that are alive.
    """

    nodes: int = Field(ge=1)
    inputs_per_node: int = Field(ge=1)
    edges: tuple[Edge, ...]
    pruned: tuple[PrunedEdge, ...] = ()

    @property
    def live_nodes(self) -> tuple[int, ...]:
        """Nodes that have an input, in ascending order."""
        return tuple(sorted({edge.target for edge in self.edges}))

    def incoming(self, node: int) -> list[Edge]:
        """Kept edges into `node`."""
        return [edge for edge in self.edges if edge.target == node]

    @model_validator(mode="after")
    def _connected(self) -> CellArchitecture:
        alive = {0, *self.live_nodes}
        seen: set[tuple[int, int]] = set()
        connections: list[_Connection] = [*self.edges, *self.pruned]
        for edge in connections:
            if edge.source >= edge.target or edge.target > self.nodes:
                raise ValueError(
                    f"edge {edge.source}->{edge.target} does not lead forward to one of {self.nodes} nodes"
                )
            if (edge.source, edge.target) in seen:
                raise ValueError(f"edge {edge.source}->{edge.target} stands twice")
            seen.add((edge.source, edge.target))
        for edge in self.edges:
            if edge.source not in alive:
                raise ValueError(f"edge {edge.source}->{edge.target} comes from a node without input")
        if not self.edges:
            raise ValueError("no edge connects the cell's output to its input")
        for node in self.live_nodes:
            if len(self.incoming(node)) > self.inputs_per_node:
                raise ValueError(f"node {node} has more than {self.inputs_per_node} inputs")
        return self


class Choice(_Record):
    """A further decision (the fusion) and its share among the alternatives."""

    choice: str
    share: Share


class SpaceRecord(_Record):
    """The search space by plug-in name, with the arguments that rebuild it."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Cost(_Record):
    """What a network costs: trained numbers, and floating-point operations of one specimen."""

    parameters: int = Field(ge=0)
    flops: int = Field(ge=0)


class Sparsity(_Record):
    """What the search removed, counted on the network that is trained.

    Attributes:
        edges, edges_kept: candidate edges of all kinds of cells, and how many of them remain.
        network: cost of the derived network.
        dense: cost of the same network with the strongest operation on every candidate edge.
    """

    edges: int = Field(ge=0)
    edges_kept: int = Field(ge=0)
    network: Cost
    dense: Cost


class TrunkRecord(_Record):
    """The part of a pretrained encoder that a network stands on.

    Attributes:
        stages: whose maps are read; the trunk ends at the last one, unless the embedding is read.
        embedding: whether the whole encoder's embedding is read.
        frozen: whether the search kept the encoder as it is; the training of the network may do otherwise.
        weights: digest of the encoder's weights.
        licence, origin: of the weights.
    """

    encoder: str
    stages: tuple[int, ...]
    embedding: bool
    frozen: bool
    weights: str
    licence: str
    origin: str


class Architecture(_Record):
    """A fixed architecture: everything that a search decided, and where it came from."""

    schema_version: Literal[1, 2] = 1
    space: SpaceRecord
    cells: dict[str, CellArchitecture]
    choices: dict[str, Choice] = Field(default_factory=dict)
    sparsity: Sparsity | None = None
    trunk: TrunkRecord | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _version_says_what_it_holds(self) -> Architecture:
        if (self.schema_version == 2) != (self.trunk is not None):
            raise ValueError("schema_version must be 2 with a trunk, and 1 without")
        return self

    def on_trunk(self, trunk: TrunkRecord | None) -> Architecture:
        """Return the same with what is known of its trunk; None is not a trunk."""
        return self.model_copy(update={"trunk": trunk, "schema_version": 1 if trunk is None else 2})

    def save(self, path: Path) -> None:
        """Write the file atomically."""
        write_json(path, self.model_dump(mode="json", exclude=None if self.trunk else {"trunk"}))

    @classmethod
    def load(cls, path: Path) -> Architecture:
        """Read and validate an architecture file.

        Raises:
            ArchitectureError: naming the file and every fault in it.
        """
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ArchitectureError(f"{path}: there is no architecture file; run the search first.") from None
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ArchitectureError(f"{path}: not a JSON file ({error}); restore it or search again.") from None
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault['msg']}" for fault in error.errors()
            )
            raise ArchitectureError(f"{path}: not a valid architecture: {faults}.") from None

    def sample(self, topology: Topology) -> Mapping[str, Any]:
        """Return the NNI sample (label to choice) that freezes a space of this topology to the same function.

        Raises:
            ArchitectureError: if a cell, an operation or a choice is not part of `topology`.
        """
        self.check(topology)
        sample: dict[str, Any] = {label: topology.values[label][own.choice] for label, own in self.choices.items()}
        for kind, cell in topology.cells.items():
            kept = {(edge.source, edge.target): edge.operation for edge in self.cells[kind].edges}
            for edge in cell.edges:
                sample[edge.label] = kept.get((edge.source, edge.target), topology.zero or topology.operations[0])
            for node, label in cell.node_labels.items():
                sources = [edge.source for edge in cell.incoming(node)]
                order = [s for s in sources if (s, node) in kept] + [s for s in sources if (s, node) not in kept]
                sample[label] = sorted(order[: min(cell.inputs_per_node, len(sources))])
        return sample

    def decisions(self) -> str:
        """Return a text that is the same for architectures which build the same network."""
        cells = {
            kind: [[edge.source, edge.target, edge.operation] for edge in cell.edges]
            for kind, cell in sorted(self.cells.items())
        }
        return json.dumps([cells, {label: record.choice for label, record in sorted(self.choices.items())}])

    def check(self, topology: Topology) -> None:
        """Raise `ArchitectureError` unless every decision of `topology` is made, with a known candidate."""
        problems: list[str] = []
        for kind in sorted(set(self.cells) ^ set(topology.cells)):
            where = "the space" if kind in topology.cells else "the architecture"
            problems.append(f"cell {kind!r} exists only in {where}")
        for kind in sorted(set(self.cells) & set(topology.cells)):
            if self.cells[kind].nodes != topology.cells[kind].nodes:
                problems.append(f"cell {kind!r} has {self.cells[kind].nodes} nodes, not {topology.cells[kind].nodes}")
            for edge in self.cells[kind].edges:
                if edge.operation not in topology.operations:
                    problems.append(f"cell {kind!r} uses operation {edge.operation!r}, which the space does not have")
        for label in sorted(set(self.choices) | set(topology.choices)):
            record, names = self.choices.get(label), topology.choices.get(label, ())
            if record is None or record.choice not in names:
                problems.append(
                    f"choice {label!r} is {record and record.choice!r}, not one of {', '.join(names) or '-'}"
                )
        if problems:
            raise ArchitectureError(f"The architecture does not fit the space: {'; '.join(problems)}.")
