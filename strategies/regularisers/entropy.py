"""Entropy annealing, against the gap between the supernet and the derived network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bioautoml_nni.utils.numbers import NonNegative, Rate

from ..relaxations._base import Relaxation
from ._base import Regulariser


class EntropyAnnealing(Regulariser):
    """Mean entropy of the architecture weights, in nats, with a weight that grows linearly after `start`.

    Args:
        weight: at the end of the search.
        start: share of the search after which it sets in.
    """

    def __init__(self, weight: NonNegative = 0.2, start: Rate = 0.5) -> None:
        self.weight = weight
        self.start = start

    def penalty(
        self, supernet: nn.Module, alphas: Mapping[str, Tensor], relaxation: Relaxation, progress: float
    ) -> Tensor:
        grown = max(0.0, progress - self.start) / max(1e-9, 1 - self.start)
        weights = [relaxation.probabilities(alpha) for alpha in alphas.values()]
        entropies = torch.stack([-(share * share.clamp_min(1e-12).log()).sum() for share in weights])
        return self.weight * grown * entropies.mean()
