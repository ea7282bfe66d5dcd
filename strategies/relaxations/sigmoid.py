"""Sigmoid. Chu et al., Fair DARTS, arXiv 1911.12126."""

from __future__ import annotations

import torch
from torch import Tensor

from ._base import Relaxation


class Sigmoid(Relaxation):
    """Weights sigmoid(alpha): candidates do not compete. Use it with the regulariser `zero_one`."""

    static = True

    def weights(self, label: str, alpha: Tensor, training: bool) -> Tensor:
        return torch.sigmoid(alpha)

    def probabilities(self, alpha: Tensor) -> Tensor:
        """Return the weights, divided by their sum."""
        weights = torch.sigmoid(alpha)
        return weights / weights.sum(-1, keepdim=True)
