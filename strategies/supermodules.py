"""NNI's own super-modules with what they lack: weights that can be frozen, tuples as values, depth 0.

Each class stands for its namesake in NNI and is put in its place by a mutation hook before NNI's.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from nni.mutable import Mutable, label_scope
from nni.nas.nn.pytorch import Cell, InputChoice
from nni.nas.nn.pytorch.base import recursive_freeze
from nni.nas.oneshot.pytorch.supermodule import differentiable, operation, sampling
from nni.nas.oneshot.pytorch.supermodule._expression_utils import evaluate_constant
from nni.nas.space import model_context
from torch import nn
from torch.nn import functional

from .initialisation import require_plain, take_over
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

    def freeze(self, sample: dict[str, Any]) -> nn.Module:
        """Return the chosen layer in the precision, on the device and in the mode of this one; NNI makes a new one."""
        own: Any = self
        made: nn.Module = super().freeze(sample)  # type: ignore[misc]
        like = next((tensor for tensor in own.state_dict().values() if tensor.is_floating_point()), None)
        made = made if like is None else made.to(like.device, like.dtype)
        return made.train(own.training)

    @classmethod
    def mutate(cls, module: Any, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]) -> Any:
        """NNI mutation hook.

        Raises:
            ValueError: where an argument is open that a weighted sum cannot mix, or the layer has what a stand-in
                cannot have.
        """
        mixed = super().mutate(module, name, memo, mutate_kwargs)  # type: ignore[misc]
        if mixed is not None:
            require_plain(module)
            take_over(mixed, module)
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
        if "kernel_size" in opened:
            self._pad_kernels(opened["kernel_size"], opened.get("padding"))
        elif "padding" in opened:
            raise ValueError("its padding can be sampled (random_paths) but not mixed, where the kernel size is fixed")
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

    def _pad_kernels(self, kernel: Any, padding: Any) -> None:
        """Write out padding by name, which a mixed kernel has none of.

        Raises:
            ValueError: where kernel sizes give outputs of other sizes, or no padding on both sides keeps the size.
        """
        own: Any = self
        sizes = {self._to_tuple(size) for size in kernel.grid()}
        if own.padding == "valid":
            own.padding = (0, 0)
        elif own.padding == "same":
            if not all(edge % 2 for size in sizes for edge in size):
                raise ValueError(
                    "its even kernel sizes with padding='same' can be sampled (random_paths) but not mixed"
                )
            own.padding = tuple(
                (edge - 1) // 2 * step for edge, step in zip(self.kernel_size, self.dilation, strict=True)
            )
            return
        pairs = _together(kernel, own.padding if padding is None else padding)
        found = {tuple(map(self._to_tuple, pair)) for pair in pairs}
        shrinks = {
            tuple(step * (edge - 1) - 2 * pad for edge, pad, step in zip(size, pads, self.dilation, strict=True))
            for size, pads in found
        }
        if len(shrinks) > 1:
            raise ValueError(
                "its kernel sizes with their padding give outputs of different sizes, which can be sampled "
                "(random_paths) but not mixed; padding=kernel // 2 keeps the size"
            )

    def forward_with_args(
        self, in_channels: Any, out_channels: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any,
        groups: Any, inputs: torch.Tensor,
    ) -> torch.Tensor:  # fmt: skip
        """Convolve; a sampled path is padded by its own padding, NNI's by the largest where it is not zeros."""
        given = (in_channels, out_channels, kernel_size, stride, padding, dilation, groups)
        own: Any = self
        if own.padding_mode == "zeros" or any(isinstance(argument, dict) for argument in given):
            mixed: torch.Tensor = super().forward_with_args(*given, inputs)
            return mixed
        tensors = self._freeze_weight_impl(in_channels, out_channels, kernel_size, groups)
        steps, edges = self._to_tuple(dilation), tensors["weight"].shape[2:]
        sides = []
        for edge, step, axis in zip(edges, steps, (0, 1), strict=True):
            whole = step * (edge - 1) if padding == "same" else 0
            both = (whole // 2, whole - whole // 2)
            sides.append(both if isinstance(padding, str) else (self._to_tuple(padding)[axis],) * 2)
        padded = functional.pad(inputs, [*sides[1], *sides[0]], mode=own.padding_mode)
        return functional.conv2d(padded, tensors["weight"], tensors["bias"], self._to_tuple(stride), 0, steps, groups)

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


def _together(*values: Any) -> list[tuple[Any, ...]]:
    """Return the values that open arguments have together, for every sample of their choices."""
    choices: dict[str, Any] = {}
    for value in values:
        choices.update(value.simplify() if isinstance(value, Mutable) else {})
    samples = product(*(choice.values for choice in choices.values()))
    return [
        tuple(
            value.freeze(dict(zip(choices, sample, strict=True))) if isinstance(value, Mutable) else value
            for value in values
        )
        for sample in samples
    ]


class MixedBatchNorm2d(_Native, operation.MixedBatchNorm2d):
    """A batch norm with an open number of features."""

    sampled_only = ("eps", "momentum")

    def freeze_weight(self, num_features: Any, **kwargs: Any) -> dict[str, Any]:
        """Return its tensors, also where it has no weights or keeps no statistics."""
        size = self.num_features if isinstance(num_features, dict) else num_features
        names = ("weight", "bias", "running_mean", "running_var")
        return {name: value[:size] for name in names if (value := getattr(self, name)) is not None}


class MixedLayerNorm(_Native, operation.MixedLayerNorm):
    """A layer norm with open sizes: the sum of one over each size, whereas NNI's has the statistics of the largest."""

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

    def forward_with_args(self, normalized_shape: Any, eps: float, inputs: torch.Tensor) -> torch.Tensor:
        """Normalise by one size, or by each with its share; what lies behind a size is zero."""
        if not isinstance(normalized_shape, dict):
            return super().forward_with_args(normalized_shape, eps, inputs)
        total = torch.zeros_like(inputs)
        for shape, share in normalized_shape.items():
            own = self._freeze_weight_impl(shape)
            sizes = own["normalized_shape"]
            within: Any = (..., *(slice(0, size) for size in sizes))
            value = functional.layer_norm(inputs[within], sizes, own["weight"], own["bias"], eps)
            behind = [(0, whole - size) for size, whole in zip(sizes, inputs.shape[-len(sizes) :], strict=True)]
            total = total + share * functional.pad(value, [edge for pair in reversed(behind) for edge in pair])
        return total


class MixedMultiHeadAttention(_Native, operation.MixedMultiHeadAttention):
    """Attention with open sizes: the sum of one of each size, whereas NNI's splits heads and scales as the largest."""

    sampled_only = ("num_heads", "dropout")

    def forward_with_args(
        self, embed_dim: Any, num_heads: Any, kdim: Any, vdim: Any, dropout: Any,
        query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *args: Any, **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:  # fmt: skip
        """Attend by one size, or by each with its share; what lies behind a size is zero."""
        if not isinstance(embed_dim, dict):
            given = (embed_dim, num_heads, kdim, vdim, dropout, query, key, value)
            one: tuple[torch.Tensor, torch.Tensor | None] = super().forward_with_args(*given, *args, **kwargs)
            return one
        total, seen = torch.zeros_like(query), None
        for size, share in embed_dim.items():
            keys = key[..., :size] if kdim is None else key
            values = value[..., :size] if vdim is None else value
            given = (size, num_heads, kdim, vdim, dropout, query[..., :size], keys, values)
            found, attention = super().forward_with_args(*given, *args, **kwargs)
            total = total + share * functional.pad(found, (0, total.shape[-1] - size))
            if attention is not None:
                seen = share * attention + (0 if seen is None else seen)
        return total, seen


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
        label: Any = kwargs.get("label", args[-1] if args else None)
        names = op_factory if isinstance(op_factory, dict) else range(len(op_factory))
        scoped = {name: _within(label, op_factory[name]) for name in names}
        given = scoped if isinstance(op_factory, dict) else list(scoped.values())
        super().__init__(given, *args, **kwargs)  # type: ignore[call-arg]
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


def _within(label: str, factory: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    """Return a factory that makes its choices in the scope of a cell's label, as the cell itself does."""

    def make(*place: Any) -> nn.Module:
        with label_scope(label):
            return factory(*place)

    return make


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
