"""NAS-Bench-101's cell in a supernet: one valid cell at a time, on weights that all cells share.

The channels of a vertex depend on the whole cell (Ying et al., arXiv 1902.09635), so that no weighted sum of all cells
exists, and a condition on the number of edges holds between its choices. A supernet therefore runs one cell that meets
the condition. Its layers take the first channels of shared ones (slimmable layers: Yu et al., arXiv 1812.08928).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

import numpy as np
import torch
from nni.mutable import Constraint, SampleValidationError
from nni.nas.hub.pytorch.modules import nasbench101 as theirs
from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
from torch import Tensor, nn
from torch.func import functional_call

TRIES = 1_000
"""How often a cell is drawn until one meets the condition; with nothing learned yet about every third does."""


@dataclass(frozen=True)
class Plan:
    """A cell without what its output does not depend on.

    Attributes:
        vertices: those kept, by their place before; input and output are the first and the last.
        operations: names of the operations of all but these two.
        edges: (V, V), whether the row's vertex feeds the column's.
        channels: of every vertex.
    """

    vertices: tuple[int, ...]
    operations: tuple[str, ...]
    edges: np.ndarray
    channels: tuple[int, ...]


class SharedCell(BaseSuperNetModule):
    """NAS-Bench-101's cell whose layers are the first channels of shared ones; subclasses decide which cell runs."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self._cell = (cell,)  # not a module of the supernet: its choices are this one's
        self.add_mutable(cell.constraint)
        self.label = cell.label
        self.ops = nn.ModuleList(
            nn.ModuleDict({name: layer[name] for name in layer.names})
            if isinstance(layer, theirs.LayerChoice)
            else layer
            for layer in cell.ops
        )
        self.projections = cell.projections
        self._patterns: dict[tuple[str, int], nn.Module] = {}
        self.sample: Mapping[str, Any] = {}

    @property
    def constraint(self) -> Any:
        """The condition that a cell has to meet."""
        return self._cell[0].constraint

    def plan(self, sample: Mapping[str, Any]) -> Plan:
        """Return the cell of these choices, as NNI prunes it and gives channels to its vertices."""
        cell, constraint = self._cell[0], self.constraint
        count = sample[constraint.num_nodes.label]
        inputs = [list(sample[choice.label]) for choice in constraint.inputs[: count - 1]]
        matrix = theirs._NasBench101CellFixed.build_connection_matrix(inputs, count)
        vertices: list[Any] = list(range(count))
        matrix, vertices = theirs.prune(matrix, vertices)
        operations = tuple(str(sample[constraint.operations[vertex - 1].label]) for vertex in vertices[1:-1])
        channels = theirs.compute_vertex_channels(cell.in_features, cell.out_features, matrix)
        return Plan(tuple(vertices), operations, matrix.astype(bool), tuple(map(int, channels)))

    def forward(self, features: Tensor) -> Tensor:
        """Run the present cell."""
        plan, values = self.plan(self.sample), [features]
        last = len(plan.vertices) - 1
        for vertex in range(1, last):
            arriving = [
                self.gate_edge(plan, source, vertex, theirs.truncate(values[source], plan.channels[vertex]))
                for source in range(1, vertex)
                if plan.edges[source, vertex]
            ]
            if plan.edges[0, vertex]:
                arriving.append(self._projected(plan, vertex, features))
            name, place = plan.operations[vertex - 1], plan.vertices[vertex]
            layer = self._layer(cast(nn.ModuleDict, self.ops[place])[name], name, plan.channels[vertex], sum(arriving))
            values.append(self.gate_operation(place, name, layer))
        chosen = [self.gate_edge(plan, v, last, values[v]) for v in range(1, last) if plan.edges[v, last]]
        outputs = [torch.cat(chosen, 1)] if chosen else []
        if plan.edges[0, last]:
            outputs.append(self._projected(plan, last, features))
        return self.gate_cell(sum(outputs[1:], outputs[0]))

    def _projected(self, plan: Plan, vertex: int, features: Tensor) -> Tensor:
        shared = self.projections[plan.vertices[vertex]]
        return self.gate_edge(plan, 0, vertex, self._layer(shared, "", plan.channels[vertex], features))

    def _layer(self, shared: nn.Module, name: str, width: int, features: Any) -> Tensor:
        """Run the first channels of a shared layer."""
        pattern = self._pattern(name, width)
        for own, like in zip(pattern.modules(), shared.modules(), strict=True):
            own.training = like.training
            _follow(own, like)
        found: Tensor = functional_call(pattern, first_channels(shared, pattern), (features,))
        return found

    def _pattern(self, name: str, width: int) -> nn.Module:
        """Return a layer of this width that has shapes and no numbers; "" is a projection."""
        if (name, width) not in self._patterns:
            with torch.device("meta"):
                self._patterns[name, width] = self._made(name, width)
        return self._patterns[name, width]

    def _made(self, name: str, width: int) -> nn.Module:
        cell = self._cell[0]
        made: nn.Module = cell.op_candidates[name](width) if name else cell.projection(cell.in_features, width)
        return made

    def gate_edge(self, plan: Plan, source: int, target: int, value: Tensor) -> Tensor:
        """Return what passes an edge; a subclass may let a gradient through to the edge's choice."""
        return value

    def gate_operation(self, vertex: int, name: str, value: Tensor) -> Tensor:
        """Return what an operation gives."""
        return value

    def gate_cell(self, value: Tensor) -> Tensor:
        """Return what the cell gives."""
        return value

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        """Return the cell of these choices with the supernet's weights."""
        self.constraint.freeze(sample)
        plan, cell = self.plan(sample), self._cell[0]
        fixed: nn.Module = cell.freeze(sample)
        layers: Any = fixed
        for index, vertex in enumerate(plan.vertices[1:], start=1):
            self._fill(layers.projections[index], self.projections[vertex])
        for index, name in enumerate(plan.operations, start=1):
            self._fill(layers.ops[index], cast(nn.ModuleDict, self.ops[plan.vertices[index]])[name])
        return fixed.train(self.training)

    @staticmethod
    def _fill(layer: nn.Module, shared: nn.Module) -> None:
        layer.load_state_dict({name: tensor.detach().clone() for name, tensor in first_channels(shared, layer).items()})
        for own, like in zip(layer.modules(), shared.modules(), strict=True):
            _follow(own, like)


def _follow(own: nn.Module, like: nn.Module) -> None:
    """Give a norm the settings of another, which the space may have changed after it made its cells."""
    if isinstance(own, nn.modules.batchnorm._BatchNorm) and isinstance(like, nn.modules.batchnorm._BatchNorm):
        own.eps, own.momentum = like.eps, like.momentum


def first_channels(shared: nn.Module, like: nn.Module) -> dict[str, Tensor]:
    """Return views of a layer's tensors in the shapes of a narrower one."""
    tensors = {**dict(shared.named_parameters()), **dict(shared.named_buffers())}
    return {
        name: tensors[name][tuple(slice(0, size) for size in own.shape)]
        for name, own in like.state_dict(keep_vars=True).items()
        if name in tensors
    }


class SampledNasBench101(SharedCell):
    """The cell of a sampled path."""

    def resample(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Take the choices of this cell's labels, or draw valid ones."""
        if self.constraint.num_nodes.label not in memo:
            memo.update(self.drawn())
        self.sample = memo
        return dict(memo)

    def drawn(self, random_state: np.random.RandomState | None = None) -> dict[str, Any]:
        """Return choices that meet the condition.

        Raises:
            ValueError: if none of many does.
        """
        for _ in range(TRIES):
            found: dict[str, Any] = {}
            try:
                self.constraint.random(found, random_state)
            except SampleValidationError:
                continue
            return found
        raise ValueError(f"none of {TRIES} cells drawn at random meets the condition {self.constraint.label!r}")

    def export(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Return random choices."""
        return {} if self.constraint.num_nodes.label in memo else self.drawn()

    def export_probs(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Return equal probabilities."""
        return {}

    @classmethod
    def mutate(cls, module: Any, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]) -> Any:
        """NNI mutation hook."""
        return cls(module) if type(module) is theirs.NasBench101Cell else None


class MixedNasBench101(SharedCell):
    """One cell drawn from the architecture weights in every training batch, the strongest valid one otherwise.

    A number of vertices and an operation are drawn by a softmax, an edge by a sigmoid, until the cell meets the
    condition; all cells of one label are the same. What was drawn has the weight one in the sum, and as its gradient
    that of its probability (straight-through: Bengio et al., arXiv 1308.3432).
    """

    def __init__(self, cell: Any, alphas: Mapping[str, nn.Parameter], first: MixedNasBench101 | None = None) -> None:
        super().__init__(cell)
        self._arch_alpha = nn.ParameterDict(dict(alphas))
        self._first = (first,)

    def forward(self, features: Tensor) -> Tensor:
        """Draw a cell, where no cell of the same label before has, and run it."""
        [first] = self._first
        if not self.training:
            self.sample = self.strongest()
        else:
            self.sample = self.drawn() if first is None else first.sample
        return super().forward(features)

    def drawn(self) -> dict[str, Any]:
        """Return choices that meet the condition; the strongest, where all that are drawn fail."""
        constraint = self.constraint
        odds = {label: alpha.detach().cpu().float() for label, alpha in self._arch_alpha.items()}
        for _ in range(TRIES):
            found: dict[str, Any] = {}
            for choice in (constraint.num_nodes, *constraint.operations):
                index = int(torch.multinomial(torch.softmax(odds[choice.label], -1), 1))
                found[choice.label] = choice.values[index]
            for choice in constraint.inputs:
                kept = torch.bernoulli(torch.sigmoid(odds[choice.label])).bool().tolist()
                found[choice.label] = [source for source, keep in enumerate(kept) if keep]
            if constraint.check_contains(found) is None:
                return found
        return self.strongest()

    def strongest(self) -> dict[str, Any]:
        """Return the likeliest number of vertices and operations, and of the valid sets of edges the likeliest one."""
        constraint = self.constraint
        odds = {label: alpha.detach().cpu().tolist() for label, alpha in self._arch_alpha.items()}
        found: dict[str, Any] = {}
        for choice in (constraint.num_nodes, *constraint.operations):
            found[choice.label] = choice.values[int(np.argmax(odds[choice.label]))]
        for choice in constraint.inputs:
            found[choice.label] = [source for source, odd in enumerate(odds[choice.label]) if odd > 0]
        count = found[constraint.num_nodes.label]
        own = {(s, t): odds[constraint.inputs[t - 1].label][s] for t in range(1, count) for s in range(t)}
        edges = strongest_edges(own, count, constraint.max_num_edges)
        for target in range(1, count):
            found[constraint.inputs[target - 1].label] = [s for s in range(target) if (s, target) in edges]
        constraint.freeze(found)
        return found

    def _through(self, label: str, index: int, squash: Any, value: Tensor) -> Tensor:
        probability = squash(self._arch_alpha[label])[index]
        return value * (1 + (probability - probability.detach())).to(value.dtype)

    def gate_edge(self, plan: Plan, source: int, target: int, value: Tensor) -> Tensor:
        """Let the gradient of an edge reach its probability."""
        label = self.constraint.inputs[plan.vertices[target] - 1].label
        return self._through(label, plan.vertices[source], torch.sigmoid, value)

    def gate_operation(self, vertex: int, name: str, value: Tensor) -> Tensor:
        """Let the gradient of an operation reach its probability."""
        choice = self.constraint.operations[vertex - 1]
        return self._through(choice.label, choice.values.index(name), _softmax, value)

    def gate_cell(self, value: Tensor) -> Tensor:
        """Let the gradient of the cell reach the probability of its number of vertices."""
        choice = self.constraint.num_nodes
        return self._through(choice.label, choice.values.index(self.sample[choice.label]), _softmax, value)

    def resample(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Do nothing: each forward pass draws."""
        return {}

    def export(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Return the strongest choices."""
        return {} if self.constraint.num_nodes.label in memo else self.strongest()

    def export_probs(self, memo: dict[str, Any]) -> dict[str, Any]:
        """Return probabilities; those of a vertex's inputs are independent of each other."""
        constraint = self.constraint
        if constraint.num_nodes.label in memo:
            return {}
        single = {choice.label for choice in (constraint.num_nodes, *constraint.operations)}
        several = {choice.label for choice in constraint.inputs}
        found: dict[str, Any] = {}
        for label, choice in self.simplify().items():
            if label in single | several:
                alpha = self._arch_alpha[label].detach()
                odds = _softmax(alpha) if label in single else torch.sigmoid(alpha)
                found[label] = dict(zip(choice.values, odds.tolist(), strict=True))
        return found

    @classmethod
    def mutate(cls, module: Any, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]) -> Any:
        """NNI mutation hook."""
        if type(module) is not theirs.NasBench101Cell:
            return None
        choices = {label: choice for label, choice in module.simplify().items() if not isinstance(choice, Constraint)}
        key = f"NAS-Bench-101 {module.label}"
        made = cls(module, {str(label): memo[label] for label in choices}, memo.get(key))
        memo.setdefault(key, made)
        return made


def _softmax(alpha: Tensor) -> Tensor:
    return torch.softmax(alpha, -1)


def strongest_edges(odds: Mapping[tuple[int, int], float], count: int, limit: int) -> set[tuple[int, int]]:
    """Return the set of edges with the largest sum of log-odds that joins input and output.

    Args:
        odds: of every edge (source, target).
        count: of vertices; the first is the input, the last the output.
        limit: on the number of edges.

    Example:
        >>> sorted(strongest_edges({(0, 1): 2.0, (1, 2): 1.0, (0, 2): -3.0}, 3, 2))
        [(0, 1), (1, 2)]
    """
    best: tuple[float, Sequence[tuple[int, int]]] = (float("-inf"), ())
    for size in range(count - 1):
        for inner in combinations(range(1, count - 1), size):
            path = list(zip((0, *inner), (*inner, count - 1), strict=True))
            others = sorted((edge for edge in odds if edge not in path and odds[edge] > 0), key=odds.__getitem__)
            kept = [*path, *others[::-1][: max(0, limit - len(path))]]
            total = sum(odds[edge] for edge in kept)
            if len(path) <= limit and total > best[0]:
                best = total, kept
    return set(best[1])
