"""Softmax. Liu et al., DARTS, arXiv 1806.09055."""

from __future__ import annotations

import torch
from torch import Tensor

from ._base import Relaxation


class Softmax(Relaxation):
    """Weights softmax(alpha): every candidate takes part in every step."""

    static = True

    def weights(self, label: str, alpha: Tensor, training: bool) -> Tensor:
        return torch.softmax(alpha, -1)
