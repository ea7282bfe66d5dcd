"""Super-modules: the relaxed forms of `LayerChoice` and `InputChoice`.

They replace NNI's through its mutation hooks. By default the mathematics is that of DARTS (arXiv 1806.09055), a
softmax-weighted sum; what differs is that zeros are not computed and that a node of several inputs has the scale, and
when frozen the reduction, that the space declared (NNI's own super-module forgets both).
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import Any

import torch
from nni.nas.nn.pytorch import InputChoice
from nni.nas.oneshot.pytorch.supermodule.differentiable import (
    DifferentiableMixedCell,
    DifferentiableMixedInput,
    DifferentiableMixedLayer,
)
from torch import Tensor, nn
from torch.nn import functional

from bioautoml_nni.kernels.mixture import Mixture
from bioautoml_nni.utils.errors import PluginError

from .candidates import CannotNarrow, channels_of, has_capability, narrowed
from .relaxations._base import Relaxation
from .relaxations.softmax import Softmax

CONSTANTS = (bool, int, float, str, bytes, type(None), torch.Size, torch.dtype, torch.device)
"""What candidates may return beside tensors: handed on where all agree."""


class UnlikeError(PluginError, ValueError):
    """Candidates or inputs of a choice that a weighted sum cannot take; the text names the choice."""


class MixedOperation(DifferentiableMixedLayer):
    """Weighted sum of all candidates; a candidate that is the zero operation adds nothing and is not run.

    Attributes:
        relaxation: gives the weights; with a hard one, only the sampled candidate is run.
        fast: whether weights are folded into the candidates where they offer it (`add_to`).
        skip_dropout: rate at which values of skip connections are dropped in training.
        input_shape: shape of the last input; None for candidates of several, whose cost is not estimated.
        partial_channels: k; candidates see one k-th of the channels, see `make_partial`.
        told_capabilities: what the space says about its candidates, by name; see `candidates`.
    """

    relaxation: Relaxation = Softmax()
    fast: bool = True
    skip_dropout: float = 0.0
    input_shape: tuple[int, ...] | None = None
    partial_channels: int = 1
    told_capabilities: Mapping[Any, Collection[str] | None] = MappingProxyType({})

    def with_capability(self, capability: str) -> frozenset[Any]:
        """Return the names of the candidates that have a capability, such as "skip" or "zero"."""
        known: dict[str, frozenset[Any]] = self.__dict__.setdefault("_with_capability", {})
        if capability not in known:
            known[capability] = frozenset(
                name for name in self.names if has_capability(self[name], capability, self.told_capabilities.get(name))
            )
        return known[capability]

    def make_partial(self, k: int) -> None:
        """Rebuild the candidates for one k-th of the channels. PC-DARTS, Xu et al., arXiv 1907.05737.

        The other channels pass by, max-pooled where the edge halves the size; then channels are shuffled, so that the
        next edge sees others. The paper's edge normalisation is what `MixedInput` computes.

        Raises:
            CannotNarrow: if a candidate cannot be built so; the choice then stays as it is.
        """
        rebuilt: dict[Any, nn.Module] = {}
        reasons = []
        widths = set()
        for name in self.names:
            try:
                widths.add(channels_of(self[name]) if not hasattr(self[name], "narrowed") else None)
                rebuilt[name] = narrowed(self[name], k)
            except CannotNarrow as error:
                reasons.append(f"its candidate {name} ({type(self[name]).__name__}) {error}")
        for width in sorted(width for width in widths if width is not None and width % k):
            raise CannotNarrow(f"{k} does not divide the {width} channels of {self.label}", torn=True)
        if len(widths - {None}) > 1:
            reasons.append("its candidates have different numbers of channels")
        if reasons:
            raise CannotNarrow("; ".join(reasons), any(True for new in rebuilt.values() for _ in new.parameters()))
        for name, candidate in rebuilt.items():
            self.add_module(str(name), candidate)
        self.partial_channels = k
        self.__dict__.pop("_with_capability", None)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the relaxed output, in the form of the candidates' outputs: a tensor, a tuple, a list or a dictionary.

        Raises:
            UnlikeError: if the outputs differ in form or shape, or a candidate changes its input in place.
        """
        if self.partial_channels == 1:
            return self._relaxed(*args, **kwargs)
        features, k = args[0], self.partial_channels
        seen = features.shape[1] // k
        mixed, rest = self._relaxed(features[:, :seen]), features[:, seen:]
        if mixed.shape[2:] != rest.shape[2:]:
            rest = functional.max_pool2d(rest, 2, 2, ceil_mode=True)
        return functional.channel_shuffle(torch.cat([mixed, rest], dim=1), k)

    def _relaxed(self, *args: Any, **kwargs: Any) -> Any:
        weights = self.relaxation.weights(str(self.label), self._arch_alpha, self.training)
        if len(args) == 1 and isinstance(args[0], Tensor):
            self.input_shape = tuple(args[0].shape)
        if self.relaxation.hard:
            index = int(weights.argmax())
            chosen = self._candidate(self.names[index], *args, **kwargs)
            return weighted([chosen], [weights[index]], self._where([index]))
        if self.fast and self._folds and len(args) == 1 and not kwargs and isinstance(args[0], Tensor):
            return self._fast(args[0], weights)
        each, computed = weights.unbind(), self._computed()
        values = [self._candidate(name, *args, **kwargs) for _, name in computed]
        indices = [index for index, _ in computed]
        return weighted(values, [each[index] for index in indices], self._where(indices))

    @property
    def _folds(self) -> bool:
        """Whether a candidate can add itself to a mixture; it then returns one tensor."""
        candidates = (self[name] for name in self.names)
        return any(own._folds if isinstance(own, MixedOperation) else hasattr(own, "add_to") for own in candidates)

    def _where(self, indices: Sequence[int]) -> str:
        return f"LayerChoice {self.label!r}: candidates {', '.join(str(self.names[index]) for index in indices)}"

    def _computed(self) -> list[tuple[int, Any]]:
        """Return position and name of the candidates that are not zero; zero alone is computed."""
        zeros = self.with_capability("zero")
        return [(i, name) for i, name in enumerate(self.names) if name not in zeros] or list(enumerate(self.names))

    def _fast(self, features: Tensor, weights: Tensor) -> Tensor:
        """Return the same sum with fewer passes over memory: each candidate adds to it as it can do cheapest."""
        mixture = Mixture(features)
        self._add_to(mixture, weights)
        return mixture.result()

    def _add_to(self, mixture: Mixture, weights: Tensor) -> None:
        each = weights.unbind()  # one gradient for all, where indices have one each
        for index, name in self._computed():
            candidate: Any = self[name]
            dropped = bool(self.skip_dropout) and self.training and name in self.with_capability("skip")
            if isinstance(candidate, MixedOperation):  # a choice within this one
                mixture.add(each[index] * self._candidate(name, mixture.features))
            elif not dropped and hasattr(candidate, "add_to"):
                candidate.add_to(mixture, each[index])
            else:
                mixture.add(each[index] * self._candidate(name, mixture.features))

    @property
    def adds(self) -> bool:
        """Whether the relaxed output can be added to a sum, as `add_to` does."""
        return self.fast and self._folds and not self.relaxation.hard and self.partial_channels == 1

    def add_to(self, mixture: Mixture, features: Tensor, share: Tensor) -> None:
        """Add share * forward(features) to the sum of a node, for a scalar share > 0."""
        self.input_shape = tuple(features.shape)
        weights = self.relaxation.weights(str(self.label), self._arch_alpha, self.training)
        exact = torch.promote_types(weights.dtype, features.dtype)  # the product is rounded like the features at least
        self._add_to(mixture.read(features), weights.to(exact) * share.to(exact))

    def _candidate(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        given = args[0] if args and isinstance(args[0], Tensor) and not args[0].is_inference() else None
        version = None if given is None else given._version
        value = self[name](*args, **kwargs)
        if given is not None and given._version != version and not self.relaxation.hard and len(self.names) > 1:
            raise UnlikeError(
                f"{self._where([self.names.index(name)])} changes its input in place, which the other candidates read; "
                "let it work on a copy, such as with inplace=False."
            )
        if self.skip_dropout and self.training and isinstance(value, Tensor) and name in self.with_capability("skip"):
            value = functional.dropout(value, self.skip_dropout)
        return value

    def export_probs(self, memo: dict[str, Any]) -> dict[str, dict[str, float]]:
        """Return the weights of the candidates by the relaxation's own rule."""
        if self.label in memo:
            return {}
        weights = self.relaxation.probabilities(self._arch_alpha.detach()).cpu().tolist()
        return {self.label: dict(zip(self.names, weights, strict=True))}


class MixedInput(DifferentiableMixedInput):
    """Weighted sum of the inputs of a node, in the scale and the form that its frozen counterpart has.

    The weights of a mean sum to one, those of a sum of n chosen inputs to n: NNI's sum to one for both, so that a
    frozen sum of n inputs is n times as large as what was searched. Chosen inputs that are concatenated are n slots, in
    the order of the inputs; slot k holds the expected k-th of n chosen inputs, if a set of n inputs is chosen with a
    probability proportional to the product of its softmax weights. `freeze` keeps the reduction.
    """

    def forward(self, inputs: list[Any]) -> Any:
        """Return the weighted sum; a node's only input is passed on, since its weight is one whatever alpha is.

        Raises:
            UnlikeError: if the inputs differ in form or shape; the text names the choice.
        """
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            return _OnlyInput.apply(inputs[0], self._arch_alpha)
        where = f"InputChoice {self.label!r}: inputs {', '.join(map(str, range(len(inputs))))}"
        if self.reduction == "concat" and self.slots > 1:
            slots = slot_weights(torch.softmax(self._arch_alpha, -1), self.slots)
            return torch.cat([weighted(inputs, weights.unbind(), where) for weights in slots], dim=1)
        return weighted(inputs, self.input_weights().unbind(), where)

    @property
    def slots(self) -> int:
        """How many inputs the frozen node has."""
        return min(self.n_chosen or 1, self.n_candidates)

    def input_weights(self) -> Tensor:
        """Return the weights of the inputs (n,); they sum to one, or to the number of inputs that are added."""
        weights = torch.softmax(self._arch_alpha, -1)
        return self.slots * weights if self.reduction == "sum" and self.slots > 1 else weights

    def of_edges(self, edges: Sequence[nn.Module], states: Sequence[Tensor]) -> Tensor:
        """Return the weighted sum of edges[i](states[i]); where they can, all edges add to one sum."""
        summed = self.reduction != "concat"
        if not (summed and all(isinstance(edge, MixedOperation) and edge.adds for edge in edges)):
            mixed_inputs: Tensor = self([edge(state) for edge, state in zip(edges, states, strict=True)])
            return mixed_inputs
        mixed: list[Any] = list(edges)
        mixture = Mixture()
        for edge, state, share in zip(mixed, states, self.input_weights().unbind(), strict=True):
            edge.add_to(mixture, state, share)
        return mixture.result()

    @classmethod
    def mutate(cls, module: Any, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]) -> MixedInput | None:
        """NNI mutation hook: replace an `InputChoice` and remember its reduction.

        Raises:
            ValueError: if the chosen inputs are handed on as a list, or their number decides a width.
        """
        if type(module) is not InputChoice:
            return None
        if module.reduction == "none":
            raise ValueError("its chosen inputs are returned as a list (reduction='none'), which nothing can weigh")
        if module.reduction == "concat" and module.n_chosen is None:
            raise ValueError("n_chosen=None leaves the width of the concatenated inputs open; give a number")
        mixed = cls(
            module.n_candidates,
            module.n_chosen,
            memo[module.label],
            mutate_kwargs.get("softmax", nn.Softmax(-1)),
            module.label,
        )
        mixed.reduction = module.reduction
        return mixed


def slot_weights(weights: Tensor, count: int) -> Tensor:
    """Return P(the k-th of `count` chosen inputs, in their order, is input i) (count, n), for weights (n,).

    A set S of `count` inputs has a probability proportional to the product of its weights, so that P = w_i
    e_k(w_0..w_(i-1)) e_(count-k-1)(w_(i+1)..) / e_count(w) with elementary symmetric polynomials e. With one of two
    inputs these are the weights themselves, if they sum to one.

    Example:
        >>> import torch
        >>> slot_weights(torch.tensor([0.5, 0.25, 0.25]), 2)
        tensor([[0.8000, 0.2000, 0.0000],
                [0.0000, 0.4000, 0.6000]])
    """

    def prefixes(values: Sequence[Tensor]) -> list[list[Tensor]]:
        """Return e_0..e_count of the first 0, 1, ... values."""
        one, zero = weights.new_ones(()), weights.new_zeros(())
        found = [[one] + [zero] * count]
        for value in values:
            last = found[-1]
            found.append([one] + [last[k] + value * last[k - 1] for k in range(1, count + 1)])
        return found

    each = weights.unbind()
    before, after = prefixes(each), prefixes(each[::-1])
    total, size = before[-1][count], len(each)
    rows = [
        torch.stack([each[i] * before[i][k] * after[size - 1 - i][count - k - 1] for i in range(size)])
        for k in range(count)
    ]
    return torch.stack(rows) / total


def weighted(values: Sequence[Any], weights: Sequence[Tensor], where: str) -> Any:
    """Return the sum of weight * value, item by item for tuples, lists, dictionaries and dataclasses.

    Args:
        where: what the values are, for the message.

    Raises:
        UnlikeError: if the values differ in form or shape, or are nothing that can be weighed.

    Example:
        >>> import torch
        >>> weighted([torch.ones(2), torch.zeros(2)], [torch.tensor(0.25), torch.tensor(0.75)], 'here')
        tensor([0.2500, 0.2500])
    """
    first = values[0]
    if isinstance(first, Tensor):
        shapes = [tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__ for value in values]
        if len(set(shapes)) > 1:
            raise UnlikeError(f"{where} give {', '.join(map(str, shapes))}; a weighted sum needs the same from all")
        total = weights[0] * first
        for value, weight in zip(values[1:], weights[1:], strict=True):
            same = value.dtype == total.dtype and value.is_floating_point()
            total = torch.addcmul(total, weight, value) if same else total + weight * value
        return total
    if isinstance(first, CONSTANTS) and all(type(value) is type(first) and value == first for value in values):
        return first  # of the data's form, and not of the candidate
    if isinstance(first, int | float) and not isinstance(first, bool):
        return sum(weight * value for value, weight in zip(values, weights, strict=True))
    if isinstance(first, Mapping):
        return _weighted_mapping(first, values, weights, where)
    if is_dataclass(first) and not isinstance(first, type):
        return _weighted_record(first, values, weights, where)
    if isinstance(first, tuple | list):
        if any(type(value) is not type(first) or len(value) != len(first) for value in values):
            raise UnlikeError(
                f"{where} give sequences of other kinds or lengths; a weighted sum needs the same from all"
            )
        columns = [
            weighted(list(column), weights, f"{where} [{index}]")
            for index, column in enumerate(zip(*values, strict=True))
        ]
        return type(first)(*columns) if hasattr(first, "_fields") else type(first)(columns)
    raise UnlikeError(f"{where} give {type(first).__name__}, which a weighted sum cannot take")


def _weighted_mapping(first: Any, values: Sequence[Any], weights: Sequence[Tensor], where: str) -> Any:
    if any(not isinstance(value, Mapping) or set(value) != set(first) for value in values):
        raise UnlikeError(f"{where} give dictionaries with other keys; a weighted sum needs the same from all")
    items = {key: weighted([value[key] for value in values], weights, f"{where} [{key!r}]") for key in first}
    if not isinstance(first, MutableMapping):
        return items
    made: Any = copy.copy(first)  # of its own class, which may have attributes for its keys
    for key, value in items.items():
        made[key] = value
    return made


def _weighted_record(first: Any, values: Sequence[Any], weights: Sequence[Tensor], where: str) -> Any:
    if any(type(value) is not type(first) for value in values):
        raise UnlikeError(f"{where} give other classes; a weighted sum needs the same from all")
    made = copy.copy(first)
    for name in [own.name for own in fields(first)]:
        value = weighted([getattr(value, name) for value in values], weights, f"{where} .{name}")
        object.__setattr__(made, name, value)  # also of a frozen one
    return made


def skips_of(model: nn.Module) -> dict[str, frozenset[Any]]:
    """Return for each choice of operations of a supernet the names of its skip connections, by label.

    Edges of NNI's own cells count too, by the labels that they export. Of modules with one label, such as cells of one
    kind with and without stride, all have a say.
    """
    found: dict[str, frozenset[Any]] = {}
    for module in model.modules():
        if isinstance(module, MixedOperation):
            label = str(module.label)
            found[label] = found.get(label, frozenset()) | module.with_capability("skip")
        elif isinstance(module, DifferentiableMixedCell):
            edges: Any = module.ops
            for node, sources in enumerate(edges, start=module.num_predecessors):
                for source, candidates in enumerate(sources):
                    label = f"{module.label}/{node}_{source}"
                    own = {name for name, made in candidates.items() if has_capability(made, "skip")}
                    found[label] = found.get(label, frozenset()) | own
    return found


class _OnlyInput(torch.autograd.Function):
    """The input itself, with a gradient of zero for the architecture parameter, which optimisers and DDP expect."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, alpha: Tensor) -> Tensor:
        ctx.save_for_backward(alpha)
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, torch.zeros_like(ctx.saved_tensors[0])
