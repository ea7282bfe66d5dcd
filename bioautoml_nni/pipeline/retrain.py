"""Stage `retrain`: train the derived network on all training data and keep its best epoch on validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from rich.console import Console
from torch import nn

from ..architecture import Architecture
from ..atomic import replacing, write_json
from ..data import splits
from ..data.dataset import make_loader
from ..quiet import quiet
from ..registry import get
from ..seeding import derive_seed, seed_everything
from ..training.history import CheckpointCallback, HistoryCallback
from ..training.progress import ProgressCallback
from ..training.retraining import RetrainModule
from .prepared import PreparedData
from .run_directory import RunDirectory


def retrain(run: RunDirectory, console: Console) -> None:
    """Write retrain/model.pt and retrain/network.json; resumes from the newest whole epoch."""
    run.require("derive")
    data = PreparedData.load(run)
    experiment = run.experiment
    quiet()
    folder = run.work_folder("retrain")
    seed_everything(derive_seed(experiment.seed, "retrain"))
    network, arguments = build_network(run, data)
    space = get("search_spaces", experiment.space.name).target
    if hasattr(space, "load_pretrained"):
        space.load_pretrained(network)
    if experiment.retrain.initial_weights == "supernet" and (run / "search/supernet.pt").is_file():
        supernet = torch.load(run / "search/supernet.pt", weights_only=True, map_location="cpu")
        space.inherit(network, supernet)
    checkpoint = train(run, data, network, folder, "retrain", console, tell=run.tell("retrain"))
    weights = torch.load(folder / "best.pt", weights_only=True, map_location="cpu")
    with replacing(folder / "model.pt") as temporary:
        torch.save(weights, temporary)
    write_json(
        folder / "network.json",
        {
            "space": experiment.space.name,
            "arguments": arguments,
            "brand": data.brand,
            "best_epoch": checkpoint.best_epoch,
            "validation_macro_f1": checkpoint.best,
        },
    )


def train(
    run: RunDirectory,
    data: PreparedData,
    network: nn.Module,
    folder: Path,
    task: str,
    console: Console,
    epochs: int | None = None,
    tell: Callable[[Mapping[str, Any]], None] = lambda line: None,
) -> CheckpointCallback:
    """Train a network by the experiment's recipe, going on from `folder`/last.ckpt where there is one.

    Args:
        folder: receives history.jsonl, last.ckpt and best.pt.
        task: what the progress bar says.
        epochs: stop after so many; the schedule is that of the whole training all the same.
        tell: called with every epoch's line.

    Raises:
        KeyboardInterrupt: if the user stops it; the newest whole epoch is kept.
    """
    experiment, settings = run.experiment, run.experiment.training
    train = make_loader(data.dataset([splits.WEIGHTS, splits.ALPHA]), settings.batch_size, shuffle=True)
    validation = make_loader(data.dataset([splits.VALIDATION]), settings.batch_size, shuffle=False)
    module = RetrainModule(
        seed=experiment.seed,
        ema_decay=settings.ema_decay,
        num_classes=len(data.classes),
        loss=data.loss(),
        images=data.image_transform(settings.augmentation),
        optimizer="adamw",
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup_steps,
        total_steps=len(train) * settings.epochs,
        epochs=settings.epochs,
    )
    module.set_model(network)
    checkpoint = CheckpointCallback(folder, monitor="val_macro_f1")
    trainer = pl.Trainer(
        max_epochs=epochs or settings.epochs,
        accelerator="auto",
        devices=1,
        callbacks=[
            HistoryCallback(folder / "history.jsonl", tell=tell),
            checkpoint,
            ProgressCallback(task, console),
        ],
        gradient_clip_val=settings.gradient_clip or None,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=str(folder),
    )
    resume = str(checkpoint.last) if checkpoint.last.is_file() else None
    if resume and epochs is None:
        console.print(f"{task}: continues after the newest whole epoch.")
    trainer.fit(module, train, validation, ckpt_path=resume, weights_only=True)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return checkpoint


def build_network(
    run: RunDirectory, data: PreparedData, architecture: Architecture | None = None
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a freshly initialised network at the size that is trained, and the arguments that rebuild it.

    Args:
        architecture: the run's own by default.
    """
    experiment = run.experiment
    architecture = architecture or Architecture.load(run / "architecture.json")
    size = {key: value for key, value in experiment.retrain.model_dump(include={"cells", "channels"}).items() if value}
    arguments = {**data.space_inputs(), **experiment.space.arguments, **size}
    network = get("search_spaces", experiment.space.name).target.build(architecture, **arguments)
    return network.to(memory_format=torch.channels_last), arguments


def load_model(run: RunDirectory, data: PreparedData) -> nn.Module:
    """Return the trained network of a run in evaluation mode."""
    run.require("retrain")
    network, _ = build_network(run, data)
    network.load_state_dict(torch.load(run / "retrain/model.pt", weights_only=True, map_location="cpu"))
    return network.eval()
