"""What begins an epoch and a step of a search: seeds, and how far the search is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytorch_lightning import Trainer

from bioautoml_nni.utils.seeding import derive_seed, seed_everything

from ._callback import SearchCallback
from .data import SearchLoader
from .regularisers._base import Regulariser
from .relaxations._base import Relaxation


class SeededEpochs(SearchCallback):
    """Starts every epoch from its own seed, so that a resumed search draws what an uninterrupted one draws."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Seed the process, and fix the order of the batches."""
        epoch, rank = trainer.current_epoch, trainer.global_rank
        seed_everything(derive_seed(self.seed, "epoch", epoch, *([rank] if rank else [])))
        loader = trainer.train_dataloader
        if isinstance(loader, SearchLoader):
            loader.set_epoch(epoch)


class SearchProgress(SearchCallback):
    """Tells the relaxation and the regularisers how far the search is, before every step."""

    def __init__(self, relaxation: Relaxation, regularisers: Sequence[Regulariser]) -> None:
        self.relaxation = relaxation
        self.regularisers = regularisers

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Tell them."""
        progress = self._share_done(trainer, batch_idx)
        self.relaxation.start_step(progress)
        for regulariser in self.regularisers:
            regulariser.start_step(pl_module.model, progress)

    @staticmethod
    def _share_done(trainer: Trainer, batch_idx: int) -> float:
        known = trainer.num_training_batches != float("inf")  # unlike that of iterable data
        batches = max(1, int(trainer.num_training_batches)) if known else batch_idx + 1
        epochs = max(1, int(trainer.max_epochs or 1))
        return min(1.0, (trainer.current_epoch + batch_idx / batches) / epochs)
