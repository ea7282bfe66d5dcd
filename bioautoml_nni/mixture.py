"""What a supernet's edge and its candidates pass to each other: the weighted sum that candidates add to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Arrangement = Callable[[Tensor], Tensor]
"""Leads a sum in an arrangement of its own back to (N, C, H, W); equal functions mean the same arrangement."""


class Mixture:
    """The sum of weight * candidate(features) over the candidates of one edge, made with few passes over memory.

    A candidate adds to it in whichever way is cheapest for it; what it adds must equal its weight times its forward
    pass.

    Attributes:
        features: the edge's input (N, C, H, W), dense in memory.
        lean: whether candidates should keep little for the backward pass, and compute the rest again.
    """

    def __init__(self, features: Tensor, lean: bool = False) -> None:
        self.lean = lean
        self.features = dense(features)
        self._sums: dict[Arrangement | None, Tensor] = {}
        self._factor: Tensor | None = None

    def add(self, term: Tensor) -> None:
        """Add a term, whose memory may be taken for the sum."""
        self.accumulate(lambda total: term if total is None else total.add_(term))

    def scale(self, factor: Tensor) -> None:
        """Add features * factor, for a factor that can be broadcast to the features."""
        self._factor = factor if self._factor is None else self._factor + factor

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
        for arrangement in [key for key in self._sums if key is not None]:
            assert arrangement is not None
            self.add(arrangement(self._sums.pop(arrangement)))
        total = self._sums.get(None)
        if self._factor is not None:
            return self.features * self._factor if total is None else total.addcmul_(self.features, self._factor)
        if total is None:
            raise ValueError("no candidate has added anything")
        return total


def dense(features: Any) -> Any:
    """Return feature maps without gaps in memory, in the type that autocast computes in, if it is on."""
    device = features.device.type
    if torch.is_autocast_enabled(device) and features.is_floating_point():
        features = features.to(torch.get_autocast_dtype(device))
    if features.ndim != 4 or features.is_contiguous():
        return features
    return features.contiguous(memory_format=torch.channels_last)
