"""`bioautoml trial`: one whole run inside a trial of NNI, with the settings that the tuner chose.

The search inside the trial uses NNI's own engine, which takes over the trial's command channel. The reporter therefore
keeps the channel and the parameter record that it found at the start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from ..architecture.weights import weight_statistics
from ..config.load import changed, load_experiment_with
from ..config.schema import Experiment
from ..registry import get, operation_groups
from ..runs.directory import STAGES, RunDirectory
from ..stages.run import run_stages
from ..utils.atomic import write_json
from ..utils.errors import RunDirectoryError
from ..utils.own_files import read_json

RUNS = "runs"
CURVES = (
    "train_loss", "alpha_loss", "weights_loss", "val_loss", "val_accuracy", "derived_macro_f1", "learning_rate",
)  # fmt: skip


class Reporter:
    """Sends metrics to NNI through the channel that this trial was started with.

    Args:
        parameters: what the experiment is changed by, if that has been asked for already.
    """

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        import nni
        import nni.trial
        from nni.runtime.env_vars import trial_env_vars
        from nni.runtime.trial_command_channel import get_default_trial_command_channel

        self.channel = get_default_trial_command_channel()
        self.parameters: dict[str, Any] = dict(nni.get_next_parameter() or {} if parameters is None else parameters)
        self.record: Mapping[str, Any] = dict(nni.trial._params or {})
        self.job = str(trial_env_vars.NNI_TRIAL_JOB_ID or "standalone")
        self.experiment = str(trial_env_vars.NNI_EXP_ID or "")
        self.sequence = 0

    def intermediate(self, values: Mapping[str, float]) -> None:
        """Send an epoch's numbers; ``default`` is what the web UI draws first and assessors read."""
        self._send("PERIODICAL", self.sequence, values)
        self.sequence += 1

    def final(self, values: Mapping[str, float | str | None]) -> None:
        """Send the trial's result; ``default`` is what the tuner maximises."""
        self._send("FINAL", 0, values)

    def _send(self, kind: Any, sequence: int, values: Mapping[str, float | str | None]) -> None:
        numbers: Any = {
            name: value for name, value in values.items() if not isinstance(value, float) or math.isfinite(value)
        }
        self.channel.send_metric(
            type=kind,
            parameter_id=self.record.get("parameter_id"),
            trial_job_id=self.job,
            sequence=sequence,
            value=numbers,
        )


def run_trial(
    config: Path, console: Console, overrides: Sequence[str] = (), parameters: Mapping[str, Any] | None = None
) -> RunDirectory:
    """Run an experiment with the tuner's parameters, report every epoch and the result, and return the run.

    Without NNI the experiment runs as it is, below the working directory.

    Args:
        overrides: ``dotted.key=value`` texts that hold for all trials of an NNI experiment.
        parameters: dotted keys and values; by default NNI is asked for the tuner's.

    Raises:
        ConfigError: for parameters that are no keys of the experiment; NNI then marks the trial as failed.
    """
    reporter = Reporter(parameters)
    experiment = with_given_gpus(load_experiment_with(config, reporter.parameters, overrides))
    folder = experiment_folder(reporter.experiment) / RUNS
    path, lock = _own_folder(folder, reporter.parameters, reporter.job)
    try:
        run = RunDirectory.create(path, experiment)
        trial: dict[str, Any] = {"parameters": reporter.parameters, "trials": [], **_read(path / "trial.json")}
        trial["trials"] = [*(job for job in trial["trials"] if job != reporter.job), reporter.job]
        write_json(path / "trial.json", trial)
        _tell(reporter, console, f"Run directory: {path}")
        run.listeners.append(lambda stage, line: reporter.intermediate(epoch_numbers(stage, line)))
        run_stages(run, list(STAGES), console)
        result = final_numbers(run)
        reported = trial.get("reported", [])
        if reporter.job not in reported:  # a trial that is resumed after its end has told already
            reporter.intermediate(chosen_numbers(result))
            reporter.final(result)
        write_json(
            path / "trial.json",
            {**trial, "result": result, "reported": [*(job for job in reported if job != reporter.job), reporter.job]},
        )
    finally:
        lock.release()
    _tell(reporter, console, f"Report: {path / 'report.html'}")
    _tell(reporter, console, f"Drawing of the architecture: {path / 'architecture.svg'}")
    return run


def _tell(reporter: Reporter, console: Console, text: str) -> None:
    """Write a line to the log that the web UI shows; what is printed gets there on NNI's local service only."""
    if reporter.experiment:
        logger = logging.getLogger("nni.bioautoml")
        logger.setLevel(logging.INFO)  # `quiet` leaves NNI itself only warnings
        logger.info(text)
    else:
        console.print(text, soft_wrap=True)


def with_given_gpus(experiment: Experiment) -> Experiment:
    """Return the experiment with as many processes for its search as NNI gave GPUs to this trial.

    NNI's local service names them in CUDA_VISIBLE_DEVICES; a strategy that searches in one process keeps to one.
    Without GPUs the experiment stays as it is.
    """
    import torch

    if not os.environ.get("CUDA_VISIBLE_DEVICES"):
        return experiment
    count = torch.cuda.device_count()
    several = "processes" in get("strategies", experiment.strategy.name).capabilities
    return changed(experiment, {"search.devices": max(1, count) if several else 1}, "GPUs of the trial")


def epoch_numbers(stage: str, line: Mapping[str, Any]) -> dict[str, float]:
    """Return what is reported of one epoch: validation macro-F1 as ``default``, losses, rate, and weights.

    The same score stands under ``search_macro_f1`` or ``training_macro_f1`` too, so that the web UI can draw the two
    stages apart, and ``stage`` is 1 in the search, 2 in the training.
    """
    score = float(line.get("val_macro_f1", math.nan))
    searching = stage == "search"
    numbers = {"default": score, "searching": float(searching), "stage": 1.0 if searching else 2.0}
    numbers["search_macro_f1" if searching else "training_macro_f1"] = score
    numbers.update({name: float(line[name]) for name in CURVES if name in line})
    numbers.update(weight_statistics(line.get("shares", {}), operation_groups()))
    if not math.isfinite(numbers["default"]):
        numbers["default"] = 0.0  # assessors need a number at every step
    return numbers


def chosen_numbers(result: Mapping[str, float]) -> dict[str, float]:
    """Return the curve's last point: the score of the chosen network, which is the trial's result.

    It is the mean of the last five epochs up to the best one, and not the last epoch's own.
    """
    return {"default": result["default"], "searching": 0.0, "stage": 3.0, "chosen_macro_f1": result["default"]}


def final_numbers(run: RunDirectory) -> dict[str, float]:
    """Return what the tuner may see of a finished run: validation scores and cost, and nothing of the test split."""
    network, metrics = run.network(), run.metrics()
    return {
        "default": network.validation_macro_f1,
        "best_epoch": float(network.best_epoch),
        "parameters": float(metrics.parameters),
        "flops": float(metrics.flops),
    }


def experiment_folder(experiment: str) -> Path:
    """Return the folder of the NNI experiment that this trial belongs to; the working directory without NNI."""
    output = os.environ.get("NNI_OUTPUT_DIR")
    if not output or not experiment:
        return Path.cwd()
    return next((parent for parent in Path(output).parents if parent.name == experiment), Path(output))


def trial_runs(folder: Path) -> list[dict[str, Any]]:
    """Return the trial runs of an experiment, best first, unfinished ones last.

    Raises:
        RunDirectoryError: if the folder holds none.
    """
    found = [{"path": path.parent, **_read(path)} for path in sorted((folder / RUNS).glob("*/trial.json"))]
    if not found:
        raise RunDirectoryError(f"{folder}: holds no trial of bioautoml; give an NNI experiment's id or folder.")
    return sorted(found, key=lambda trial: -trial["result"]["default"] if "result" in trial else math.inf)


def _own_folder(folder: Path, parameters: Mapping[str, Any], job: str) -> tuple[Path, FileLock]:
    """Return a run directory of these parameters that no other trial is using, and its lock, held.

    A trial that was killed is continued by the next one with the same parameters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode()).hexdigest()[:12]
    for name in (digest, f"{digest}-{job}"):
        lock = FileLock(folder / f".{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        return folder / name, lock
    raise RunDirectoryError(f"{folder / digest}: is in use by another process of the same trial.")


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_json(path) if path.is_file() else {}
    return content
