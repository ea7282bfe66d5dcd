"""What a supernet's nodes and candidates pass to each other: the weighted sum that candidates add to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import passes

Arrangement = Callable[[Tensor], Tensor]
"""Leads a sum in an arrangement of its own back to (N, C, H, W); equal functions mean the same arrangement."""


class GradientAccumulator:
    """The gradient w.r.t. a feature map, which terms add to.

    Args:
        wanted: whether anybody needs it.
    """

    def __init__(self, wanted: bool) -> None:
        self.wanted = wanted
        self._parts: list[Tensor] = []

    @property
    def first(self) -> Tensor | None:
        """What is there and may be written into; who has done so says what it has become."""
        return self._parts[0] if self._parts else None

    @first.setter
    def first(self, part: Tensor) -> None:
        self._parts[:1] = [part]

    def add(self, part: Tensor) -> None:
        """Add a tensor, whose memory may be taken."""
        self._parts.append(part)

    def total(self) -> Tensor | None:
        """Return the sum."""
        return passes.added(self._parts) if self._parts else None


class Term:
    """What a candidate adds to a mixture, with its gradients written out. An object serves one forward pass.

    Attributes:
        parameters: tensors that it has gradients by, beside the features.
    """

    parameters: tuple[Tensor, ...] = ()

    def add(
        self, total: Tensor | None, features: Tensor, parameters: Sequence[Tensor], wanted: Sequence[bool]
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        """Return total + term(features), and the tensors that the gradients need; `total` is written into.

        Args:
            wanted: for each of the parameters, whether its gradient will be asked for.
        """
        raise NotImplementedError

    def gradients(
        self, accumulated: GradientAccumulator, gradient: Tensor, features: Tensor, parameters: Sequence[Tensor],
        kept: Sequence[Tensor | None], wanted: Sequence[bool],
    ) -> Sequence[Tensor | None]:  # fmt: skip
        """Add the gradient w.r.t. the features to `accumulated`, and return those of the wanted parameters.

        Args:
            kept: the tensors that `add` returned.
        """
        raise NotImplementedError


class LinearTerm(Term):
    """weight * map(features), for a linear map without parameters. <g, L x> = <L' g, x>, so that L x need not be kept.

    Args:
        value: features -> (map(features), what the gradients need or None).
        back: (accumulated or None, gradient, features, what `value` said, weight) -> (accumulated + weight * gradient
            w.r.t. the features, gradient w.r.t. the weight); `accumulated` is written into.
        weight: what can be broadcast to (N, C, 1, 1).
    """

    def __init__(
        self,
        value: Callable[[Tensor], tuple[Tensor, Tensor | None]],
        back: Callable[[Tensor | None, Tensor, Tensor, Tensor | None, Tensor], tuple[Tensor, Tensor]],
        weight: Tensor,
    ) -> None:
        self.value, self.back, self.parameters = value, back, (weight,)

    def add(
        self, total: Tensor | None, features: Tensor, parameters: Sequence[Tensor], wanted: Sequence[bool]
    ) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        value, extra = self.value(features)
        weight = parameters[0].to(value.dtype)
        return value * weight if total is None else total.addcmul_(value, weight), (extra,)

    def gradients(
        self, accumulated: GradientAccumulator, gradient: Tensor, features: Tensor, parameters: Sequence[Tensor],
        kept: Sequence[Tensor | None], wanted: Sequence[bool],
    ) -> Sequence[Tensor | None]:  # fmt: skip
        (weight,), (extra,) = parameters, kept
        accumulated.first, by_weight = self.back(accumulated.first, gradient, features, extra, weight)
        return [by_weight.to(weight.dtype) if wanted[0] else None]


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
        self._terms: dict[tuple[int, Arrangement | None], tuple[Tensor, list[Term]]] = {}
        self._factor: Tensor | None = None
        if features is not None:
            self.read(features)

    def read(self, features: Tensor) -> Mixture:
        """Take what is added from now on from another input."""
        self._add_terms()
        self.features = dense(features)
        return self

    def add(self, value: Tensor) -> None:
        """Add a tensor, whose memory may be taken for the sum."""
        total = self._sums.get(None)
        self._sums[None] = value if total is None else total.add_(value)

    def scale(self, factor: Tensor) -> None:
        """Add features * factor, for a factor that can be broadcast to (N, C, 1, 1)."""
        self._factor = factor if self._factor is None else self._factor + factor

    def add_term(self, term: Term, features: Tensor | None = None, arrangement: Arrangement | None = None) -> None:
        """Add term(features); all terms of one tensor and one arrangement have one backward pass.

        Args:
            features: what was made of the input; None is the input itself.
            arrangement: how the sum that it adds to is laid out; None is (N, C, H, W) itself.
        """
        features = self.features if features is None else features
        self._terms.setdefault((id(features), arrangement), (features, []))[1].append(term)

    def result(self) -> Tensor:
        """Return the sum.

        Raises:
            ValueError: if nothing was added.
        """
        self._add_terms()
        for arrangement in [key for key in self._sums if key is not None]:
            assert arrangement is not None
            self.add(arrangement(self._sums.pop(arrangement)))
        if None not in self._sums:
            raise ValueError("no candidate has added anything")
        total: Tensor = _DenseGradient.apply(self._sums[None])
        return total

    def _add_terms(self) -> None:
        if self._factor is not None:
            self.add_term(LinearTerm(_itself, _scaling_gradients, self._factor))
        for (_, arrangement), (features, terms) in self._terms.items():
            self._sums[arrangement] = added_terms(self._sums.get(arrangement), features, terms)
        self._terms, self._factor = {}, None


def added_terms(total: Tensor | None, features: Tensor, terms: Sequence[Term]) -> Tensor:
    """Return total + the sum of term(features); `total` is written into."""
    parameters = [parameter for term in terms for parameter in term.parameters]
    result: Tensor = _Terms.apply(total, features, terms, *parameters)
    return result


class _DenseGradient(torch.autograd.Function):
    """The identity, whose gradient is made dense once for all terms; it can be a slice of what was concatenated."""

    @staticmethod
    def forward(ctx: Any, total: Tensor) -> Tensor:
        return total.view_as(total)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _without_gaps(gradient)


class _Terms(torch.autograd.Function):
    """total + the sum of terms, in place: the sum's gradient goes to each of them as it is."""

    @staticmethod
    def forward(ctx: Any, total: Tensor | None, features: Tensor, terms: Sequence[Term], *parameters: Tensor) -> Tensor:
        ctx.terms, ctx.adds, ctx.kept = terms, total is not None, []
        result = total
        saved: list[Tensor | None] = []
        for term, own, wanted in _each(terms, parameters, ctx.needs_input_grad[3:]):
            result, kept = term.add(result, features, own, wanted)
            ctx.kept.append(len(kept))
            saved += kept
        ctx.save_for_backward(features, *parameters, *saved)
        if total is not None:
            ctx.mark_dirty(total)
        assert result is not None  # there is a term
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        features, *rest = ctx.saved_tensors
        count = sum(len(term.parameters) for term in ctx.terms)
        parameters, saved = rest[:count], rest[count:]
        accumulated = GradientAccumulator(ctx.needs_input_grad[1])
        by_parameters: list[Tensor | None] = []
        each = _each(ctx.terms, parameters, ctx.needs_input_grad[3:])
        for (term, own, wanted), number in zip(each, ctx.kept, strict=True):
            kept, saved = saved[:number], saved[number:]
            by_parameters += term.gradients(accumulated, gradient, features, own, kept, wanted)
        return gradient if ctx.adds else None, accumulated.total(), None, *by_parameters


def _each(
    terms: Sequence[Term], parameters: Sequence[Tensor], wanted: Sequence[bool]
) -> Iterator[tuple[Term, Sequence[Tensor], Sequence[bool]]]:
    start = 0
    for term in terms:
        own = slice(start, start + len(term.parameters))
        yield term, parameters[own], wanted[own]
        start = own.stop


def _itself(features: Tensor) -> tuple[Tensor, None]:
    return features, None


def _scaling_gradients(
    accumulated: Tensor | None, gradient: Tensor, features: Tensor, _: Tensor | None, factor: Tensor
) -> tuple[Tensor, Tensor]:
    if passes.usable(features) and factor.dtype == features.dtype:
        accumulated, by_channel = passes.scaling_gradients(accumulated, passes.arranged(gradient), features, factor)
        return accumulated, by_channel.sum_to_size(factor.shape)
    by_factor = product_sum(gradient, features, factor.shape)
    factor = factor.to(features.dtype)
    return gradient * factor if accumulated is None else accumulated.addcmul_(gradient, factor), by_factor


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
