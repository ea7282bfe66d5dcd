"""Odd and even batches. BioAutoML-NAS, arXiv 2510.05888."""

from __future__ import annotations

from torch import Tensor

from ..data import SearchBatch
from ._base import Schedule, SearchModule


class OddEven(Schedule):
    """Odd batches update architecture parameters only, even batches weights only."""

    form = "alternate"

    def step(self, module: SearchModule, batch: SearchBatch, index: int) -> Tensor | None:
        if batch.alpha is not None:
            return module.architecture_step(batch.alpha) if module.searching else None
        return module.weights_step(batch.weights, index // 2)  # as schedulers of the weights count
