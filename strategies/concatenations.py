"""Layers that read open widths side by side: what a supernet of shared channels gets wrong, found before it is trained.

A supernet keeps the largest width of each layer, and a narrower one is its first channels. Where layers of open widths
are concatenated, the second one's channels lie behind the largest width of the first, and not where the frozen network
has them. A layer that takes their sum would then read other channels than in the network that is derived.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator
from itertools import combinations
from typing import Any

from nni.mutable import MutableExpression
from nni.nas.oneshot.pytorch.supermodule.operation import MixedOperation
from torch import nn

from bioautoml_nni.utils.errors import PluginError

TAKEN = ("in_channels", "in_features", "num_features", "normalized_shape")
GIVEN = ("out_channels", "out_features")


def without_concatenations(supernet: nn.Module) -> None:
    """Refuse layers whose width is a sum of several choices that no layer gives.

    Raises:
        PluginError: naming the choices, the layer and the way out.
    """
    given = {_course(width) for _, _, width in _widths(supernet, GIVEN)}
    for name, layer, width in _widths(supernet, TAKEN):
        added = _added(width) or _doubled(width)
        if added and _course(width) not in given:
            which = f"choices {added[0]!r} and {added[1]!r}" if len(added) == 2 else f"choice {added[0]!r}, twice,"
            raise PluginError(
                f"{which} ({layer.bound_type.__name__} at {name}) cannot be searched: it reads channels of several "
                "open widths side by side, which a supernet keeps at other places than the derived network; "
                "random_paths can sample them, or add the layers' outputs instead of concatenating them."
            )


def reads_open_and_fixed(supernet: nn.Module, labels: Collection[str]) -> str | None:
    """Return the first layer whose width is a choice of these and a number that is added, or None."""
    given = {_course(width) for _, _, width in _widths(supernet, GIVEN)}
    for name, layer, width in _widths(supernet, TAKEN):
        if set(_values(width)) & set(labels) and _course(width) not in given and _number_added(width):
            return f"{layer.bound_type.__name__} at {name}"
    return None


def _widths(supernet: nn.Module, arguments: tuple[str, ...]) -> Iterator[tuple[str, MixedOperation, Any]]:
    for name, module in supernet.named_modules():
        if isinstance(module, MixedOperation):
            for argument in arguments:
                width = module.mutable_arguments.get(argument)
                if isinstance(width, MutableExpression):
                    yield name, module, width


def _values(width: Any) -> dict[str, list[Any]]:
    return {str(label): list(choice.values) for label, choice in width.simplify().items()}


def _course(width: Any) -> tuple[Any, ...]:
    """Return what tells one expression of choices from another: its values as each choice varies by itself."""
    values = _values(width)
    base = {label: own[0] for label, own in values.items()}
    return tuple(
        (label, *(width.freeze({**base, label: value}) for value in values[label])) for label in sorted(values)
    )


def _added(width: Any) -> tuple[str, ...]:
    """Return two choices whose shares of a width are added to each other, or nothing."""
    values = _values(width)
    base = {label: own[0] for label, own in values.items()}
    for first, second in combinations(sorted(values), 2):
        if min(len(values[first]), len(values[second])) < 2:
            continue
        one, other = {first: values[first][1]}, {second: values[second][1]}
        none, left, right, both = (width.freeze({**base, **more}) for more in ({}, one, other, {**one, **other}))
        if not all(isinstance(value, int | float) for value in (none, left, right, both)):
            continue
        if left != none and right != none and both - left == right - none:
            return first, second
    return ()


def _doubled(width: Any) -> tuple[str, ...]:
    """Return a choice that is added to itself, or nothing; a multiple, as of a map that is flattened, is not a sum."""
    for parts in _sums(width):
        if all(isinstance(part, MutableExpression) for part in parts):
            both = set(_values(parts[0])) & set(_values(parts[1]))
            if both:
                return (min(both),)
    return ()


def _number_added(width: Any) -> bool:
    return any(isinstance(part, int | float) for parts in _sums(width) for part in parts)


def _sums(width: Any) -> Iterator[tuple[Any, Any]]:
    """Yield both parts of every addition of an expression."""
    waiting = [width]
    while waiting:
        part = waiting.pop()
        arguments = tuple(getattr(part, "arguments", ()))
        if getattr(part, "function", None) is operator.add and len(arguments) == 2:
            yield arguments[0], arguments[1]
        waiting += [each for each in arguments if isinstance(each, MutableExpression)]
