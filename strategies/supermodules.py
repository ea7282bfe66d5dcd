"""NNI's own super-modules with what they lack: weights that can be frozen, tuples as values, depth 0.

Each class stands for its namesake in NNI and is put in its place by a mutation hook before NNI's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from nni.mutable import Categorical, CategoricalMultiple
from nni.mutable.annotation import Constraint
from nni.nas.hub.pytorch.modules.nasbench101 import NasBench101CellConstraint
from nni.nas.nn.pytorch import Cell, InputChoice, ModelSpace
from nni.nas.nn.pytorch.base import recursive_freeze
from nni.nas.oneshot.pytorch.supermodule import differentiable, operation, sampling
from nni.nas.oneshot.pytorch.supermodule._expression_utils import evaluate_constant
from nni.nas.space import model_context
from torch import nn

from bioautoml_nni.utils.errors import PluginError

from .nasbench101 import MixedNasBench101, SampledNasBench101
from .supernet import weighted

Hook = Callable[[nn.Module, str, dict[str, Any], dict[str, Any]], Any]


class _Native:
    """What all of NNI's mixed layers (convolution, linear, norms, attention) share here."""

    sampled_only: tuple[str, ...] = ()
    """Arguments that a path can sample and a weighted sum cannot mix."""

    def freeze_weight(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the tensors of the frozen layer; NNI names those it does not have as None, which no layer takes."""
        tensors: dict[str, Any] = super().freeze_weight(*args, **kwargs)  # type: ignore[misc]
        return {name: tensor for name, tensor in tensors.items() if tensor is not None}

    @classmethod
    def mutate(cls, module: Any, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]) -> Any:
        """NNI mutation hook.

        Raises:
            ValueError: where an argument is open that a weighted sum cannot mix.
        """
        mixed = super().mutate(module, name, memo, mutate_kwargs)  # type: ignore[misc]
        if mixed is not None and mutate_kwargs["mixed_op_sampling"] is differentiable.MixedOpDifferentiablePolicy:
            wrong = sorted(set(cls.sampled_only) & set(mixed.mutable_arguments))
            if wrong:
                raise ValueError(f"its {' and '.join(wrong)} can be sampled (random_paths) but not mixed")
            mixed.require_mixable()
        return mixed

    def require_mixable(self) -> None:
        """Raise `ValueError` where open arguments only go together in ways that a weighted sum cannot mix."""


class MixedLinear(_Native, operation.MixedLinear):
    """A linear layer with open numbers of features."""


class MixedConv2d(_Native, operation.MixedConv2d):
    """A convolution with open numbers of channels, kernel sizes, also tuples of them, and what a path can sample."""

    sampled_only = ("stride", "dilation")

    def require_mixable(self) -> None:
        """Groups can be mixed where each has the same number of channels, as in depthwise convolutions."""
        opened = self.mutable_arguments
        if "groups" not in opened:
            return
        wanted = (
            "its groups can be sampled (random_paths), and mixed only where channels in and out are open in proportion"
        )
        for channels in ("in_channels", "out_channels"):
            if channels not in opened:
                raise ValueError(wanted)
            try:
                evaluate_constant(opened[channels] / opened["groups"])
            except ValueError as error:
                raise ValueError(wanted) from error

    def super_init_argument(self, name: str, mutable_expr: Any) -> Any:
        """Return the largest value, of tuples in each dimension."""
        if name in ("kernel_size", "padding", "stride", "dilation"):
            values = set(mutable_expr.grid())
            if any(isinstance(value, tuple) for value in values):
                return tuple(max(sizes) for sizes in zip(*map(self._to_tuple, values), strict=True))
        return super().super_init_argument(name, mutable_expr)

    def _freeze_weight_impl(
        self, in_channels: Any, out_channels: Any, kernel_size: Any, groups: Any, **kwargs: Any
    ) -> dict[str, Any]:
        if not (isinstance(kernel_size, dict) and any(isinstance(size, tuple) for size in kernel_size)):
            found: dict[str, Any] = super()._freeze_weight_impl(in_channels, out_channels, kernel_size, groups)
            return found
        height, width = self.kernel_size
        tensors: dict[str, Any] = super()._freeze_weight_impl(in_channels, out_channels, (height, width), groups)
        mask = self.weight.new_zeros(height, width)
        for size, share in kernel_size.items():
            (a, b), inside = self._to_tuple(size), torch.zeros_like(mask)
            top, left = (height - a) // 2, (width - b) // 2
            inside[top : top + a, left : left + b] = 1
            mask = mask + share * inside
        return {**tensors, "weight": tensors["weight"] * mask}


class MixedBatchNorm2d(_Native, operation.MixedBatchNorm2d):
    """A batch norm with an open number of features."""

    sampled_only = ("eps", "momentum")

    def freeze_weight(self, num_features: Any, **kwargs: Any) -> dict[str, Any]:
        """Return its tensors, also where it has no weights or keeps no statistics."""
        size = self.num_features if isinstance(num_features, dict) else num_features
        names = ("weight", "bias", "running_mean", "running_var")
        return {name: value[:size] for name in names if (value := getattr(self, name)) is not None}


class MixedLayerNorm(_Native, operation.MixedLayerNorm):
    """A layer norm with open sizes."""

    sampled_only = ("eps",)

    def super_init_argument(self, name: str, mutable_expr: Any) -> Any:
        """Return the largest value, of tuples in each dimension."""
        values = set(mutable_expr.grid())
        if name == "normalized_shape" and any(isinstance(value, tuple | list) for value in values):
            return tuple(max(sizes) for sizes in zip(*values, strict=True))
        return super().super_init_argument(name, mutable_expr)

    def _freeze_weight_impl(self, normalized_shape: Any, **kwargs: Any) -> dict[str, Any]:
        shape = self.normalized_shape if isinstance(normalized_shape, dict) else normalized_shape
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        indices = tuple(slice(0, size) for size in shape)
        tensors: dict[str, Any] = {
            name: None if value is None else value[indices]
            for name, value in (("weight", self.weight), ("bias", self.bias))
        }
        return {**tensors, "normalized_shape": shape}


class MixedMultiHeadAttention(_Native, operation.MixedMultiHeadAttention):
    """Attention with open sizes."""

    sampled_only = ("num_heads", "dropout")


class MixedRepeat(differentiable.DifferentiableMixedRepeat):
    """Blocks repeated an open number of times; depth 0, which NNI leaves out of its sum, is the input itself."""

    def forward(self, x: Any) -> Any:
        """Return the weighted sum over the depths.

        Raises:
            ValueError: if depths give different shapes; the text names the choice.
        """
        weights = {label: self._softmax(alpha) for label, alpha in self._arch_alpha.items()}
        by_depth = dict(differentiable.traverse_all_options(self.depth_choice, weights=weights))
        values = {0: x}
        for depth, block in enumerate(self.blocks, start=1):
            x = block(x)
            values[depth] = x
        depths = sorted(by_depth)
        where = f"Repeat {' and '.join(map(repr, weights))}: depths {', '.join(map(str, depths))}"
        return weighted([values[depth] for depth in depths], [torch.as_tensor(by_depth[d]) for d in depths], where)


class SampledRepeat(sampling.PathSamplingRepeat):
    """A sampled number of repetitions; 0, at which NNI's fails, gives the input."""

    def forward(self, x: Any) -> Any:
        """Return the output of the sampled depth."""
        return x if self._sampled == 0 else super().forward(x)


class _FreezableCell:
    """A cell that NNI expands to all edges because a factory makes its operations or its output is what is unused.

    NNI's cannot be frozen. This one gives a `Cell` with the supernet's weights; like the supernet's, its output is all
    nodes, also with `merge_op="loose_end"`, since what comes after it was made for as many channels.
    """

    def __init__(self, op_factory: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(op_factory, *args, **kwargs)  # type: ignore[call-arg]
        self._op_factory = op_factory

    def freeze(self, sample: dict[str, Any]) -> Cell:
        """Return the chosen operations as a `Cell`."""
        own: Any = self
        processors = [
            recursive_freeze(part, sample)[0] if isinstance(part, nn.Module) else part
            for part in (own.preprocessor, own.postprocessor)
        ]
        with model_context(sample):
            cell: Any = Cell(
                own._op_factory, own.num_nodes, own.num_ops_per_node, own.num_predecessors, "all", *processors,
                own.concat_dim, label=own.label,
            )  # fmt: skip
        for node, edges in enumerate(own.ops):
            for k in range(own.num_ops_per_node):
                place = f"{node + own.num_predecessors}_{k}"
                [source] = sample[f"{own.label}/input_{place}"]
                operation = edges[source][str(sample[f"{own.label}/op_{place}"])]
                cell.ops[node][k] = recursive_freeze(operation, sample)[0]
        return cell


class MixedCell(_FreezableCell, differentiable.DifferentiableMixedCell):
    """The weighted sum over all edges and operations of such a cell."""


class SampledCell(_FreezableCell, sampling.PathSamplingCell):
    """One path through such a cell."""


class SampledLayer(sampling.PathSamplingLayer):
    """A sampled candidate, whose output may be anything; NNI's sums it up, which only numbers and tensors allow."""

    def _reduction(self, items: list[Any], sampled: list[Any]) -> Any:
        return items[0] if len(items) == 1 else super()._reduction(items, sampled)


class SampledInput(sampling.PathSamplingInput):
    """A sampled set of inputs; as NNI's, with reasons for what it cannot take."""

    @classmethod
    def mutate(cls, module: Any, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]) -> Any:
        """NNI mutation hook.

        Raises:
            ValueError: if the chosen inputs are handed on as a list.
        """
        if type(module) is not InputChoice:
            return None
        if module.n_chosen is None:
            raise ValueError("n_chosen=None allows no input at all, for which there is no value; give a number")
        if module.reduction == "none":
            raise ValueError("its chosen inputs are returned as a list (reduction='none')")
        return cls(module.n_candidates, module.n_chosen, module.reduction, module.label)


NATIVE: tuple[Hook, ...] = (
    MixedLinear.mutate,
    MixedConv2d.mutate,
    MixedBatchNorm2d.mutate,
    MixedLayerNorm.mutate,
    MixedMultiHeadAttention.mutate,
)
"""Hooks of layers with open arguments."""

DIFFERENTIABLE: tuple[Hook, ...] = (MixedNasBench101.mutate, MixedCell.mutate, MixedRepeat.mutate, *NATIVE)
"""Hooks for strategies that mix, in the order of NNI's."""

SAMPLING: tuple[Hook, ...] = (
    SampledNasBench101.mutate,
    SampledLayer.mutate,
    SampledInput.mutate,
    SampledCell.mutate,
    SampledRepeat.mutate,
    *NATIVE,
)
"""Hooks for strategies that sample paths."""


def only_categorical(model: ModelSpace) -> None:
    """Refuse a space with choices that no supernet can hold.

    Raises:
        PluginError: naming them all: ranges of numbers, conditions between choices, and choices of no layer.
    """
    problems = []
    frozen_by_nni = type(model).freeze.__module__.startswith("nni.nas.nn.")  # which knows layers only
    own = set(labels_of(model)) if frozen_by_nni else set()
    for label, mutable in model.simplify().items():
        if isinstance(mutable, NasBench101CellConstraint):
            continue
        if isinstance(mutable, Constraint):
            reason = f"{type(mutable).__name__} is a condition between choices, which a supernet's parts do not know"
        elif not isinstance(mutable, Categorical | CategoricalMultiple):
            reason = f"{type(mutable).__name__} is a range of numbers; give a list of values"
        elif str(label) in own:
            reason = "it is the space's own (add_mutable), and no layer's, so that nothing stands for it in a supernet"
        else:
            continue
        problems.append(f"choice {str(label)!r} cannot be searched: {reason}.")
    if problems:
        raise PluginError(" ".join(problems))


def labels_of(module: Any) -> list[str]:
    """Return the labels of a module's own choices."""
    found: list[str] = []
    for mutable in getattr(module, "mutables", []):
        found += [str(label) for label in mutable.simplify() if str(label) not in found]
    return found


def refused(module: Any, name: str, reason: str) -> str:
    """Return the sentence that refuses a module of a space: its choice's label and the reason."""
    labels = labels_of(module)
    what = f"choice {', '.join(map(repr, labels))} " if labels else ""
    if "dangling mutables" in reason:
        reason = (
            "no part of a supernet stands for its open arguments; open are those of two-dimensional convolutions and "
            "batch norms, of linear layers, layer norms and attention, all else is a LayerChoice of whole layers"
        )
    return f"{what}({type(module).__name__} at {name}) cannot be searched: {reason}."


def named_hook(run: Callable[[], Any], module: nn.Module, name: str) -> Any:
    """Run one mutation hook; what it cannot do becomes a sentence with the choice's label.

    Raises:
        PluginError: naming the choice.
    """
    try:
        return run()
    except PluginError:
        raise
    except (AssertionError, KeyError, NotImplementedError, TypeError, ValueError) as error:
        raise PluginError(refused(module, name, str(error).strip("\"'.") or type(error).__name__)) from error
