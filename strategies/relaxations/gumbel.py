"""Gumbel-softmax. Jang et al., arXiv 1611.01144; for architecture search Xie et al., SNAS, arXiv 1812.09926."""

from __future__ import annotations

import torch
from torch import Tensor

from bioautoml_nni.utils.numbers import Positive

from ._base import Relaxation, annealed


class GumbelSoftmax(Relaxation):
    """Weights softmax((alpha + Gumbel noise) / temperature), the temperature annealed towards a hard choice.

    Args:
        start: temperature at the start of the search.
        end: temperature at its end.
    """

    def __init__(self, start: Positive = 5.0, end: Positive = 0.5) -> None:
        super().__init__()
        if not (start > 0 and end > 0):
            raise ValueError("temperatures must be positive")
        self.start = start
        self.end = end

    @property
    def temperature(self) -> float:
        """The present temperature."""
        return annealed(self.start, self.end, self.progress)

    def weights(self, label: str, alpha: Tensor, training: bool) -> Tensor:
        noise = self.gumbel(label, alpha) if training else torch.zeros_like(alpha)
        return torch.softmax((alpha + noise) / self.temperature, -1)
