"""Candidates that are tried as trials of NNI, side by side, on this machine or on others."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape

from ..compare.rows import prepared
from ..config import Experiment
from ..nni_jobs.machines import bring, remote_machines
from ..nni_jobs.named_trials import NamedTrials, Told
from ..nni_jobs.template import CANDIDATE_TRIALS, Workers
from ..runs.directory import RunDirectory
from ..utils.errors import RunDirectoryError
from ..utils.own_files import read_json
from .attempt import attempt
from .records import CANDIDATES, DATA

TASKS = "tasks.json"
"""Beside the experiment of the trials: what each of them is to do."""
SECONDS, STOPPED = "seconds", "stopped"
"""What a trial tells beside its score."""


@dataclass(frozen=True)
class Task:
    """A candidate that a trial tries; the arguments are those of `attempt`."""

    row: str
    settings: Mapping[str, Any]
    seconds: float


@dataclass
class Lanes:
    """When each of so many workers is free again, in seconds from now."""

    free: list[float]

    @classmethod
    def of(cls, count: int) -> Lanes:
        """Return workers that are all free."""
        return cls([0.0] * count)

    @property
    def end(self) -> float:
        """When all of them are free."""
        return max(self.free)

    @property
    def start(self) -> float:
        """When the first of them is free."""
        return min(self.free)

    def take(self, seconds: float) -> None:
        """Let the first that is free work for so long."""
        self.free[self.free.index(self.start)] += seconds


@dataclass(frozen=True)
class Tried:
    """How the trial of a candidate has ended.

    Attributes:
        status: of the leaderboard; the folder of one that is done lies here as if it had been tried here.
        note: why it is not done.
        seconds: that it took.
    """

    status: Literal["done", "failed", "out of time"]
    note: str = ""
    seconds: float = 0.0


def try_elsewhere(
    workers: Workers, experiment: Experiment, tasks: Mapping[str, Task], folder: Path, console: Console
) -> dict[str, Tried]:
    """Have candidates tried by trials of NNI, and return how each has ended, by name.

    Args:
        folder: of the portfolio.

    Raises:
        ConfigError: for machines that cannot run trials.
        BioAutoMLError: if NNI does not start, or is gone before the end; what came back is kept.
    """
    trials = NamedTrials(CANDIDATE_TRIALS, folder, workers, console)
    ended: dict[str, Tried] = {}

    def tell(name: str, told: Told) -> None:
        tried = _tried(name, told, f"{trials.place(experiment)}/{CANDIDATES}", folder, workers)
        ended[name] = tried
        console.print(f"{name}: {escape(tried.note or 'has come to its end')}", highlight=False, soft_wrap=True)

    texts = {TASKS: json.dumps({name: asdict(task) for name, task in tasks.items()}, indent=2, default=str)}
    trials(experiment, list(tasks), tell, texts)
    return ended


def _tried(name: str, told: Told, place: str, folder: Path, workers: Workers) -> Tried:
    """Return how a trial has ended, and bring its folder here from the machine that has it."""
    if isinstance(told, str):
        return Tried("failed", told)
    if STOPPED in told:
        return Tried("out of time", told[STOPPED], told[SECONDS])
    done = Tried("done", seconds=told[SECONDS])
    if workers.remote is None:
        return done
    try:
        machines = remote_machines(folder / "nni/nni.yml")
        if any(bring(machine, place, name, folder / CANDIDATES) for machine in machines):
            return done
    except RunDirectoryError as error:
        return Tried("failed", str(error))
    return Tried("failed", "no machine has its run.")


def try_there(config: Path, experiment: Experiment, name: str, place: Path, threads: int) -> dict[str, Any]:
    """Try a candidate inside its trial, and return its validation macro-F1, its seconds, and why it was stopped.

    Args:
        config: of the experiment, beside which `TASKS` lies.
        place: folder of the portfolio on this machine.

    Raises:
        BioAutoMLError: if it fails.
    """
    started = time.monotonic()
    task = Task(**read_json(config.parent / TASKS)[name])
    base = prepared(RunDirectory.create(place / DATA, experiment))
    try:
        found = attempt(task.row, task.settings, base, place / CANDIDATES / name, threads, task.seconds)
        told = {"default": found["validation"]["macro_f1"]}
    except TimeoutError as error:
        told = {"default": 0.0, STOPPED: str(error)}
    return {**told, SECONDS: round(time.monotonic() - started, 1)}
