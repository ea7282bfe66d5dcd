"""Both groups on every step. Liu et al., DARTS, arXiv 1806.09055, first order."""

from __future__ import annotations

from torch import Tensor

from ..data import SearchBatch
from ._base import Schedule, SearchModule


class PerStep(Schedule):
    """Every step updates the architecture on one batch, then the weights on another."""

    form = "pairs"

    def step(self, module: SearchModule, batch: SearchBatch, index: int) -> Tensor | None:
        if module.searching:
            module.architecture_step(batch.alpha)
        return module.weights_step(batch.weights, index)
