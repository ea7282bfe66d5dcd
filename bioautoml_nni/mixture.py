"""What a supernet's nodes and candidates pass to each other: the weighted sum that candidates add to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import kernels

Arrangement = Callable[[Tensor], Tensor]
"""Leads a sum in an arrangement of its own back to (N, C, H, W); equal functions mean the same arrangement."""


class LinearTerm(NamedTuple):
    """A linear map of feature maps without parameters of its own, times a weight.

    Attributes:
        add: (total or None, features, weight) -> (total + weight * map(features), what the gradients need or None);
            `total` is written into.
        gradients: (slope or None, gradient, features, what `add` said, weight) -> (slope + gradient by the features,
            gradient by the weight); `slope` is written into.
    """

    add: Callable[[Tensor | None, Tensor, Tensor], tuple[Tensor, Tensor | None]]
    gradients: Callable[[Tensor | None, Tensor, Tensor, Tensor | None, Tensor], tuple[Tensor, Tensor]]


class Mixture:
    """The sum of weight * candidate(features) over candidates and inputs, made with few passes over memory.

    A candidate adds to it in whichever way is cheapest for it; what it adds must equal its weight times its forward
    pass.

    Args:
        features: the first input (N, C, H, W); `read` gives the mixture another one.

    Attributes:
        features: the input at hand, dense in memory.
    """

    features: Tensor

    def __init__(self, features: Tensor | None = None) -> None:
        self._sums: dict[Arrangement | None, Tensor] = {}
        self._linear: list[tuple[LinearTerm, Tensor]] = []
        self._factor: Tensor | None = None
        if features is not None:
            self.read(features)

    def read(self, features: Tensor) -> Mixture:
        """Take what is added from now on from another input."""
        self._add_linear_terms()
        self.features = dense(features)
        return self

    def add(self, term: Tensor) -> None:
        """Add a term, whose memory may be taken for the sum."""
        self.accumulate(lambda total: term if total is None else total.add_(term))

    def scale(self, factor: Tensor) -> None:
        """Add features * factor, for a factor that can be broadcast to the features."""
        self._factor = factor if self._factor is None else self._factor + factor

    def add_linear(self, term: LinearTerm, weight: Tensor) -> None:
        """Add weight * term(features); all such terms of an input have one backward pass."""
        self._linear.append((term, weight))

    def accumulate(self, function: Callable[[Tensor | None], Tensor], arrangement: Arrangement | None = None) -> None:
        """Replace the sum by function(sum); the function gets None first, and may write into what it gets.

        Args:
            function: adds its term and returns the sum.
            arrangement: how the sum that it adds to is laid out; None is (N, C, H, W) itself.
        """
        self._sums[arrangement] = function(self._sums.get(arrangement))

    def result(self) -> Tensor:
        """Return the sum.

        Raises:
            ValueError: if nothing was added.
        """
        self._add_linear_terms()
        for arrangement in [key for key in self._sums if key is not None]:
            assert arrangement is not None
            self.add(arrangement(self._sums.pop(arrangement)))
        if None not in self._sums:
            raise ValueError("no candidate has added anything")
        total: Tensor = _DenseGradient.apply(self._sums[None])
        return total

    def _add_linear_terms(self) -> None:
        if self._factor is not None:
            self._linear.insert(0, (_SCALING, self._factor))
        if self._linear:
            terms, weights = zip(*self._linear, strict=True)
            features = self.features
            self.accumulate(lambda total: _LinearTerms.apply(total, features, terms, *weights))
        self._linear, self._factor = [], None


class _DenseGradient(torch.autograd.Function):
    """The identity, whose gradient is made dense once for all terms; it can be a slice of what was concatenated."""

    @staticmethod
    def forward(ctx: Any, total: Tensor) -> Tensor:
        return total.view_as(total)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _without_gaps(gradient)


class _LinearTerms(torch.autograd.Function):
    """total + weight * L(features) over several L, in place. <g, L x> = <L' g, x>, so that L x need not be kept."""

    @staticmethod
    def forward(
        ctx: Any, total: Tensor | None, features: Tensor, terms: Sequence[LinearTerm], *weights: Tensor
    ) -> Tensor:
        ctx.terms, ctx.adds = terms, total is not None
        result, kept = total, []
        for term, weight in zip(terms, weights, strict=True):
            result, extra = term.add(result, features, weight)
            kept.append(extra)
        ctx.save_for_backward(features, *weights, *kept)
        if total is not None:
            ctx.mark_dirty(total)
        assert result is not None  # there is a term
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        features, *rest = ctx.saved_tensors
        count = len(ctx.terms)
        slope: Tensor | None = None
        by_weight: list[Tensor | None] = []
        for number, (term, weight, extra) in enumerate(zip(ctx.terms, rest[:count], rest[count:], strict=True)):
            slope, by_this = term.gradients(slope, gradient, features, extra, weight)
            by_weight.append(by_this.to(weight.dtype) if ctx.needs_input_grad[3 + number] else None)
        return gradient if ctx.adds else None, slope, None, *by_weight


def _add_scaled(total: Tensor | None, features: Tensor, factor: Tensor) -> tuple[Tensor, None]:
    if total is None:
        return features * factor, None
    return total.addcmul_(features, factor.to(features.dtype)), None


def _scaling_gradients(
    slope: Tensor | None, gradient: Tensor, features: Tensor, _: Tensor | None, factor: Tensor
) -> tuple[Tensor, Tensor]:
    if kernels.usable(features) and factor.dtype == features.dtype:
        slope, by_channel = kernels.scaling_gradients(slope, kernels.arranged(gradient), features, factor)
        return slope, by_channel.sum_to_size(factor.shape)
    by_factor = product_sum(gradient, features, factor.shape)
    factor = factor.to(features.dtype)
    return gradient * factor if slope is None else slope.addcmul_(gradient, factor), by_factor


_SCALING = LinearTerm(_add_scaled, _scaling_gradients)


def product_sum(first: Tensor, second: Tensor, shape: tuple[int, ...] = ()) -> Tensor:
    """Return the sum of the products of two feature maps, in float32 at least, over what `shape` does not have."""
    exact = first.dtype == second.dtype and first.dtype in (torch.float32, torch.float64)
    if not shape and exact and first.device.type == "cpu":
        return torch.dot(first.permute(0, 2, 3, 1).reshape(-1), second.permute(0, 2, 3, 1).reshape(-1))
    return (first * second).to(torch.promote_types(first.dtype, torch.float32)).sum_to_size(shape)


def dense(features: Any) -> Any:
    """Return feature maps without gaps in memory, in the type that autocast computes in, if it is on."""
    device = features.device.type
    if torch.is_autocast_enabled(device) and features.is_floating_point():
        features = features.to(torch.get_autocast_dtype(device))
    return _without_gaps(features)


def _without_gaps(features: Tensor) -> Tensor:
    if features.ndim != 4 or features.is_contiguous():
        return features.contiguous()
    return features.contiguous(memory_format=torch.channels_last)
