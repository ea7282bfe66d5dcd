"""Both groups by one gradient: the ablation of bi-level search in DARTS, arXiv 1806.09055, section 3.1."""

from __future__ import annotations

from torch import Tensor

from ..data import SearchBatch
from ._base import Schedule, SearchModule


class SingleLevel(Schedule):
    """Every batch updates both groups by the gradient of the same loss. Known to do worse; it is here to compare."""

    form = "same"

    def step(self, module: SearchModule, batch: SearchBatch, index: int) -> Tensor | None:
        return module.joint_step(batch.weights, index)
