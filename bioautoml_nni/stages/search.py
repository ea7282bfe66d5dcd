"""Stage `search`: find an architecture with a one-shot strategy in NNI's experiment engine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from nni.nas.evaluator.pytorch import Lightning, Trainer
from rich.console import Console

from ..architecture import Topology, derive
from ..architecture.schema import SpaceRecord
from ..architecture.weights import weight_statistics, with_positions
from ..artifacts.outcome import SearchOutcome
from ..data import splits
from ..data.dataset import make_loader
from ..derivation.inherited import InheritedScore
from ..nni_engine import named_architecture_parameters, run_one_shot, weights_of
from ..registry import get, operation_groups
from ..runs.directory import RunDirectory
from ..runs.networks import strategy_arguments
from ..runs.prepared import PreparedData
from ..runs.teacher import distillation, require_fitting_teachers
from ..training.augment import ImageSizes, ImageTransform
from ..training.distillation import Distillation
from ..training.group import EndsAtOnce, in_turns, is_rank_zero, require_same_weights, within_group
from ..training.history import CheckpointCallback, HistoryCallback
from ..training.inference import Inference
from ..training.module import SpecimenModule
from ..training.progress import ProgressCallback
from ..training.weights import checkpoint_to_resume
from ..utils.atomic import replacing, write_json
from ..utils.errors import ConfigError, DataError, DivergenceError, RunDirectoryError
from ..utils.memory import keep_freed_memory
from ..utils.quiet import quiet
from ..utils.seeding import derive_seed, isolate_rng, seed_everything

MAX_SCORED = 5000
"""Validation specimens above which what an epoch would derive is not scored."""


def search(run: RunDirectory, console: Console) -> None:
    """Write search/ with the final architecture weights and the supernet; resumes from the last completed epoch."""
    data = PreparedData.load(run).as_searched()
    experiment = run.experiment
    require_fitting_teachers(run, data)
    keep_freed_memory()
    quiet()
    topology = data.topology()
    _require_same_cells(topology, data.topology(trained=True), experiment.retrain.cells)
    if topology.empty:
        console.print("search: the space leaves nothing open for these modalities; its only architecture is taken.")
        weights: Any = {label: {names[0]: 1.0} for label, names in topology.choices.items()}
    elif experiment.search.devices > 1 and not within_group():
        distillation(run, data, console, "search")  # an encoder's head is kept, so that one process alone fits it
        _launch_group(run, experiment.search.devices)
        return
    else:
        weights = _one_shot(run, data, console)
    if is_rank_zero():
        write_weights(run, weights)


def _require_same_cells(searched: Topology, trained: Topology, cells: int | None) -> None:
    """Check that the search decides the cells that the trained network has.

    Raises:
        ConfigError: if not.
    """
    if set(searched.cells) != set(trained.cells):
        kinds = [", ".join(sorted(each.cells)) or "none" for each in (trained, searched)]
        problem = (
            f"retrain.cells: a network of {cells} cells has the kinds {kinds[0]}, and the search decides {kinds[1]}; "
            "give space.cells and retrain.cells numbers with the same kinds, or remove retrain.cells."
        )
        raise ConfigError([problem], "experiment")


def _launch_group(run: RunDirectory, processes: int) -> None:
    """Search in several processes on this machine (torchrun); the first of them writes the results.

    Raises:
        RunDirectoryError: if one of them failed; what it said stands above.
    """
    run.work_folder("search")  # a history of other settings goes
    tell, told = run.tell("search"), len(run.history("search"))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += ["-m", "bioautoml_nni.stages.search_process", str(run.path)]
    threads = str(max(1, torch.get_num_threads() // processes))
    with subprocess.Popen(command, env={"OMP_NUM_THREADS": threads, **os.environ}) as group:
        try:
            while group.poll() is None:
                time.sleep(0.5)
                lines = run.history("search")
                for line in lines[told:]:
                    tell(line)
                told = len(lines)
        except BaseException:  # the processes end with this one
            group.terminate()
            raise
    if group.returncode or not (run / "search/shares.json").is_file():
        raise RunDirectoryError(
            f"{run.path}: the search in {processes} processes failed (code {group.returncode}); the reason stands "
            "above. The same command resumes from the last completed epoch, --set search.devices=1 in one process."
        )


def _one_shot(run: RunDirectory, data: PreparedData, console: Console) -> Any:
    """Search; a loss that is not finite goes back to the last completed epoch, with half the learning rate."""
    outcome = run.work_folder("search") / "outcome.json"
    factor = run.outcome().rate_factor
    lowest = 0.5**run.experiment.search.max_restarts
    last: DivergenceError | None = None
    while factor >= lowest:
        try:
            return _attempt(run, data, console, factor)
        except DivergenceError as error:
            last = error
            factor /= 2
            if is_rank_zero():  # a killed search continues with it too
                SearchOutcome(stopped=None, rate_factor=factor).write(outcome)
            console.print(f"[yellow]search: {error}; back to the last completed epoch with half the learning rate.")
    outcome.unlink(missing_ok=True)
    raise DataError(
        f"search: the loss was not finite in {run.experiment.search.max_restarts + 1} attempts; lower "
        "search.learning_rate and strategy.alpha_learning_rate, and look for extreme values with `bioautoml check`."
    ) from last


def _attempt(run: RunDirectory, data: PreparedData, console: Console, rate_factor: float) -> Any:
    """Search from the first weights, which the seed decides, or from the last completed epoch."""
    seed_everything(derive_seed(run.experiment.seed, "search"))
    space = data.search_space()
    parts = search_parts(run, data, console, rate_factor)
    weights, supernet = run_one_shot(space, parts.evaluator, parts.strategy, parts.folder, parts.resume_from)
    alphas = named_architecture_parameters(parts.strategy.supernet)
    require_same_weights("search", {**supernet, **{f"alpha {label}": alpha for label, alpha in alphas.items()}})
    if is_rank_zero():
        keep_search(run, parts.strategy, supernet, rate_factor, console)
    return weights


@dataclass(frozen=True)
class SearchParts:
    """What a one-shot search of a run is made of, beside the space.

    Attributes:
        folder: where NNI keeps its own files.
        resume_from: checkpoint of an interrupted search.
    """

    evaluator: Lightning
    strategy: Any
    folder: Path
    resume_from: Path | None


def search_parts(run: RunDirectory, data: PreparedData, console: Console, rate_factor: float = 1.0) -> SearchParts:
    """Return evaluator and strategy of a run, which write search/ as they go; they continue what was interrupted."""
    experiment, settings = run.experiment, run.experiment.search
    folder = run.work_folder("search")
    strategy = get("strategies", experiment.strategy.name).target(**strategy_arguments(run))
    with in_turns():  # an encoder's head is kept, so that one process fits it
        taught = distillation(run, data, console, "search")
    train, validation, steps = _loaders(run, data, strategy, taught)
    module = _module(run, data, steps, taught, rate_factor)
    sizes = [ImageSizes(module.images, settings.image_size_at)] if isinstance(module.images, ImageTransform) else []
    ends = [EndsAtOnce()] if within_group() else []
    checkpoint = CheckpointCallback(folder)
    epoch = _EpochRecord(run, data, has_preferences="equal_shares" not in getattr(strategy, "capabilities", ()))
    history = HistoryCallback(folder / "history.jsonl", epoch, run.tell("search"))
    trainer = Trainer(
        max_epochs=settings.epochs,
        accelerator="auto",
        devices=settings.devices if not within_group() else int(os.environ["LOCAL_WORLD_SIZE"]),
        num_nodes=int(os.environ["GROUP_WORLD_SIZE"]) if within_group() else 1,
        strategy="ddp" if within_group() else "auto",
        precision=settings.precision,
        callbacks=[history, checkpoint, ProgressCallback("search", console), *sizes, *ends],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=str(folder),
    )
    evaluator = Lightning(module, trainer, train_dataloaders=train, val_dataloaders=validation)
    resume = checkpoint_to_resume(checkpoint.last)
    if resume:
        console.print("search: resumes from the last completed epoch.")
    own = folder / ("nni" if is_rank_zero() else f"nni-{os.environ['RANK']}")
    return SearchParts(evaluator, strategy, own, resume)


def _module(
    run: RunDirectory, data: PreparedData, steps: int, taught: Distillation | None, rate_factor: float
) -> SpecimenModule:
    """Return what trains the supernet by the search's settings, in epochs of so many steps."""
    settings = run.experiment.search
    module = SpecimenModule(
        num_classes=len(data.classes),
        loss=data.loss(),
        images=data.image_transform(settings.augmentation),
        optimizer="sgd",
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=settings.warmup_steps,
        total_steps=steps * settings.epochs // _processes(),
        epochs=settings.epochs,
    )
    module.distillation = taught
    module.rate_factor = rate_factor
    module.trunk_rate, module.layer_decay = settings.trunk_rate, settings.layer_decay
    module.frozen_batch_norm = settings.frozen_batch_norm
    return module


def _loaders(run: RunDirectory, data: PreparedData, strategy: Any, taught: Distillation | None) -> tuple[Any, Any, int]:
    """Return the loaders that a strategy trains and validates with, and how many steps an epoch has."""
    settings = run.experiment.search
    separate = getattr(strategy, "training_data", "separate") == "separate"
    wanted = settings.distillation.steps if settings.distillation else "both"

    def loader(group: str, *parts: str) -> Any:
        teacher = taught.teacher if taught and wanted in ("both", group) else None
        dataset = data.dataset(parts, teacher, views=True)
        _require_a_step(len(dataset), share)
        return make_loader(dataset, share, shuffle=True)

    share = settings.batch_size * settings.devices // _processes() if within_group() else settings.batch_size
    validation = make_loader(data.dataset([splits.VALIDATION]), share, shuffle=False)
    if not separate:
        train: Any = loader("both", *splits.TRAINING)
        count = getattr(strategy, "weight_steps", None)  # not all, where one loader serves both groups in turn
        return train, validation, count(len(train)) if callable(count) else len(train)
    weights, alpha = loader("weights", splits.WEIGHTS), loader("architecture", splits.ALPHA)
    if "validation" in getattr(strategy, "capabilities", ()):
        return {"weights": weights, "alpha": alpha}, validation, len(weights)
    return weights, alpha, len(weights)  # NNI's own strategies take the architecture's data as validation data


def _processes() -> int:
    """Return how many processes search together."""
    return int(os.environ["WORLD_SIZE"]) if within_group() else 1


def _require_a_step(specimens: int, share: int) -> None:
    """Check that every process of several has a step of its own in an epoch, where it drops what is not a whole share.

    Raises:
        DataError: if not.
    """
    if specimens < share * _processes() and _processes() > 1:
        raise DataError(
            f"search: {specimens} specimens are too few for {_processes()} processes with {share} in each step; lower "
            "search.batch_size, or search in one process (devices: 1, search.devices: 1)."
        )


class _EpochRecord:
    """What an epoch's line says beside the metrics: weights, their means, and the score of what they would derive."""

    def __init__(self, run: RunDirectory, data: PreparedData, has_preferences: bool) -> None:
        self.run, self.data, self.topology = run, data, data.topology()
        few = data.sizes()[splits.VALIDATION] <= MAX_SCORED
        self.scored = has_preferences and few and run.experiment.search.score_derived
        self.score: InheritedScore | None = None

    def __call__(self, trainer: Any, module: Any) -> dict[str, Any]:
        weights = weights_of(module)
        line: dict[str, Any] = {"shares": weights, **weight_statistics(weights, operation_groups())}
        if self.scored:
            with isolate_rng():  # the search goes on as if nothing had been scored
                self.score = self.score or InheritedScore(self.run, self.data, Inference(trainer.strategy.root_device))
                self.score.image_size = self.run.experiment.search.image_size_at(trainer.current_epoch)
                record = SpaceRecord(name=self.run.experiment.space.name, arguments=self.run.experiment.space.arguments)
                architecture = derive(self.topology, with_positions(weights, self.topology), record)
                found = self.score(architecture, module.model.state_dict())
            if found is not None:
                line["derived_macro_f1"] = found
        return line


def keep_search(run: RunDirectory, strategy: Any, supernet: Any, rate_factor: float, console: Console) -> None:
    """Write the supernet's state and how the search ended."""
    folder = run / "search"
    with replacing(folder / "supernet.pt") as temporary:
        torch.save(dict(supernet), temporary)
    stopped = getattr(strategy.oneshot_module, "stopped", None)
    if stopped:
        console.print(f"[yellow]search: stopped {stopped}.", highlight=False)
    SearchOutcome(stopped=stopped, rate_factor=rate_factor).write(folder / "outcome.json")


def write_weights(run: RunDirectory, weights: Any) -> None:
    """Write the final architecture weights of all choices, which derivation starts from."""
    plain = {str(label): {str(name): float(share) for name, share in own.items()} for label, own in weights.items()}
    write_json(run / "search/shares.json", plain)
