"""One row of a comparison: found by its name, run in a process of its own, scored on the test split."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from filelock import FileLock
from rich.console import Console

from ..artifacts.speed import Speed
from ..data import splits
from ..data.own_csv import csv_text
from ..evaluation.metrics import answer_metrics, by_training_size, per_class_table
from ..evaluation.probabilities import Probabilities
from ..registry import get
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from ..stages.launch import ALONE
from ..stages.prepare import prepare
from ..utils.errors import PluginError, RunDirectoryError
from ._base import PredictingMethod, Prediction, RunMethod


def find_method(row: str) -> RunMethod | PredictingMethod:
    """Return the method that ``name`` or ``name:argument`` stands for.

    Raises:
        PluginError: if there is none of this name.
        ConfigError: for an argument that it does not take.
    """
    name, _, argument = row.partition(":")
    made: RunMethod | PredictingMethod = get("methods", name).target(*([argument] if argument else []))
    return made


def folder_name(row: str) -> str:
    """Return a row's folder: what no file system likes in names is replaced.

    Example:
        >>> folder_name('timm:resnet18 @ 0.5')
        'timm-resnet18_@_0.5'
    """
    return re.sub(r"[^\w.,+=@-]", "_", row.replace(":", "-"))


def run_process(run: RunDirectory, threads: int, seconds: float | None = None, arguments: Sequence[str] = ()) -> None:
    """Do the whole job in a process of its own; what it says goes to a log beside the run directory.

    Args:
        threads: of torch.
        seconds: after which it is ended, None without a limit.
        arguments: of the command line, instead of ``run`` with the run's experiment.

    Raises:
        RunDirectoryError: if it ends with an error, with its last line.
        TimeoutError: if it was ended.
    """
    log, start = run.path.with_suffix(".log"), 0
    command = [sys.executable, "-c", "from bioautoml_nni.cli.main import main; main()"]
    command += arguments or ["run", str(run / "experiment.yml"), "--output", str(run.path), "--no-baselines"]
    with open(log, "a", encoding="utf-8") as file:  # what an earlier attempt said stays
        start = file.tell()
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "COLUMNS": "120", ALONE: "1"}
        try:
            done = subprocess.run(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"was ended after {seconds:.0f} s, see {log}") from None
    if done.returncode:
        said = log.read_bytes()[start:].decode(errors="replace")
        last = [line for line in said.splitlines() if line.strip()][-1:]
        raise RunDirectoryError(f"ended with code {done.returncode}, see {log} ({' '.join(last)})")


@dataclass(frozen=True)
class Scores:
    """Scores on the test split and costs of one row, in the order of the table; None is what a row does not have."""

    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    tail_f1: float | None
    parameters: int | None
    flops: float | None = None
    latency_ms: float | None = None
    search_seconds: float = 0.0
    train_seconds: float = 0.0


def run_scores(run: RunDirectory) -> dict[str, Any]:
    """Return the scores and costs of a finished run."""
    metrics = run.metrics()
    stages = run.provenance().stages
    found = Scores(
        **metrics.headline.model_dump(),
        tail_f1=metrics.by_training_size["tail"].f1,
        parameters=metrics.parameters,
        flops=metrics.flops,
        latency_ms=round(Speed.read(run / "evaluation/speed.json").latency_ms, 3),
        search_seconds=stages["search"].seconds if "search" in stages else 0.0,
        train_seconds=stages["retrain"].seconds,
    )
    return asdict(found)


def prepared(run: RunDirectory) -> PreparedData:
    """Return the prepared data of a run directory, preparing them if need be."""
    with FileLock(f"{run.path}.lock"):  # rows at the same time share it
        if not run.done("prepare"):
            with run.stage("prepare"):
                prepare(run, Console(quiet=True))
    return PreparedData.load(run)


def predicted(data: PreparedData, method: PredictingMethod, seed: int) -> tuple[Prediction, float]:
    """Return what a method predicts, and the seconds that it took.

    Raises:
        PluginError: if it returns something else than probabilities of the test split.
    """
    start = time.monotonic()
    found: Any = method.predict(data, seed)
    seconds = time.monotonic() - start
    wanted = (int(splits.mask(data.part, splits.TEST).sum()), len(data.classes))
    if not isinstance(found, Prediction):
        fault = f"a Prediction, not a {type(found).__name__}"
    elif np.shape(found.probabilities) != wanted:
        fault = f"probabilities {wanted} of the test split, not {np.shape(found.probabilities)}"
    else:
        return found, seconds
    raise PluginError(f"{type(method).__name__}: predict(data, seed) must return {fault}; correct it, or leave it out.")


def prediction_scores(data: PreparedData, found: Prediction, seconds: float) -> tuple[dict[str, Any], str]:
    """Return scores and costs of a prediction of the test split, and its classes one by one as CSV."""
    target = data.targets_of(splits.TEST)
    metrics = answer_metrics(target, Probabilities.of(found.probabilities).predicted)
    per_class = per_class_table(target, found.probabilities, data.classes, np.array(data.class_counts()))
    scores = Scores(
        accuracy=metrics["accuracy"],
        balanced_accuracy=metrics["balanced_accuracy"],
        macro_f1=metrics["macro"]["f1"],
        tail_f1=by_training_size(per_class)["tail"]["f1"],
        parameters=found.parameters,
        train_seconds=round(seconds, 1),
    )
    return asdict(scores), csv_text(per_class)
