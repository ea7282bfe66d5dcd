"""history.jsonl: one line of plain numbers per epoch, written atomically, cut back when a run resumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from nni.nas.evaluator.pytorch import LightningModule

from ..artifacts.history import read_history, write_history
from .checkpoint_io import WholeCheckpointIO


class HistoryCallback(pl.Callback):
    """Appends the epoch's metrics to a history file.

    Args:
        path: the file.
        extra: returns further entries of an epoch's line.
        tell: called with every line once it is written.
    """

    def __init__(
        self,
        path: Path,
        extra: Callable[[pl.Trainer, LightningModule], Mapping[str, Any]] | None = None,
        tell: Callable[[Mapping[str, Any]], None] = lambda line: None,
    ) -> None:
        self.path = path
        self.extra = extra
        self.tell = tell

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Write the line of the epoch that just ended; lines of later epochs (from before a kill) go."""
        if not trainer.is_global_zero:
            return
        epoch = trainer.current_epoch
        lines: list[Mapping[str, Any]] = [line for line in read_history(self.path) if line.number < epoch]
        metrics = {name: float(value) for name, value in sorted(trainer.callback_metrics.items())}
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        line = {"epoch": epoch, "learning_rate": rate, **metrics}
        if self.extra is not None:
            line.update(self.extra(trainer, pl_module))
        lines.append(line)
        write_history(self.path, lines)
        self.tell(line)


class CheckpointCallback(pl.callbacks.Checkpoint):
    """Saves the whole training state after every epoch, and optionally the weights of the best one.

    The best epoch is the one at which the mean of the metric over the last `window` epochs is largest: on few
    validation specimens a single epoch's score is noise, and its maximum is a lucky one.

    Args:
        folder: receives ``last.ckpt`` and ``best.pt``.
        monitor: metric to maximise for ``best.pt``, a loss to minimise, or None.
        window: number of epochs whose mean counts.
        keep_last: take the last epoch in place of the best one; then no metric is needed.
        patience: epochs without a better one after which the training ends; None is never.
        candidates: of so many single epochs with the best metric the weights are kept too, as ``epoch-N.pt``.
    """

    # Tried in its place with Lightning 2.6, and not taken. ModelCheckpoint: the kill tests stay equal, but it copies
    # from the system's folder for temporary files, and where that is another file system, 4 of 25 kills left last.ckpt
    # cut short (0 of 25 here); resumed in a folder that was moved, it forgets the best score and overwrites best.ckpt
    # with a worse epoch. EarlyStopping: a training that had ended trains one more epoch when it is resumed, 5 and not 4
    # in test_patience_ends_a_training_that_no_longer_gets_better.

    def __init__(
        self,
        folder: Path,
        monitor: str | None = None,
        window: int = 5,
        patience: int | None = None,
        keep_last: bool = False,
        candidates: int = 0,
    ) -> None:
        self.folder = folder
        self.monitor = monitor
        self.window = window
        self.patience = patience
        self.keep_last = keep_last
        self.candidates = candidates
        self.scores: dict[int, float] = {}
        self.sign = -1.0 if monitor == "val_loss" else 1.0
        self.recent: list[float] = []
        self.best: float = -math.inf
        self.best_epoch = -1
        self.last_model_path = ""

    def setup(self, trainer: pl.Trainer, pl_module: Any, stage: str) -> None:
        """Have checkpoints written beside their place."""
        trainer.strategy.checkpoint_io = WholeCheckpointIO()

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.folder / "last.ckpt"

    @property
    def best_weights(self) -> Path:
        """The weights of the best epoch, where a metric is monitored."""
        return self.folder / "best.pt"

    def candidate(self, epoch: int) -> Path:
        """The weights of an epoch that is among the best."""
        return self.folder / f"epoch-{epoch}.pt"

    @property
    def best_first(self) -> list[int]:
        """The epochs whose weights are kept as candidates, the best first and of equals the later."""
        return sorted(self.scores, key=lambda epoch: (self.scores[epoch], epoch), reverse=True)[: self.candidates]

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """End a training that has ended already."""
        self._stop_if_in_vain(trainer, trainer.current_epoch)

    def _stop_if_in_vain(self, trainer: pl.Trainer, done: int) -> None:
        if self.patience is not None and self.best_epoch >= 0 and done - 1 - self.best_epoch >= self.patience:
            trainer.fit_loop.max_epochs = done

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save; the history's line is written before, so that a resumed run finds it.

        All processes keep the score alike, for all end with the same epoch; the first one writes.
        """
        epoch, kept = trainer.current_epoch, self.keep_last
        if self.monitor is not None:
            kept = self.observe(float(trainer.callback_metrics[self.monitor]), epoch)
        if trainer.is_global_zero:
            self._write(trainer, pl_module, kept)
        else:
            trainer.save_checkpoint(self.last)  # waits until the first process has written it
        self._stop_if_in_vain(trainer, trainer.current_epoch + 1)

    def _write(self, trainer: pl.Trainer, pl_module: Any, kept: bool) -> None:
        import torch

        from ..utils.atomic import replacing

        epoch = trainer.current_epoch
        network = getattr(pl_module, "averaged", None) or pl_module.model
        for file in [*([self.best_weights] * kept), *([self.candidate(epoch)] * (epoch in self.scores))]:
            with replacing(file) as temporary:
                torch.save(network.state_dict(), temporary)
        trainer.save_checkpoint(self.last)
        for file in self.folder.glob("epoch-*.pt"):  # not before the state that no longer names them is saved
            if file not in map(self.candidate, self.scores):
                file.unlink()
        self.last_model_path = str(self.last)

    def observe(self, value: float, epoch: int) -> bool:
        """Take in the metric of an epoch, and return whether its weights are to be kept."""
        self.recent = [*self.recent, self.sign * value][-self.window :]
        self.scores[epoch] = self.sign * value
        self.scores = {each: self.scores[each] for each in self.best_first}
        score = sum(self.recent) / len(self.recent)
        kept = self.keep_last or score > self.best
        if kept:
            self.best, self.best_epoch = score, epoch
        return kept

    def state_dict(self) -> dict[str, Any]:
        """State that a checkpoint keeps."""
        return {
            "best": self.best, "best_epoch": self.best_epoch, "recent": self.recent, "scores": dict(self.scores),
        }  # fmt: skip

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore that state."""
        self.best, self.best_epoch = state_dict["best"], state_dict["best_epoch"]
        self.recent = list(state_dict.get("recent", []))
        self.scores = dict(state_dict.get("scores", {}))
