"""Training of a run's network by the experiment's recipe; the stage `retrain` and successive halving share it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader

from ..config.schema import TrainingConfig
from ..data import splits
from ..data.dataset import SpecimenDataset, make_loader
from ..training.distillation import Distillation
from ..training.group import EndsAtOnce, Group, SharedStatistics, current_group, require_same_weights
from ..training.history import CheckpointCallback, HistoryCallback
from ..training.limits import TimeLimit
from ..training.progress import ProgressCallback
from ..training.retraining import RetrainModule
from ..training.weights import checkpoint_to_resume
from ..utils.errors import DataError
from ..utils.interruption import interruptible
from ..utils.seeding import isolate_rng
from .directory import RunDirectory
from .prepared import PreparedData

CANDIDATES = 8
"""Epochs, the best ones, that may be part of a greedy average."""

BALANCE = {"shuffled": 0.0, "square_root": 0.5, "balanced": 1.0}
"""For each sampler the power of a class's size that its specimens are drawn less often by."""


def train(
    run: RunDirectory,
    data: PreparedData,
    network: nn.Module,
    folder: Path,
    task: str,
    console: Console,
    epochs: int | None = None,
    tell: Callable[[Mapping[str, Any]], None] = lambda line: None,
    distillation: Distillation | None = None,
    refit: bool = False,
    callbacks: Sequence[pl.Callback] = (),
) -> CheckpointCallback:
    """Train a network by the experiment's recipe, going on from `folder`/last.ckpt where there is one.

    The processes of a group share every batch, and end with the same weights; the first one writes.

    Args:
        folder: receives history.jsonl, last.ckpt and best.pt.
        task: what the progress bar says.
        epochs: stop after so many, whatever the clock says; the schedule is that of the whole training all the same.
        tell: called with every epoch's line.
        distillation: what a teacher of all that is trained on adds to the loss.
        refit: train on the validation split too, for `epochs`, which the schedule then spans; keep the last weights.
        callbacks: of this training, beside those that every one has.

    Raises:
        KeyboardInterrupt: if the user stops it; the last completed epoch is kept.
        DataError: if a group has more processes than a batch or the validation split can be shared by.
    """
    settings, group = run.experiment.training, current_group()
    learned, batches, validation = _loaders(data, settings, distillation, refit, group)
    module = _module(run, data, network, len(batches), distillation)
    if refit and epochs is not None:
        module.set_epochs(epochs)
    checkpoint = _checkpoints(settings, folder, epochs, refit)
    minutes = run.experiment.retrain.max_minutes if epochs is None else None
    own = [
        *([SharedStatistics(), EndsAtOnce()] if group is not None else []),
        HistoryCallback(folder / "history.jsonl", tell=tell),
        checkpoint,
        ProgressCallback(task, console),
        *([TimeLimit(minutes)] if minutes else []),
    ]
    devices = {"accelerator": "auto", "devices": 1} if group is None else _shared(group, module, learned)
    trainer = _trainer(settings, epochs, [*own, *callbacks], folder, devices)
    resume = _checkpoint(checkpoint, group)
    if resume and (epochs is None or refit):
        console.print(f"{task}: resumes from the last completed epoch.")
    with interruptible(lambda: trainer.interrupted):
        trainer.fit(module, batches, validation, ckpt_path=str(resume) if resume else None, weights_only=True)
    require_same_weights("retrain", module.state_dict())
    return checkpoint


def _trainer(
    settings: TrainingConfig, epochs: int | None, callbacks: list[pl.Callback], folder: Path, devices: dict[str, Any]
) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=epochs or settings.epochs,
        callbacks=callbacks,
        accumulate_grad_batches=settings.accumulate,
        precision=settings.precision,
        gradient_clip_val=settings.gradient_clip or None,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=str(folder),
        **devices,
    )


def _loaders(
    data: PreparedData, settings: TrainingConfig, distillation: Distillation | None, refit: bool, group: Group | None
) -> tuple[SpecimenDataset, DataLoader[Any], DataLoader[Any] | None]:
    """Return what is learned from, its batches, and those of the validation split unless that is learned from too.

    Raises:
        DataError: if the processes of a group cannot share them.
    """
    parts = [*splits.TRAINING, *([splits.VALIDATION] if refit else [])]
    learned = data.dataset(parts, distillation.teacher if distillation else None, views=True)
    unseen = data.dataset([splits.VALIDATION])
    if group is not None:
        _require_shares(group, settings.batch_size, len(learned), len(unseen))
    share = (0, 1) if group is None else (group.rank, group.size)
    batches = make_loader(learned, settings.batch_size, shuffle=True, balance=BALANCE[settings.sampler], share=share)
    validation = None if refit else make_loader(unseen, settings.batch_size, shuffle=False, share=share)
    return learned, batches, validation


def _module(
    run: RunDirectory, data: PreparedData, network: nn.Module, batches: int, distillation: Distillation | None
) -> RetrainModule:
    settings = run.experiment.training
    module = RetrainModule(
        num_classes=len(data.classes),
        loss=data.loss(),
        images=data.image_transform(settings.augmentation),
        recipe=settings,
        batches=batches,
        seed=run.experiment.seed,
    )
    module.distillation = distillation
    module.set_model(network)
    return module


def _checkpoints(settings: TrainingConfig, folder: Path, epochs: int | None, refit: bool) -> CheckpointCallback:
    """Return what keeps the best epoch, the last one or, for a greedy average, some; and stops after `patience`."""
    return CheckpointCallback(
        folder,
        monitor=None if refit else settings.monitor,
        patience=settings.patience if epochs is None else None,
        keep_last=refit or settings.keep == "last",
        candidates=CANDIDATES if settings.keep == "greedy" and epochs is None else 0,
    )


def _shared(group: Group, module: RetrainModule, learned: SpecimenDataset) -> dict[str, Any]:
    """Return what a trainer needs to know of a group, which tries a pass of two specimens for it."""
    with isolate_rng():
        unread = module.has_unread_parameters(learned.__getitems__([0, 1]))
    return group.trainer_arguments(any(group.gather(unread)))


def _checkpoint(checkpoint: CheckpointCallback, group: Group | None) -> Path | None:
    """Return the checkpoint to go on from, None if there is none; in a group the first process looks for all."""
    if group is None or group.leads:
        found = checkpoint_to_resume(checkpoint.last) if checkpoint.best_weights.is_file() else None
    if group is None:
        return found
    return checkpoint.last if group.gather(group.leads and found is not None)[0] else None


def _require_shares(group: Group, batch_size: int, learned: int, validation: int) -> None:
    """Check that every process has an equal share of every batch, and a part of the validation split.

    Raises:
        DataError: if not.
    """
    if batch_size % group.size:
        raise DataError(
            f"training.batch_size {batch_size} is the batch of all {group.size} processes together and cannot be "
            f"divided by {group.size}; choose a multiple, or start another number of processes."
        )
    for part, specimens, least in (("training", learned, batch_size), ("validation", validation, group.size)):
        if specimens < least:
            raise DataError(
                f"{specimens} {part} specimens are too few for {group.size} processes (training.batch_size "
                f"{batch_size}); train in one process."
            )
