"""The zero-one loss. Chu et al., Fair DARTS, arXiv 1911.12126."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bioautoml_nni.utils.numbers import NonNegative

from ..relaxations._base import Relaxation
from ._base import Regulariser, operation_alphas


class ZeroOne(Regulariser):
    """Mean of -(sigmoid(alpha) - 0.5)^2: drives sigmoid weights to 0 or 1.

    Args:
        weight: its factor.
    """

    needs_layers = True

    def __init__(self, weight: NonNegative = 10.0) -> None:
        self.weight = weight

    def penalty(
        self, supernet: nn.Module, alphas: Mapping[str, Tensor], relaxation: Relaxation, progress: float
    ) -> Tensor:
        chosen = torch.cat([alpha.flatten() for alpha in operation_alphas(supernet, alphas).values()])
        return -self.weight * (torch.sigmoid(chosen) - 0.5).square().mean()
