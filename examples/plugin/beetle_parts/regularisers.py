"""A part of the strategy."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bioautoml_nni.strategies.regularisers._base import Regulariser
from bioautoml_nni.strategies.relaxations._base import Relaxation


class EqualShares(Regulariser):
    """Mean squared distance of the architecture weights from uniform ones."""

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def penalty(
        self, supernet: nn.Module, alphas: Mapping[str, Tensor], relaxation: Relaxation, progress: float
    ) -> Tensor:
        distances = [(relaxation.probabilities(alpha) - 1 / alpha.numel()).square().mean() for alpha in alphas.values()]
        return self.weight * torch.stack(distances).mean()
