"""Progress of a stage in the terminal: epochs, time left, and the newest validation score."""

from __future__ import annotations

import time
from typing import Any

import pytorch_lightning as pl
from rich.console import Console

from ..utils.progress import duration, make_progress


class ProgressCallback(pl.Callback):
    """Shows batches of all epochs as one bar; without a terminal, one line at each tenth of the epochs."""

    def __init__(self, title: str, console: Console) -> None:
        self.title = title
        self.console = console
        self.progress = make_progress(console)
        self.task: Any = None
        self.started, self.first = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Open the bar at the epoch where training starts or resumes."""
        batches = int(trainer.num_training_batches)
        total = batches * int(trainer.max_epochs or 1)
        self.task = self.progress.add_task(self.title, total=total, completed=batches * trainer.current_epoch, note="")
        self.started, self.first = time.monotonic(), trainer.current_epoch
        self.progress.start()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Say which epoch it is."""
        self.progress.update(
            self.task, description=f"{self.title}: epoch {trainer.current_epoch + 1} of {int(trainer.max_epochs or 1)}"
        )

    def on_train_batch_end(self, trainer: pl.Trainer, *args: Any, **kwargs: Any) -> None:
        """Move on by one batch."""
        self.progress.advance(self.task)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Show the newest validation score."""
        score = trainer.callback_metrics.get("val_macro_f1")
        note = f"validation macro-F1 {float(score):.3f}" if score is not None else ""
        epochs = int(trainer.max_epochs or 1)
        self.progress.update(self.task, note=note, total=int(trainer.num_training_batches) * epochs)
        epoch = trainer.current_epoch + 1
        if not self.console.is_terminal and (epoch == epochs or epoch % max(1, epochs // 10) == 0):
            passed = time.monotonic() - self.started
            left = passed / (epoch - self.first) * (epochs - epoch)
            times = f"{duration(passed)} so far" + (f", about {duration(left)} left" if left else "")
            self.console.print("; ".join(filter(None, [f"{self.title}: epoch {epoch} of {epochs}", note, times])))

    def teardown(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Close the bar, also after an error."""
        self.progress.stop()
