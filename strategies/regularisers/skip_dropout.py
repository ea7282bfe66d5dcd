"""Dropout on skip connections. Chen et al., Progressive DARTS, arXiv 1904.12760."""

from __future__ import annotations

from torch import nn

from bioautoml_nni.utils.numbers import Positive, Rate

from ._base import Regulariser


class SkipDropout(Regulariser):
    """Drops values of skip connections in the supernet, at a rate that falls to zero: they cannot win early.

    Args:
        rate: at the start of the search.
        end: share of the search at which it has fallen to zero.
    """

    needs_skips = True

    def __init__(self, rate: Rate = 0.4, end: Positive = 0.8) -> None:
        if not 0 <= rate < 1:
            raise ValueError("the rate must be at least 0 and less than 1")
        self.rate = rate
        self.end = end

    def start_step(self, supernet: nn.Module, progress: float) -> None:
        from ..supernet import MixedOperation

        rate = self.rate * max(0.0, 1 - progress / self.end)
        for module in supernet.modules():
            if isinstance(module, MixedOperation):
                module.skip_dropout = rate
