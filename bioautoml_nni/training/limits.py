"""A training's end by the clock, or by a number of epochs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl


class _Timed(pl.Callback):
    """Counts the seconds of whole epochs.

    Args:
        minutes: for all epochs together, validation included.
        clock: returns seconds.
    """

    def __init__(self, minutes: float, clock: Callable[[], float]) -> None:
        self.minutes = minutes
        self.clock = clock
        self.elapsed = 0.0
        self._started = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Look at the clock."""
        self._started = self.clock()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Add the epoch, by the clock of the first process."""
        self.elapsed = trainer.strategy.broadcast(self.elapsed + self.clock() - self._started)


class TimeLimit(_Timed):
    """Plans after each epoch how many fit into the time, and shortens the schedule to that many.

    The time of earlier attempts counts, that of an epoch which was cut short does not. One epoch is always trained.

    Args:
        minutes: for all epochs together, validation included.
        clock: returns seconds.
    """

    def __init__(self, minutes: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(minutes, clock)
        self.planned: int | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Go on with the plan of an earlier attempt."""
        self._follow(trainer, pl_module)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Plan again."""
        super().on_train_epoch_end(trainer, pl_module)
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


class Deadline(_Timed):
    """Ends a training that would take longer than it may, rather than shortening it.

    What it would take is told from `FIRST_SHARE` of its batches on, by the time that those took; the time of earlier
    attempts counts as far as their epochs were whole.

    Args:
        minutes: for all epochs together.
        epochs: of the training.
        clock: returns seconds.

    Attributes:
        missed: whether it was ended.
    """

    FIRST_SHARE = 0.1

    def __init__(self, minutes: float, epochs: int, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(minutes, clock)
        self.epochs = epochs
        self.missed = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Stay with what an earlier attempt decided."""
        trainer.should_stop = trainer.should_stop or self.missed

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Judge within the epoch, but for processes that share batches: they decide together."""
        if trainer.world_size == 1:
            epochs = trainer.current_epoch + trainer.fit_loop.epoch_loop.batch_progress.current.ready / float(
                trainer.num_training_batches
            )
            self._judge(trainer, self.elapsed + self.clock() - self._started, epochs)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Judge by the first process's clock."""
        super().on_train_epoch_end(trainer, pl_module)
        self._judge(trainer, self.elapsed, trainer.current_epoch + 1)

    def _judge(self, trainer: pl.Trainer, seconds: float, epochs: float) -> None:
        share = epochs / self.epochs
        if self.FIRST_SHARE <= share < 1 and seconds / share > 60 * self.minutes:
            self.missed = trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """State that a checkpoint keeps."""
        return {"elapsed": self.elapsed, "missed": self.missed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore that state."""
        self.elapsed, self.missed = state_dict["elapsed"], state_dict["missed"]


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
