"""What an experiment will cost, from a dry run on a few of its specimens, before anything long starts."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from ..config import Experiment
from ..config.load import changed
from ..data import splits
from ..data.image_store import ImageStore
from ..data.labels import learnable, named_settings
from ..data.load import image_size, image_store, load_manifest
from ..data.manifest import IMAGE, SPLIT, Manifest
from ..runs.directory import RunDirectory
from ..runs.threads import use_threads
from ..utils.errors import BioAutoMLError
from ..utils.quiet import quiet
from .estimate_features import FeatureCost, feature_cost
from .estimate_group import in_group
from .launch import ALONE, processes

BATCHES = 4
"""Batches of each half of the training split that the dry run has at least."""

DRY = ("prepare", "search", "derive", "retrain", "evaluate")
"""Stages of the dry run."""

EPOCHS = 2
"""Of the dry run: the first one warms up, the last one is timed."""


@dataclasses.dataclass(frozen=True)
class StageCost:
    """What one stage will take.

    Attributes:
        epochs: None for a stage without epochs.
        epoch_seconds: of one of them.
        seconds: of the stage.
    """

    epochs: int | None
    epoch_seconds: float | None
    seconds: float


@dataclasses.dataclass(frozen=True)
class Estimate:
    """What a whole experiment will take.

    Attributes:
        specimens: number by part.
        sampled: specimens of the dry run.
        stages: cost by stage.
        memory_mb: most memory of the process, or of the GPU if there is one.
        cache_gb: decoded images, 0 without images.
        cached: whether they are kept, or decoded again in every epoch since they exceed `cache.max_gb`.
        run_mb: size of the run directory.
        there: images that are in the cache already.
        features: what the features of frozen encoders take; None without such.
        processes: by how many on this machine the run would be done, and the dry run was.
        nodes: by how many machines, by whose number the epochs of one are divided.
    """

    specimens: Mapping[str, int]
    sampled: int
    stages: Mapping[str, StageCost]
    memory_mb: float
    cache_gb: float
    cached: bool
    run_mb: float
    there: int = 0
    features: FeatureCost | None = None
    processes: int = 1
    nodes: int = 1

    @property
    def seconds(self) -> float:
        """Seconds of the whole run."""
        return sum(stage.seconds for stage in self.stages.values())


def estimate(experiment: Experiment, console: Console) -> Estimate:
    """Return what an experiment will cost on this machine; nothing outside of a temporary folder is written.

    A sample of the specimens goes through the stages, in a process of its own. What frozen encoders make of images is
    timed by itself, since an epoch finds it stored, and counted for the images that the cache lacks. An epoch of all
    specimens is taken to last as many times longer as there are more of them; what an epoch takes whatever their
    number, such as its checkpoint, is counted with it, so that the times err upwards. Where the search's images grow,
    the largest are tried, and smaller ones taken to cost as much less as they have fewer pixels. The dry run is done by
    as many processes as the run on this machine; what several machines do together is that divided by their number.

    Raises:
        BioAutoMLError: whatever the run itself would end with on these specimens.
    """
    started = time.perf_counter()
    manifest = load_manifest(experiment)
    settings = named_settings(experiment.data, manifest)
    table = learnable(manifest.table, settings).table
    part = splits.divide(table, settings, experiment.seed)
    learned = ~splits.mask(part, splits.UNKNOWN)
    table, part = table[learned].reset_index(drop=True), part[learned].reset_index(drop=True)
    reading = time.perf_counter() - started
    specimens = {name: int((part == name).sum()) for name in splits.PARTS}
    chosen = _sample(part, specimens, max(experiment.search.batch_size, experiment.training.batch_size))
    share = len(chosen) / len(table)
    few = table.loc[chosen].assign(**{SPLIT: part[chosen].replace(splits.ALPHA, splits.WEIGHTS)})
    few = few.reset_index(drop=True)
    uses_images = "image" in settings.modalities
    size = image_size(experiment, manifest.image_root, few[IMAGE].tolist()) if uses_images else 0
    cache_gb = len(table) * 3 * size**2 / 1e9
    cached = cache_gb <= experiment.cache.max_gb
    with tempfile.TemporaryDirectory(prefix="bioautoml-estimate-") as folder:
        count = 1 if ALONE in os.environ else processes(experiment, console)
        dry = changed(_dry(experiment, Path(folder) / "cache", cached), {"devices": count, "nodes": 1}, "estimate")
        decode, there, features = 0.0, 0, None
        if uses_images:
            started = time.perf_counter()
            there = image_store(experiment, manifest.image_root, size).there(table[IMAGE].tolist(), cached)
            reading += time.perf_counter() - started
            missing = 1 - there / table[IMAGE].nunique()
            dry_store = image_store(dry, manifest.image_root, size)
            decode = missing / share * _seconds_to_fill(dry_store, few)
            if cached:
                store = image_store(experiment, manifest.image_root, size)
                features = feature_cost(experiment, table[IMAGE].tolist(), store, few[IMAGE].tolist(), dry_store)
        run = Path(folder) / "run"
        RunDirectory.create(run, dry)
        names = [name for name in DRY if name != "search" or experiment.derivation.searched]
        few_of_it = dataclasses.replace(manifest, table=few)
        costs = _in_process(run, names[:1] if count > 1 else names, few_of_it, console)
        costs |= in_group(run, names[1:], console) if count > 1 else {}
        run_mb = sum(file.stat().st_size for file in run.rglob("*") if file.is_file()) / 1e6
    stages = _stage_costs(experiment, costs, specimens, share, len(settings.modalities), reading + decode, count)
    if features is not None:
        prepare = {"prepare": stages.pop("prepare"), "features": StageCost(None, None, features.seconds)}
        stages = {**prepare, **stages}
    return Estimate(
        specimens, len(few), stages, costs["evaluate"]["memory"], cache_gb, cached, run_mb, there, features, count,
        experiment.nodes,
    )  # fmt: skip


def _seconds_to_fill(store: ImageStore, few: pd.DataFrame) -> float:
    started = time.perf_counter()
    store.ensure(few[IMAGE].tolist())
    return time.perf_counter() - started


def _stage_costs(
    experiment: Experiment,
    costs: Mapping[str, Mapping[str, Any]],
    specimens: Mapping[str, int],
    share: float,
    modalities: int,
    before: float,
    count: int,
) -> dict[str, StageCost]:
    """Return what the stages of the whole run cost.

    Args:
        costs: what those of the dry run took, see `_measure`.
        specimens: of the whole run, by split.
        share: of them that the dry run saw.
        modalities: how many there are.
        before: seconds of reading and decoding.
        count: of processes of the dry run, of which only the first trains what a derivation tries.
    """
    stages = {"prepare": StageCost(None, None, before + costs["prepare"]["seconds"])}
    trainings = 2 if experiment.retrain.refit else 1
    for stage, epochs in (("search", experiment.search.epochs), ("retrain", trainings * experiment.training.epochs)):
        if stage in costs and costs[stage]["epoch_seconds"] is not None:  # there may be nothing to search
            epoch = costs[stage]["epoch_seconds"] / share * (_pixels(experiment) if stage == "search" else 1)
            epoch *= _processes(stage, experiment, count) / _processes(stage, experiment, experiment.nodes * count)
            limit = 60 * trainings * (experiment.retrain.max_minutes or np.inf) if stage == "retrain" else np.inf
            stages[stage] = StageCost(epochs, epoch, float(min(limit, epochs * epoch)))
        elif stage == "retrain":  # a probe, which is fitted at once
            stages[stage] = StageCost(None, None, costs[stage]["seconds"] / share)
    halving = experiment.derivation
    if halving.method == "successive_halving":
        total = _halving_epochs(halving.candidates, halving.first_epochs, experiment.training.epochs)
        epoch = count * costs["retrain"]["epoch_seconds"] / share
        stages["derive"] = StageCost(total, epoch, total * epoch)
    elif halving.method == "perturbation":
        stages["derive"] = StageCost(None, None, costs["derive"]["seconds"] / share)
    passes = specimens[splits.VALIDATION] + (3 if modalities == 2 else 1) * specimens[splits.TEST]
    trained = specimens[splits.WEIGHTS] + specimens[splits.ALPHA]
    forward = passes / trained * (stages["retrain"].epoch_seconds or 0) / 3  # a training step is three forward passes
    stages["evaluate"] = StageCost(None, None, costs["evaluate"]["seconds"] + forward)
    return stages


def _processes(stage: str, experiment: Experiment, started: int) -> int:
    """Return how many of so many processes do a stage."""
    if started == 1:
        return 1
    from .together import alone

    return started if alone(stage, experiment, started) is None else 1


def _pixels(experiment: Experiment) -> float:
    """Return the pixels of a search whose images grow, as a share of those that the largest would have throughout."""
    sizes = experiment.search.image_sizes
    return float(np.mean(np.square(sizes))) / sizes[-1] ** 2 if sizes else 1.0  # equal stages


def _sample(part: pd.Series, sizes: Mapping[str, int], batch: int) -> pd.Index:
    """Return the rows of a sample that has all parts in proportion and enough batches."""
    share = min(1.0, BATCHES * batch / min(sizes[splits.WEIGHTS], sizes[splits.ALPHA]))
    rng = np.random.default_rng(0)
    rows = [
        rng.permutation(np.flatnonzero(part == name))[: max(2, int(np.ceil(share * size)))]
        for name, size in sizes.items()
    ]
    return part.index[np.sort(np.concatenate(rows))]


def _dry(experiment: Experiment, cache: Path, cached: bool) -> Experiment:
    """Return the experiment of the dry run: the same work in few epochs, on a split that is given."""
    values: dict[str, Any] = {
        "data.split": {
            **experiment.data.split.model_dump(include={"alpha_fraction"}), "method": "official",
            "train": [splits.WEIGHTS], "validation": [splits.VALIDATION], "test": [splits.TEST],
        },
        "data.rare_labels": "drop", "data.labels": {}, "data.hold_out": [], "cache.folder": str(cache),
        "cache.max_gb": experiment.cache.max_gb if cached else 0,
        "search.epochs": EPOCHS, "search.image_sizes": experiment.search.image_sizes[-1:],
        "training.epochs": EPOCHS, "training.patience": None,
        "search.distillation": None, "training.distillation": None, "retrain.max_minutes": None,
        "evaluation.examples": 0,
    }  # fmt: skip
    if experiment.derivation.method == "successive_halving":
        values["derivation.method"] = "strongest" if experiment.derivation.searched else "random"
    if "warmup_epochs" in experiment.strategy.arguments:
        values["strategy.warmup_epochs"] = 0
    return changed(experiment, values, "estimate")


def _halving_epochs(candidates: int, first: int, longest: int) -> int:
    """Return the epochs that all candidates of successive halving are trained together."""
    from ..derivation.halving import halving

    trained: dict[int, int] = {}

    def score(number: int, epochs: int) -> float:
        trained[number] = min(epochs, longest)
        return 0.0

    halving(candidates, first, score)
    return sum(trained.values())


def _in_process(run: Path, stages: Sequence[str], manifest: Manifest, console: Console) -> dict[str, dict[str, Any]]:
    """Do stages in a process of its own and return what each took."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure, args=(run, stages, manifest, sender))
    process.start()
    sender.close()
    costs = {}
    for stage in stages:
        with console.status(f"dry run: {stage}"):
            try:
                costs[stage] = receiver.recv()
            except EOFError:
                process.join()
                raise BioAutoMLError(
                    f"dry run: {stage} was ended from outside (code {process.exitcode}); there is not enough memory "
                    "for it."
                ) from None
        if "error" in costs[stage]:
            process.join()
            raise BioAutoMLError(f"dry run: {costs[stage]['error']}")
    process.join()
    return costs


def _measure(run: Path, stages: Sequence[str], manifest: Manifest, sender: Any) -> None:
    """Do stages and send for each its seconds, those of its last epoch, and the largest memory so far in MB."""
    quiet()
    import torch

    from .prepare import prepare
    from .run import stage_function

    directory = RunDirectory.open(run)
    use_threads(directory.experiment.threads)
    times: list[float] = []
    directory.listeners.append(lambda name, line: times.append(time.perf_counter()))
    silent = Console(quiet=True)
    for stage in stages:
        times.clear()
        started = time.perf_counter()
        try:
            with directory.stage(stage):
                if stage == "prepare":
                    prepare(directory, silent, manifest)
                else:
                    stage_function(stage)(directory, silent)
        except BioAutoMLError as error:
            sender.send({"error": str(error)})
            return
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        if torch.cuda.is_available():
            memory = torch.cuda.max_memory_reserved() / 1e6
        epoch = times[-1] - times[-2] if len(times) > 1 else None
        sender.send({"seconds": seconds, "epoch_seconds": epoch, "memory": memory})
