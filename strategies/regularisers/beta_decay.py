"""Beta-decay. Ye et al., arXiv 2203.01665."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bioautoml_nni.utils.numbers import NonNegative

from ..relaxations._base import Relaxation
from ._base import Regulariser


class BetaDecay(Regulariser):
    """Mean of logsumexp(alpha) over all choices, with a weight that grows linearly: keeps alphas from running away.

    Args:
        weight: at the end of the search.
    """

    def __init__(self, weight: NonNegative = 0.5) -> None:
        self.weight = weight

    def penalty(
        self, supernet: nn.Module, alphas: Mapping[str, Tensor], relaxation: Relaxation, progress: float
    ) -> Tensor:
        values = torch.stack([torch.logsumexp(alpha, -1) for alpha in alphas.values()])
        return self.weight * progress * values.mean()
