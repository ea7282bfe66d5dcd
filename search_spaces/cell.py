"""The searchable cell and its fixed counterpart.

States are numbered: 0 is the cell's input, 1..nodes are the intermediate nodes. Node t sees every state before it.
The output concatenates the nodes and mixes them to the wanted width with a 1x1 convolution. The paper
(arXiv 2510.05888) leaves that last part open; a concatenation keeps every node of use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

import torch
from nni.nas.nn.pytorch import InputChoice, LayerChoice
from torch import Tensor, nn

from bioautoml_nni.architecture import CellArchitecture, CellTopology, EdgeTopology
from bioautoml_nni.architecture.topology import edge_label
from bioautoml_nni.kernels.convolution import mixed_channels
from bioautoml_nni.kernels.mixture import Mixture, added_terms
from bioautoml_nni.kernels.norm_relu import NormReLU
from bioautoml_nni.kernels.passes import usable

OperationClasses = Mapping[str, type[nn.Module]]


def cell_topology(kind: str, nodes: int, inputs_per_node: int) -> CellTopology:
    """Return the labelled edges and nodes of a fully connected cell."""
    edges = tuple(
        EdgeTopology(source, target, edge_label(kind, source, target))
        for target in range(1, nodes + 1)
        for source in range(target)
    )
    return CellTopology(edges, {node: f"{kind}_node_{node}" for node in range(1, nodes + 1)}, inputs_per_node)


class OutputProjection(nn.Sequential):
    """1x1 convolution, batch norm and ReLU from the concatenated nodes to the cell's output."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU())

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """Map nodes (N, C_i, H, W), whose C_i add up to C_in, to (N, C_out, H, W).

        In training on a CPU the nodes are not concatenated, and passes over memory are fewer; the result is the same.
        """
        convolution: Any = self[0]
        norm = self[1]
        if not (all(_learns(self, state) for state in states) and type(norm) is nn.BatchNorm2d):
            return super().forward(torch.cat(list(states), dim=1))
        mixed = mixed_channels(states, convolution.weight)
        return added_terms(None, mixed, [NormReLU((), norm, mixed.new_ones(()))])


class MeanOf(nn.Module):
    """The mean of some inputs of a node: what an `InputChoice` with n_chosen of them computes once it is decided.

    Args:
        chosen: positions of the inputs.
    """

    def __init__(self, chosen: Sequence[int]) -> None:
        super().__init__()
        self.chosen = tuple(chosen)

    def forward(self, *states: Tensor) -> Tensor:
        """Return the mean of the chosen inputs, in the shape of one; each is an argument, as NNI's Proxyless needs."""
        first, *others = (states[position] for position in self.chosen)
        return sum(others, first) / len(self.chosen) if others else first


def of_several(choice: nn.Module, *inputs: Tensor) -> Tensor:
    """Call a choice with several arguments.

    NNI's own `LayerChoice` takes one; until a strategy has replaced it, it stands for its first candidate.
    """
    module: Any = choice
    if type(choice) is LayerChoice:  # exactly, as NNI asks too: what strategies put in its place derives from it
        module = module[module.names[0]]
    found: Tensor = module(*inputs)
    return found


class SearchCell(nn.Module):
    """A cell with a `LayerChoice` on every edge and an `InputChoice` at every node.

    Args:
        topology: labels of edges and nodes; equal labels share their decision.
        in_channels: C of the input, also the width inside the cell.
        out_channels: C of the output.
        stride: 1, or 2 to halve the size on the edges from the input.
        operations: candidate classes by name.
        node_inputs: "multiple", or "sets": a node's inputs are one choice from all sets of as many inputs.
    """

    def __init__(
        self,
        topology: CellTopology,
        in_channels: int,
        out_channels: int,
        stride: int,
        operations: OperationClasses,
        node_inputs: Literal["multiple", "sets"] = "multiple",
    ) -> None:
        super().__init__()
        self.nodes = topology.nodes
        self.of_sets = node_inputs == "sets"
        self.edges = nn.ModuleDict()
        self.inputs = nn.ModuleDict()
        for edge in topology.edges:
            edge_stride = stride if edge.source == 0 else 1
            candidates = {name: operation(in_channels, edge_stride) for name, operation in operations.items()}
            self.edges[f"{edge.source}_{edge.target}"] = LayerChoice(candidates, label=edge.label)
        for node, label in topology.node_labels.items():
            chosen = topology.kept_inputs(node)
            if self.of_sets:
                sets = {"+".join(map(str, some)): MeanOf(some) for some in combinations(range(node), chosen)}
                self.inputs[str(node)] = LayerChoice(sets, label=label)
            else:
                self.inputs[str(node)] = InputChoice(node, n_chosen=chosen, reduction="mean", label=label)
        self.project = OutputProjection(topology.nodes * in_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, ceil(H / stride), ceil(W / stride))."""
        states = [features]
        for node in range(1, self.nodes + 1):
            edges = [self.edges[f"{source}_{node}"] for source in range(node)]
            choice: Any = self.inputs[str(node)]
            if hasattr(choice, "of_edges"):  # a supernet's own way to the same
                states.append(choice.of_edges(edges, states))
            else:
                found = [edge(state) for edge, state in zip(edges, states, strict=True)]
                states.append(of_several(choice, *found) if self.of_sets else choice(found))
        return self.project(states[1:])


class FixedCell(nn.Module):
    """A cell without choices and without dead code: only kept edges and live nodes exist.

    A node is the sum of its kept edges divided by the number of inputs that the searched node chose, so that it
    computes the same function as the frozen search space, where removed edges contribute zeros.

    Attributes:
        out_channels: C of the output.
        drop_path: probability with which a training specimen goes without an edge that is not a skip; what is left is
            scaled up to the same mean. Larsson et al., arXiv 1605.07648.
    """

    drop_path = 0.0

    def __init__(
        self,
        architecture: CellArchitecture,
        in_channels: int,
        out_channels: int,
        stride: int,
        operations: OperationClasses,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.edges = nn.ModuleDict()
        self.incoming: dict[int, list[int]] = {}
        self.droppable: set[tuple[int, int]] = set()
        self.divisors: dict[int, int] = {}
        self.nodes = architecture.nodes
        self.operation_names = {f"{edge.source}_{edge.target}": edge.operation for edge in architecture.edges}
        for edge in architecture.edges:
            operation = operations[edge.operation](in_channels, stride if edge.source == 0 else 1)
            self.edges[f"{edge.source}_{edge.target}"] = operation
            self.incoming.setdefault(edge.target, []).append(edge.source)
            self.divisors[edge.target] = min(architecture.inputs_per_node, edge.target)
            if "skip" not in getattr(operations[edge.operation], "capabilities", ()):
                self.droppable.add((edge.source, edge.target))
        self.live_nodes = architecture.live_nodes
        self.project = OutputProjection(len(self.live_nodes) * in_channels, out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C_in, H, W) to (N, C_out, ceil(H / stride), ceil(W / stride))."""
        states, node_of = {0: features}, self._mixed if _learns(self, features) else self._summed
        for node in self.live_nodes:
            states[node] = node_of(node, states)
        return self.project([states[node] for node in self.live_nodes])

    def _summed(self, node: int, states: Mapping[int, Tensor]) -> Tensor:
        total: Tensor | None = None
        for source in self.incoming[node]:
            value = self._kept(source, node, self.edges[f"{source}_{node}"](states[source]))
            total = value if total is None else total + value
        assert total is not None  # a live node has an edge
        return total / self.divisors[node] if self.divisors[node] > 1 else total

    def _mixed(self, node: int, states: Mapping[int, Tensor]) -> Tensor:
        """Return the same, made like the nodes of a supernet."""
        mixture, share = Mixture(), states[0].new_tensor(1 / self.divisors[node])
        for source in self.incoming[node]:
            operation: Any = self.edges[f"{source}_{node}"]
            mixture.read(states[source])
            dropped = bool(self.drop_path) and (source, node) in self.droppable
            if hasattr(operation, "add_to") and not dropped:
                operation.add_to(mixture, share)
            else:
                mixture.add(share * self._kept(source, node, operation(mixture.features)))
        return mixture.result()

    def _kept(self, source: int, node: int, value: Tensor) -> Tensor:
        """Return an edge's result, in training without a share of the specimens where drop-path wants that."""
        if not (self.training and self.drop_path and (source, node) in self.droppable):
            return value
        return value * _kept(value, self.drop_path)


def _learns(module: nn.Module, features: Tensor) -> bool:
    """Whether gradients are wanted, and the compiled passes take the features and what is made of them."""
    casts = torch.is_autocast_enabled(features.device.type)
    return module.training and torch.is_grad_enabled() and usable(features) and not casts


def _kept(like: Tensor, drop: float) -> Tensor:
    """Return for each specimen 0 with probability `drop`, and what keeps the mean otherwise (N, 1, 1, 1)."""
    return (torch.rand(len(like), 1, 1, 1, device=like.device) >= drop).to(like.dtype) / (1 - drop)
