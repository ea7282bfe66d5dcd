"""Stage `retrain`: train the derived network on all training data and keep its best epoch on validation."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from ..artifacts.history import read_history
from ..artifacts.network import NetworkRecord
from ..data import splits
from ..registry import get
from ..runs.directory import RunDirectory
from ..runs.greedy import averaged_weights
from ..runs.networks import predict_logits, starting_network
from ..runs.prepared import PreparedData
from ..runs.probe import VALIDATION_LOGITS, fit_classifier
from ..runs.teacher import distillation, learns_for_refit
from ..runs.train import train
from ..training.distillation import Distillation
from ..training.group import in_turns, is_rank_zero
from ..training.limits import Deadline, Pause
from ..training.weights import load_weights
from ..utils.atomic import replacing, write_array
from ..utils.errors import ConfigError
from ..utils.memory import keep_freed_memory
from ..utils.quiet import quiet
from ..utils.seeding import derive_seed, seed_everything

SLACK = 1.25
"""Of the time that training with the validation split may take: the machine may have other work meanwhile."""


def retrain(run: RunDirectory, console: Console) -> None:
    """Write retrain/model.pt and retrain/network.json; resumes from the last completed epoch.

    In a group every process trains, and what is written is written by the first.
    """
    run.require("derive")
    data = PreparedData.load(run)
    experiment = run.experiment
    folder, network, arguments = _start(run, data, console)
    if "probe" in get("search_spaces", experiment.space.name).capabilities:
        return _fit(run, data, network, arguments, folder, console)
    first = copy.deepcopy(network) if experiment.retrain.refit else None
    taught = _taught(run, data, console)
    checkpoint = train(run, data, network, folder, "retrain", console, tell=run.tell("retrain"), distillation=taught)
    weights, members = load_weights(checkpoint.best_weights), [checkpoint.best_epoch]
    if experiment.training.keep == "greedy" and is_rank_zero():
        weights, members = averaged_weights(data, network, checkpoint)
    if is_rank_zero():
        (folder / VALIDATION_LOGITS).unlink(missing_ok=True)  # of an earlier refit
    refitted = None
    if first is not None:
        refitted = _refit(run, data, first, weights, checkpoint.best_epoch + 1, folder, console, taught)
    if not is_rank_zero():
        return
    _save(folder, weights if refitted is None else refitted)
    NetworkRecord(
        space=experiment.space.name,
        arguments=arguments,
        brand=data.brand,
        keep=experiment.training.keep,
        learned_from=[*splits.TRAINING, *([] if refitted is None else [splits.VALIDATION])],
        best_epoch=checkpoint.best_epoch,
        **({"averaged_epochs": members} if experiment.training.keep == "greedy" else {}),
        validation_macro_f1=_mean_macro_f1(folder, checkpoint.best_epoch, checkpoint.window),
    ).write(folder / "network.json")


def begin(run: RunDirectory, console: Console, epochs: int) -> None:
    """Train the first epochs of stage retrain, as far as they are not; `retrain` goes on with the next.

    Raises:
        ConfigError: if the network is fitted in one go.
    """
    run.require("derive")
    data = PreparedData.load(run)
    folder, network, _ = _start(run, data, console)
    if "probe" in get("search_spaces", run.experiment.space.name).capabilities:
        raise ConfigError(["--first-epochs: a probe is fitted in one go, without epochs; remove it."], "run")
    if len(read_history(folder / "history.jsonl")) >= epochs:
        return
    train(
        run, data, network, folder, "retrain", console, tell=run.tell("retrain"),
        distillation=_taught(run, data, console), callbacks=[Pause(epochs)],
    )  # fmt: skip


def _taught(run: RunDirectory, data: PreparedData, console: Console) -> Distillation | None:
    """Return what the teacher adds; it is asked about the validation split too if a refit has the same one."""
    with in_turns():  # an encoder's head is kept, so that one process fits it
        both = run.experiment.retrain.refit and not learns_for_refit(run)
        return distillation(run, data, console, validation=both)


def _start(run: RunDirectory, data: PreparedData, console: Console) -> tuple[Path, nn.Module, dict[str, Any]]:
    """Return the stage's folder, the network that its training starts from, and the network's arguments."""
    experiment = run.experiment
    keep_freed_memory()
    quiet()
    folder = run.work_folder("retrain") if is_rank_zero() else run / "retrain"
    seed_everything(derive_seed(experiment.seed, "retrain"))
    network, arguments = starting_network(run, data)
    space = get("search_spaces", experiment.space.name).target
    if experiment.retrain.initial_weights == "supernet" and (run / "search/supernet.pt").is_file():
        supernet = load_weights(run / "search/supernet.pt")
        space.inherit(network, supernet)
    if experiment.training.sampler != "shuffled" and "imbalance" in get("losses", experiment.loss.name).capabilities:
        console.print(
            f"[yellow]warning:[/] training.sampler {experiment.training.sampler} and loss {experiment.loss.name} both "
            "make rare classes count, which is more than balanced; keep one of them.",
            highlight=False,
        )
    return folder, network, arguments


def _refit(
    run: RunDirectory,
    data: PreparedData,
    network: nn.Module,
    weights: dict[str, Tensor],
    epochs: int,
    folder: Path,
    console: Console,
    taught: Distillation | None,
) -> dict[str, Tensor] | None:
    """Train `network` once more, on validation specimens too, and return its weights; None where time is too short.

    What the network of `weights`, which has not seen them, says of validation specimens is kept for calibration. A
    teacher that can learn from them too has; `taught` is what any other one adds. Under `retrain.max_minutes` this
    training has, for each specimen, as much time as the one before, and a quarter more.
    """
    if is_rank_zero():
        unseen = copy.deepcopy(network)
        unseen.load_state_dict(weights)
        write_array(folder / VALIDATION_LOGITS, predict_logits(data, unseen.eval(), splits.VALIDATION)[0].numpy())
    own = folder / "refit"
    own.mkdir(parents=True, exist_ok=True)
    if learns_for_refit(run):
        with in_turns():
            taught = distillation(run, data, console, refit=True)
    seed_everything(derive_seed(run.experiment.seed, "refit"))
    deadlines = _deadlines(run.experiment.retrain.max_minutes, data.sizes(), epochs)
    checkpoint = train(
        run, data, network, own, "retrain: with validation", console, epochs, distillation=taught, refit=True,
        callbacks=deadlines,
    )  # fmt: skip
    if not any(deadline.missed for deadline in deadlines):
        return load_weights(checkpoint.best_weights)
    if is_rank_zero():
        console.print(
            f"[yellow]warning:[/] retrain: with validation: there is no time for it (retrain.max_minutes: "
            f"{run.experiment.retrain.max_minutes:g}); the network that has not learned from the validation split is "
            "kept.",
            highlight=False,
        )
        (folder / VALIDATION_LOGITS).unlink(missing_ok=True)
    return None


def _deadlines(minutes: float | None, sizes: Mapping[str, int], epochs: int) -> list[Deadline]:
    if minutes is None:
        return []
    specimens = sum(sizes[part] for part in splits.TRAINING)
    return [Deadline(SLACK * minutes * (specimens + sizes[splits.VALIDATION]) / specimens, epochs)]


def _fit(
    run: RunDirectory, data: PreparedData, network: nn.Module, arguments: dict[str, Any], folder: Path, console: Console
) -> None:
    """Fit the classifier of a network whose other parts stay as they are; that takes seconds, so nothing resumes."""
    if run.experiment.training.distillation is not None:
        raise ConfigError(
            ["training.distillation: a probe is fitted to the labels, it has no teacher; remove it."], "experiment"
        )
    fitted, unseen = fit_classifier(data, network, console, refit=bool(arguments.get("refit", True)))
    (folder / "history.jsonl").unlink(missing_ok=True)  # of a network that was trained
    write_array(folder / VALIDATION_LOGITS, unseen)
    _save(folder, network.state_dict())
    record = NetworkRecord(
        space=run.experiment.space.name, arguments=arguments, brand=data.brand, best_epoch=0, **fitted
    )
    record.write(folder / "network.json")
    run.tell("retrain")({"epoch": 0, "val_macro_f1": record.validation_macro_f1})


def _save(folder: Path, weights: Any) -> None:
    with replacing(folder / "model.pt") as temporary:
        torch.save(weights, temporary)


def _mean_macro_f1(folder: Path, epoch: int, window: int) -> float:
    """Return the mean validation macro-F1 of the epochs up to one."""
    scores = [line["val_macro_f1"] for line in read_history(folder / "history.jsonl") if line.number <= epoch]
    return float(sum(scores[-window:]) / len(scores[-window:]))
