"""Whether the losses of a search are finite, asked where it costs nothing."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from bioautoml_nni.utils.errors import DivergenceError

from ._callback import SearchCallback
from .distributed import all_ranks


class FiniteLosses(SearchCallback):
    """Looks at losses at once on a CPU; elsewhere at the end of an epoch, since the host would wait for the device."""

    def __init__(self) -> None:
        self._sound: Tensor | None = None

    @staticmethod
    def defers(loss: Tensor) -> bool:
        """Return whether a loss is looked at later."""
        return loss.device.type != "cpu"

    def record(self, loss: Tensor) -> None:
        """Remember whether a loss is finite.

        Raises:
            DivergenceError: if it is not, where losses are looked at once.
        """
        sound = torch.isfinite(loss.detach()).all()
        self._sound = sound if self._sound is None else self._sound & sound
        if not self.defers(loss):
            self.check()

    def check(self) -> None:
        """Look at the losses since the last time.

        Raises:
            DivergenceError: if one was not finite, in whichever process.
        """
        sound, self._sound = self._sound, None
        if sound is not None and not all_ranks(sound):
            raise DivergenceError("the loss of a search step is not finite")

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Check what is left at the end of an epoch."""
        if trainer.is_last_batch:
            self.check()
