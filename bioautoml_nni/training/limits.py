"""A training's end by the clock, or by a number of epochs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl


class TimeLimit(pl.Callback):
    """Plans after each epoch how many fit into the time, and shortens the schedule to that many.

    The time of earlier attempts counts, that of an epoch which was cut short does not. One epoch is always trained.

    Args:
        minutes: for all epochs together, validation included.
        clock: returns seconds.
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.minutes = minutes
        self.clock = clock
        self.elapsed = 0.0
        self.planned: int | None = None
        self._started = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Go on with the plan of an earlier attempt."""
        self._follow(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Look at the clock."""
        self._started = self.clock()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Plan again."""
        self.elapsed = trainer.strategy.broadcast(self.elapsed + self.clock() - self._started)  # one clock decides
        done = trainer.current_epoch + 1
        fitting = int(60 * self.minutes * done / max(self.elapsed, 1e-9))
        self.planned = max(done, min(pl_module.max_epochs, fitting))
        self._follow(trainer, pl_module)

    def _follow(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if self.planned is not None:
            pl_module.set_epochs(self.planned)
            trainer.fit_loop.max_epochs = self.planned

    def state_dict(self) -> dict[str, Any]:
        """State that a checkpoint keeps."""
        return {"elapsed": self.elapsed, "planned": self.planned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore that state."""
        self.elapsed, self.planned = state_dict["elapsed"], state_dict["planned"]


class Pause(pl.Callback):
    """Stops a training after so many epochs as an interruption would: what is kept goes on as if it had not stopped.

    Args:
        epochs: of the whole training.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Stop once there are enough."""
        if trainer.current_epoch + 1 >= self.epochs:
            trainer.should_stop = True
