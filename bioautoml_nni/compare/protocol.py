"""The comparison itself: every row with every seed under one protocol, finished ones kept, tables at the end.

One protocol means: the same audit, splits, augmentation, loss, budget and scoring; with a seed, the split of all rows
is the same, so that rows can be compared pair by pair.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from ..config import Experiment
from ..config.load import changed
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

DATA = "data"
"""Folder of the runs that hold only prepared data, one for each seed, for rows that are no network of ours."""


@dataclass(frozen=True)
class Job:
    """One row with one seed."""

    row: str
    method: RunMethod | PredictingMethod
    experiment: Experiment
    folder: Path


def compare(
    experiment: Experiment, rows: Sequence[str], seeds: int, output: Path, jobs: int, console: Console
) -> pd.DataFrame:
    """Run what is missing, write the tables to `output`, and show them in the reports of the experiment's own row.

    Args:
        rows: methods, each a name or ``name:argument``.
        seeds: number of seeds; they count up from the experiment's own.
        jobs: how many runs at a time.

    Returns:
        One line per row and seed.

    Raises:
        ConfigError: for methods that do not exist, and all mistakes in their settings, before anything starts.
        RunDirectoryError: if a run failed; everything else is finished and kept then.
    """
    plan = _plan(experiment, rows, seeds, output)
    require_folder(output, "--output", RunDirectoryError)
    found = _results(plan, output, jobs, console)
    finished = [job for job, result in zip(plan, found, strict=True) if not isinstance(result, str)]
    failed = [result for result in found if isinstance(result, str)]
    table = pd.DataFrame([result for result in found if not isinstance(result, str)])
    if len(table):
        write_tables(table, experiment, output, _run_directory(finished[0], output).provenance()["data_sha256"])
        for job in finished:
            if job.row == OWN_ROW:
                show_comparison(_run_directory(job, output), output, Console(quiet=True))
    if failed:
        raise RunDirectoryError(
            f"{output}: {len(failed)} of {len(plan)} runs failed; the others are kept, and the same command tries "
            "these again. " + " ".join(failed)
        )
    return table


def _results(plan: Sequence[Job], output: Path, jobs: int, console: Console) -> list[dict[str, Any] | str]:
    """Return the line of every job, or the sentence why there is none."""
    threads = max(1, (os.cpu_count() or 1) // jobs)

    def work(job: Job) -> dict[str, Any] | str:
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
            problems += error.problems
        except (BioAutoMLError, TypeError) as error:
            problems.append(f"{row}: {error}")
    if problems:
        raise ConfigError(problems, "compare")
    return sorted(plan, key=lambda job: job.experiment.seed)  # a whole first seed before the second


def _result(job: Job, output: Path, threads: int) -> dict[str, Any]:
    if isinstance(job.method, RunMethod):
        return {"row": job.row, "seed": job.experiment.seed, **_run(_run_directory(job, output), threads)}
    file = job.folder / "result.json"
    if not file.is_file():
        write_json(file, _predicted(job, job.method, output))
    return {"row": job.row, "seed": job.experiment.seed, **read_json(file)}


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
