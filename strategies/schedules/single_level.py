"""Both groups by one gradient: the ablation of bi-level search in DARTS, arXiv 1806.09055, section 3.1."""

from __future__ import annotations

from typing import Any

from ..data import SearchBatch
from ._base import Schedule


class SingleLevel(Schedule):
    """Every batch updates both groups by the gradient of the same loss. Known to do worse; it is here to compare."""

    form = "same"

    def step(self, module: Any, batch: SearchBatch, index: int) -> Any:
        return module.joint_step(batch.weights, index)
