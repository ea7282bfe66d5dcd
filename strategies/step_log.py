"""The losses and gradient norms of a search, by group of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Trainer
from torch import Tensor, nn

from ._callback import SearchCallback
from .groups import Group


class StepLog(SearchCallback):
    """Logs what a training step updated: the loss, and the norm of the gradient after clipping."""

    def __init__(self) -> None:
        self._values: dict[str, Tensor] = {}

    def record(self, group: Group, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        """Take in an update of a group."""
        gradients = [parameter.grad.detach() for parameter in parameters if parameter.grad is not None]
        self._values[f"{group}_loss"] = loss.detach()
        self._values[f"{group}_gradient_norm"] = nn.utils.get_total_norm(gradients)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Log the updates of this step."""
        values, self._values = self._values, {}
        if values:
            pl_module.log_dict(values, on_step=False, on_epoch=True, batch_size=1)  # every batch counts the same
