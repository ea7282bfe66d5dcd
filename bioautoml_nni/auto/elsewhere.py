"""Candidates that are tried as trials of NNI, side by side, on this machine or on others."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
SECONDS = "seconds"


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
    def start(self) -> float:
        """When the first of them is free."""
        return min(self.free)

    def take(self, seconds: float) -> None:
        """Let the first that is free work for so long."""
        self.free[self.free.index(self.start)] += seconds


@dataclass
class Elsewhere:
    """Has candidates tried by trials of NNI, and leaves their folders as if they had been tried here.

    Args:
        workers: who tries them.
    """

    workers: Workers
    seconds: dict[str, float] = field(default_factory=dict)
    """That the trials took, by name, of those that came to an end."""

    def __call__(
        self, experiment: Experiment, tasks: Mapping[str, Task], folder: Path, console: Console
    ) -> dict[str, str]:
        """Try all of them, and return why those failed that did, by name.

        Args:
            folder: of the portfolio.

        Raises:
            ConfigError: for machines that cannot run trials.
            BioAutoMLError: if NNI does not start, or is gone before the end; what came back is kept.
        """
        trials = NamedTrials(CANDIDATE_TRIALS, folder, self.workers, console)
        failed: dict[str, str] = {}

        def tell(name: str, told: Told) -> None:
            place = trials.place(experiment)
            fault = told if isinstance(told, str) else self._arrived(name, told, place, folder)
            if fault is not None:
                failed[name] = fault
            console.print(f"{name}: {escape(fault or 'has come to its end')}", highlight=False, soft_wrap=True)

        tasks_text = json.dumps({name: asdict(task) for name, task in tasks.items()}, indent=2, default=str)
        trials(experiment, list(tasks), tell, {TASKS: tasks_text})
        return failed

    def _arrived(self, name: str, told: dict[str, Any], place: str, folder: Path) -> str | None:
        """Bring a candidate's folder here, and return why that failed, None if it did not."""
        self.seconds[name] = float(told[SECONDS])
        if self.workers.remote is None:
            return None
        try:
            for machine in remote_machines(folder / "nni/nni.yml"):
                if bring(machine, f"{place}/{CANDIDATES}", name, folder / CANDIDATES):
                    return None
        except RunDirectoryError as error:
            return str(error)
        return "no machine has its run."


def try_there(config: Path, experiment: Experiment, name: str, place: Path, threads: int) -> dict[str, float]:
    """Try a candidate inside its trial, and return its validation macro-F1 and the seconds that it took.

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
    except TimeoutError as error:
        raise RunDirectoryError(str(error)) from error
    return {"default": found["validation"]["macro_f1"], SECONDS: round(time.monotonic() - started, 1)}
