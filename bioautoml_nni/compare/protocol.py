"""The comparison itself: every row with every seed under one protocol, finished ones kept, tables at the end.

One protocol means: the same audit, splits, augmentation, loss, budget and scoring; with a seed, the split of all rows
is the same, so that rows can be compared pair by pair.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from ..config import Experiment
from ..config.load import changed
from ..registry import get
from ..runs.directory import RunDirectory
from ..utils.atomic import write_json, write_text
from ..utils.errors import BioAutoMLError, ConfigError, RunDirectoryError
from ..utils.own_files import read_json
from ..utils.places import require_folder
from ..utils.progress import make_progress
from ._base import PredictingMethod, RunMethod
from .in_reports import OWN_ROW, show_comparison
from .rows import find_method, folder_name, predicted, prediction_scores, prepared, run_process, run_scores
from .tables import write_tables

SEED = "seed "
"""How the name of a job begins."""

SENT = "sent"
"""Folder of what came back of jobs that were done elsewhere."""

DATA = "data"
"""Folder of the runs that hold only prepared data, one for each seed, for rows that are no network of ours."""


@dataclass(frozen=True)
class Job:
    """One row with one seed."""

    row: str
    method: RunMethod | PredictingMethod
    experiment: Experiment
    folder: Path

    @property
    def name(self) -> str:
        """What messages call it, and `row_result` understands."""
        return f"{SEED}{self.experiment.seed}: {self.row}"


Told = dict[str, Any] | str
"""The line of a job, or the sentence why there is none."""

Sender = Callable[[Experiment, Sequence[str], Callable[[str, Told], None]], None]
"""Has named jobs done elsewhere, and tells of each by its name."""


def compare(
    experiment: Experiment,
    rows: Sequence[str],
    seeds: int,
    output: Path,
    jobs: int,
    console: Console,
    send: Sender | None = None,
) -> pd.DataFrame:
    """Run what is missing, write the tables to `output`, and show them in the reports of the experiment's own row.

    Args:
        rows: methods, each a name or ``name:argument``.
        seeds: number of seeds; they count up from the experiment's own.
        jobs: how many runs at a time.
        send: has them done elsewhere; by default each is a process of this machine.

    Returns:
        One line per row and seed.

    Raises:
        ConfigError: for methods that do not exist, and all mistakes in their settings, before anything starts.
        RunDirectoryError: if a run failed; everything else is finished and kept then.
    """
    plan = _plan(experiment, rows, seeds, output)
    require_folder(output, "--output", RunDirectoryError)
    found = _results(plan, output, jobs, console) if send is None else _sent(experiment, plan, output, send, console)
    digests = [result.pop("data_sha256") for result in found if not isinstance(result, str)]
    finished = [job for job, result in zip(plan, found, strict=True) if not isinstance(result, str)]
    failed = [result for result in found if isinstance(result, str)]
    table = pd.DataFrame([result for result in found if not isinstance(result, str)])
    if len(table):
        write_tables(table, experiment, output, digests[0])
        for job in finished:
            if job.row == OWN_ROW and (job.folder / "experiment.yml").is_file():  # not on another machine
                show_comparison(_run_directory(job, output), output, Console(quiet=True))
    if failed:
        raise RunDirectoryError(
            f"{output}: {len(failed)} of {len(plan)} runs failed; the others are kept, and the same command tries "
            "these again. " + " ".join(failed)
        )
    return table


def _results(plan: Sequence[Job], output: Path, jobs: int, console: Console) -> list[Told]:
    """Return the line of every job, or the sentence why there is none."""
    threads = max(1, (os.cpu_count() or 1) // jobs)

    def work(job: Job) -> Told:
        try:
            return _result(job, output, threads)
        except BioAutoMLError as error:
            return f"{job.row}, seed {job.experiment.seed}: {error}"
        except Exception as error:  # a method is a plug-in; the other rows are kept
            log = job.folder.with_suffix(".log")
            write_text(log, traceback.format_exc())
            return f"{job.row}, seed {job.experiment.seed}: {type(error).__name__}: {error} (see {log})."

    results = []
    with make_progress(console) as progress, ThreadPoolExecutor(jobs) as pool:
        task = progress.add_task("compare", total=len(plan), note="")
        for job, found in zip(plan, pool.map(work, plan), strict=True):
            if not isinstance(found, str):
                console.print(f"{job.row}, seed {job.experiment.seed}: macro-F1 {found['macro_f1']:.3f}")
            results.append(found)
            progress.advance(task)
    return results


def _sent(experiment: Experiment, plan: Sequence[Job], output: Path, send: Sender, console: Console) -> list[Told]:
    """Have done elsewhere what was not, and keep what comes back.

    Raises:
        RunDirectoryError: if the folder holds what came back of another experiment.
    """
    folder = output / SENT
    _require_same(experiment, folder)
    jobs = {job.name: job for job in plan}
    files = {name: folder / f"{folder_name(job.row)}_seed-{job.experiment.seed}.json" for name, job in jobs.items()}
    found: dict[str, Told] = {name: read_json(file) for name, file in files.items() if file.is_file()}
    missing = [name for name in jobs if name not in found]
    with make_progress(console) as progress:
        task = progress.add_task("compare", total=len(plan), completed=len(found), note="")

        def tell(name: str, told: Told) -> None:
            found[name] = told if isinstance(told, dict) else f"{name}: {told}"
            if isinstance(told, dict):
                write_json(files[name], told)
                console.print(f"{name}: macro-F1 {told['macro_f1']:.3f}")
            progress.advance(task)

        if missing:
            send(experiment, missing, tell)
    _require_one_table(jobs, found)
    return [found.get(name, f"{name}: was not run.") for name in jobs]


def _require_same(experiment: Experiment, folder: Path) -> None:
    """Check that the folder of what came back is of this experiment, or begin it."""
    file, own = folder / "of.json", experiment.model_dump(mode="json")
    if not file.is_file():
        write_json(file, own)
    elif read_json(file) != own:
        raise RunDirectoryError(
            f"{folder}: holds rows of another experiment, or of other settings; choose another --output."
        )


def _require_one_table(jobs: Mapping[str, Job], found: Mapping[str, Told]) -> None:
    """Check that rows with the same settings of the data were scored on the same data, whatever machine had them.

    Raises:
        RunDirectoryError: if not.
    """
    first: dict[str, tuple[str, str]] = {}
    for name, told in found.items():
        if isinstance(told, str):
            continue
        other, digest = first.setdefault(jobs[name].experiment.data.model_dump_json(), (name, told["data_sha256"]))
        if digest != told["data_sha256"]:
            raise RunDirectoryError(
                f"{name}: was scored on other data than {other}; let data.root name the same data on every machine, "
                "and choose another --output."
            )


def row_result(experiment: Experiment, name: str, output: Path, threads: int) -> dict[str, Any]:
    """Do the job of a name, which `compare` has sent, below `output`, and return its line.

    Raises:
        BioAutoMLError: if it fails.
    """
    seed, _, row = name.removeprefix(SEED).partition(": ")
    job = _plan(changed(experiment, {"seed": int(seed)}, name), [row], 1, output)[0]
    return _result(job, output, threads)


def _plan(experiment: Experiment, rows: Sequence[str], seeds: int, output: Path) -> list[Job]:
    problems: list[str] = []
    plan: list[Job] = []
    for row in rows:
        try:
            method = find_method(row)
            for seed in range(experiment.seed, experiment.seed + seeds):
                settings = method.settings(seed) if isinstance(method, RunMethod) else {}
                values = {**settings, "seed": seed}
                folder = output / folder_name(row) / f"seed-{seed}"
                plan.append(Job(row, method, changed(experiment, values, f"row {row}"), folder))
        except ConfigError as error:
            plugin = get("methods", row.partition(":")[0])
            whose = "" if plugin.is_own else f"{plugin.told}, settings(seed): "
            problems += [f"{whose}{problem}" for problem in error.problems]
        except (BioAutoMLError, TypeError) as error:
            problems.append(f"{row}: {error}")
    if problems:
        raise ConfigError(problems, "compare")
    return sorted(plan, key=lambda job: job.experiment.seed)  # a whole first seed before the second


def _result(job: Job, output: Path, threads: int) -> dict[str, Any]:
    run = _run_directory(job, output)
    if isinstance(job.method, RunMethod):
        scores = _run(run, threads)
    else:
        file = job.folder / "result.json"
        if not file.is_file():
            write_json(file, _predicted(job, job.method, output))
        scores = read_json(file)
    data = run.provenance().data_sha256 or prepared(run).run.provenance().data_sha256
    return {"row": job.row, "seed": job.experiment.seed, **scores, "data_sha256": data}


def _run_directory(job: Job, output: Path) -> RunDirectory:
    """Return the directory of a job's run; rows that are no run of ours share one with the data, for each seed."""
    is_run = isinstance(job.method, RunMethod)
    return RunDirectory.create(job.folder if is_run else output / DATA / f"seed-{job.experiment.seed}", job.experiment)


def _run(run: RunDirectory, threads: int) -> dict[str, Any]:
    """Do the whole job unless that was done before, and read its scores."""
    if not run.done("report"):
        run_process(run, threads)
    return run_scores(run)


def _predicted(job: Job, method: PredictingMethod, output: Path) -> dict[str, Any]:
    data = prepared(_run_directory(job, output))
    scores, per_class = prediction_scores(data, *predicted(data, method, job.experiment.seed))
    write_text(job.folder / "per_class.csv", per_class)
    return scores
