"""The portfolio: candidates one by one within the minutes, each kept when it is done; then choice, export, report."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..compare.rows import prepared
from ..config import Experiment
from ..data.tables import csv_text
from ..evaluation.calibration import fit_temperature, negative_log_likelihood
from ..runs.directory import RunDirectory
from ..runs.lock import locked
from ..runs.prepared import PreparedData
from ..stages.prepare import prepare
from ..utils.atomic import remove_leftovers, replacing_folder, write_json, write_text
from ..utils.errors import BioAutoMLError, RunDirectoryError
from ..utils.own_files import read_array, read_json
from ..utils.progress import duration
from ._base import Work
from .attempt import attempt, candidate_logits, doubt_unit, validation_groups, validation_target
from .choice import Choice, Scored, choose, resampled_macro_f1
from .ensemble import MIN_PROBABILITY
from .joining import CROSS_FITTED, ENSEMBLE, join
from .limits import Limits
from .plan import TEACHING_SHARE, Clock, Slot, Step, fit_into, make_plan, plan_settings, slowness, work_of
from .records import Record, leaderboard, load_record
from .teaching import TEACHER, is_network, write_teacher

DATA, CANDIDATES = "data", "candidates"
MARKER = "auto.json"
INPUT = "input"
"""Folder of a data frame that was fitted on."""
LONGEST_MINUTES = 8 * 60
"""Most that is taken where nobody says how long it may take."""
SPARE = 1.25
"""By which the sum of all estimates is multiplied there."""
GRACE = 1.2
"""Times the seconds that are left, after which a candidate is ended."""


@dataclass(frozen=True)
class Finished:
    """What a portfolio led to.

    Attributes:
        folder: of everything; the chosen model's export is in ``export``.
        choice: which candidate won, and why.
        leaderboard: see `records.leaderboard`.
        minutes: that it was given.
        label: what is learned: a column's name, or a rank.
    """

    folder: Path
    choice: Choice
    leaderboard: pd.DataFrame
    minutes: float
    label: str


def auto(
    experiment: Experiment,
    folder: Path,
    console: Console,
    minutes: float | None = None,
    max_latency_ms: float | None = None,
    text: str | None = None,
    guesses: Sequence[str] = (),
) -> Finished:
    """Try all candidates that fit, choose one, and leave its export, a leaderboard and a report; resumes what stopped.

    Args:
        experiment: what all candidates share; its section `derivation` holds the limits of the device.
        folder: of everything.
        minutes: for all candidates together, None for what the estimates call sensible.
        max_latency_ms: of one specimen in onnxruntime on one thread of this machine.
        text: the experiment as a file with comments, by default as plain YAML.
        guesses: what was guessed, in sentences, for the report.

    Raises:
        DataError: for data on which no result could be trusted.
        RunDirectoryError: if the folder belongs to something else, or another process works on it.
        BioAutoMLError: if there is no time for any candidate, or none meets the limits.
    """
    limits = Limits.of(experiment.derivation, max_latency_ms)
    _require_own(folder, experiment, max_latency_ms)
    with locked(folder):
        remove_leftovers(folder)
        for run in sorted((folder / CANDIDATES).glob("*/experiment.yml")):
            with locked(run.parent):  # a process of an earlier call may still be at work
                pass
        portfolio = _Portfolio(experiment, folder, console, limits, max_latency_ms, list(guesses))
        portfolio.open(text)
        portfolio.plan(minutes)
        portfolio.try_all()
        return portfolio.finish()


def _key(experiment: Experiment, max_latency_ms: float | None) -> str:
    facts = [experiment.model_dump(mode="json"), max_latency_ms]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _require_own(folder: Path, experiment: Experiment, max_latency_ms: float | None) -> None:
    """Raise `RunDirectoryError` unless the folder is free or this portfolio's own."""
    if folder.is_file():
        raise RunDirectoryError(f"{folder}: is a file; choose another --output.")
    marker = folder / MARKER
    if marker.is_file():
        own = read_json(marker)["key"] == _key(experiment, max_latency_ms)
        if not own and not any((folder / CANDIDATES).glob("*.json")):
            forget(folder)  # an attempt that ended before anything was tried
        elif not own:
            raise RunDirectoryError(
                f"{folder}: holds the candidates of another experiment (compare {folder / 'experiment.yml'} with what "
                "you asked for); choose another --output."
            )
    elif folder.is_dir() and any(path.name not in ("lock", INPUT) for path in folder.iterdir()):
        raise RunDirectoryError(f"{folder}: is not empty and holds no {MARKER}; choose another --output.")


def forget(folder: Path) -> None:
    """Remove what an attempt began that tried no candidate."""
    shutil.rmtree(folder / DATA, ignore_errors=True)
    for name in (MARKER, "experiment.yml"):
        (folder / name).unlink(missing_ok=True)


class _Portfolio:
    """The state of a call."""

    def __init__(
        self, experiment: Experiment, folder: Path, console: Console, limits: Limits, latency: float | None,
        guesses: list[str],
    ) -> None:  # fmt: skip
        self.experiment = experiment
        self.folder = folder
        self.candidates = folder / CANDIDATES
        self.console = console
        self.limits = limits
        self.latency = latency
        self.guesses = guesses
        self.started = time.monotonic()
        self.spent_before = 0.0
        self.minutes = 0.0
        self.records: dict[str, Record] = {}

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return 60 * self.minutes - self.spent_before - (time.monotonic() - self.started)

    def open(self, text: str | None) -> None:
        """Prepare the data that all candidates share."""
        marker, run = self.folder / MARKER, RunDirectory(self.folder / DATA, self.experiment)
        if marker.is_file():
            self.guesses = read_json(marker)["guesses"]
        else:
            plain = RunDirectory.create(run.path, self.experiment) / "experiment.yml"
            write_text(self.folder / "experiment.yml", text or plain.read_text(encoding="utf-8"))
            key = _key(self.experiment, self.latency)
            write_json(marker, {"key": key, "guesses": self.guesses, "max_latency_ms": self.latency})
        run = RunDirectory.create(run.path, self.experiment)
        if not run.done("prepare"):
            with run.stage("prepare"):
                prepare(run, self.console)
        self.data: PreparedData = prepared(run)

    def plan(self, minutes: float | None) -> None:
        """Say which candidates will be tried and how long they take.

        Raises:
            BioAutoMLError: if there is no time for any that could be chosen.
        """
        self.clock = Clock(slowness())
        self.work = work_of(self.data)
        self.steps = make_plan(self.work, self.limits, self.clock)
        self.candidates.mkdir(exist_ok=True)
        for step in self.steps:
            known = load_record(self.candidates, step.name)
            if known is not None and known.scored:
                self.records[step.name] = known
                self.spent_before += known.seconds or 0.0
        whole = sum(step.seconds or 0.0 for step in self.steps)
        given = minutes is not None
        self.minutes = minutes if minutes is not None else sensible_minutes(whole)
        self._tell_plan(given)
        if not any(self._could_win(step) for step in self.steps):
            possible = [s for s in self.steps if s.seconds is not None and s.candidate and not s.candidate.baseline]
            quickest = min(possible, key=lambda step: step.seconds or 0.0, default=None)
            if quickest is None:
                reasons = "; ".join(f"{step.name}: {step.reason}" for step in self.steps if step.reason)
                raise BioAutoMLError(f"{self.folder}: there is no candidate for this data ({reasons}).")
            raise BioAutoMLError(
                f"--minutes {self.minutes:g}: is not enough for any candidate; the quickest, {quickest.name}, needs "
                f"about {duration(max(1.0, quickest.seconds or 0.0))} after the data are prepared."
            )

    def _could_win(self, step: Step) -> bool:
        if step.candidate is None or step.candidate.baseline or step.seconds is None or step.teaches:
            return False
        slot = fit_into(step.candidate, *self.clock.estimate(step.candidate, self.work), self.left)
        return step.name in self.records or ("teacher" not in step.candidate.needs and slot.share is not None)

    def _tell_plan(self, given: bool) -> None:
        table = Table(title=f"{self.experiment.name}: plan for {self.minutes:g} minutes", title_justify="left")
        table.add_column("candidate", no_wrap=True)
        table.add_column("about", justify="right")
        table.add_column("", overflow="fold")
        for step in self.steps:
            if step.name in self.records:
                note = "done before"
            elif step.candidate is None or step.seconds is None:
                note = f"left out: {step.reason}"
            else:
                note = "for comparison, never chosen" if step.candidate.baseline else step.reason
            table.add_row(step.name, "" if step.seconds is None else duration(step.seconds), escape(note))
        self.console.print(table)
        if not given:
            self.console.print(f"{self.minutes:g} minutes suffice for all of them (change it with --minutes).")
        self.console.print(f"Device: {self.limits}.", highlight=False)

    def try_all(self) -> None:
        """Try every candidate that is not done, in the plan's order."""
        for step in self.steps:
            if step.name in self.records:
                self._note(self.records[step.name])
                continue
            row = step.candidate.row if step.candidate else ""
            if step.candidate is None or step.seconds is None:
                self._note(Record(step.name, row, "left out", step.reason).save(self.candidates))
                continue
            learning, overhead = self.clock.estimate(step.candidate, self.work)
            slot = fit_into(step.candidate, learning, overhead, self.left)
            if step.teaches and ((slot.share or 0) < 1 or slot.estimate > TEACHING_SHARE * self.left):
                slot = Slot(None, slot.estimate, "takes too long for one that may only teach")
            if slot.share is None:
                self._note(Record(step.name, row, "left out", slot.note, slot.estimate))
                continue
            work = self.work
            if "teacher" in step.candidate.needs:
                work = dataclasses.replace(work, teacher=self._teacher())
                if work.teacher is None:
                    reason = "needs a teacher, and no network beats the most frequent class, or can be asked"
                    self._note(Record(step.name, row, "left out", reason).save(self.candidates))
                    continue
            self._note(self._try(step, work, slot, overhead))
        self._join()

    def _try(self, step: Step, work: Work, slot: Slot, overhead: float) -> Record:
        """Try one candidate; whatever happens to it, the others go on."""
        assert step.candidate is not None and slot.share is not None  # callers look at both
        row, left = step.candidate.row, self.left
        self.console.print(f"[bold]{step.name}[/]: about {duration(slot.estimate)} of {duration(max(0.0, left))}")
        record = Record(step.name, row, "planned", slot.note, round(slot.estimate, 1))
        started = time.monotonic()
        try:
            record = dataclasses.replace(record, settings=plan_settings(step.candidate, work, slot))
            with self.console.status(f"{step.name}: log in {self.candidates / step.name}.log"):
                found = attempt(
                    row, record.settings, self.data, self.candidates / step.name, torch.get_num_threads(),
                    max(60.0, GRACE * left),
                )  # fmt: skip
        except TimeoutError as error:
            return self._stopped(record, "out of time", str(error), started)
        except BioAutoMLError as error:
            return self._stopped(record, "failed", str(error), started)
        except Exception as error:  # a candidate is a plug-in; the others go on
            log = self.candidates / f"{step.name}.log"
            write_text(log, traceback.format_exc())
            return self._stopped(record, "failed", f"{type(error).__name__}: {error} (see {log})", started)
        seconds = time.monotonic() - started
        self.clock.learn(step.candidate.seconds(work) * slot.share, seconds - overhead)
        broken = self.limits.broken(found["parameters"], found["flops"], found["latency_ms"])
        status: Any = "baseline" if step.candidate.baseline else "over the limits" if broken else "done"
        note = "; ".join(part for part in (record.note, *broken) if part)
        record = dataclasses.replace(record, **found, status=status, note=note, seconds=round(seconds, 1))
        return record.save(self.candidates)

    def _stopped(self, record: Record, status: Any, note: str, started: float) -> Record:
        note = " ".join(note.split())
        self.console.print(f"[yellow]{record.name}: {status}: {escape(note)}", highlight=False, soft_wrap=True)
        seconds = round(time.monotonic() - started, 1)
        return dataclasses.replace(record, status=status, note=note, seconds=seconds).save(self.candidates)

    def _note(self, record: Record) -> None:
        self.records[record.name] = record
        self._write_leaderboard()
        if record.scored:
            self.console.print(
                f"{record.name}: validation macro-F1 {record.validation['macro_f1']:.3f} ± "
                f"{record.validation_macro_f1_se or 0:.3f}",
                highlight=False,
            )

    def _write_leaderboard(self) -> pd.DataFrame:
        table = leaderboard(self.records.values())
        write_text(self.folder / "leaderboard.csv", csv_text(table))
        return table

    def _teacher(self) -> Path | None:
        """Return the table of what the networks so far would teach, None where none beats the most frequent class."""
        floor = max((r.validation["macro_f1"] for r in self.records.values() if r.status == "baseline"), default=0.0)
        folders = [
            self.candidates / record.name for record in self.records.values()
            if record.scored and record.name != ENSEMBLE and record.validation["macro_f1"] > floor
        ]  # fmt: skip
        folders = [folder for folder in folders if is_network(folder)]
        if not folders:
            return None
        path = (self.folder / TEACHER).absolute()
        try:
            weights = write_teacher(self.data, folders, path)
        except Exception as error:  # what cannot be asked cannot teach; the others go on
            self.console.print(f"[yellow]teacher: failed: {escape(str(error))}", highlight=False, soft_wrap=True)
            return None
        told = ", ".join(f"{weight:.2f} {name}" for name, weight in weights.items())
        self.console.print(f"teacher: {told}", highlight=False)
        return path

    def _eligible(self) -> list[Record]:
        return [record for record in self.records.values() if record.scored and record.status in ("done", "winner")]

    def _join(self) -> None:
        """Add the ensemble of what may be chosen, if it is one of several."""
        known = load_record(self.candidates, ENSEMBLE)
        members = sorted((record for record in self._eligible() if record.name != ENSEMBLE), key=lambda r: r.name)
        if len(members) < 2:
            return
        if known is not None and known.scored and known.settings.get("members") == [m.name for m in members]:
            self._note(known)
            return
        started = time.monotonic()
        try:
            found, weights = join(self.data, members, self.candidates, self.limits)
        except Exception as error:
            log = self.candidates / f"{ENSEMBLE}.log"
            write_text(log, traceback.format_exc())
            kind = "" if isinstance(error, BioAutoMLError) else f"{type(error).__name__}: "
            self._note(Record(ENSEMBLE, "", "failed", f"{kind}{error} (see {log})").save(self.candidates))
            return
        if found is None:
            return
        for name, weight in weights.items():
            self.records[name] = dataclasses.replace(self.records[name], weight=round(weight, 4))
        told = ", ".join(f"{weight:.2f} {name}" for name, weight in weights.items() if weight)
        broken = self.limits.broken(found["parameters"], found["flops"], found["latency_ms"])
        status: Any = "over the limits" if broken else "done"
        record = Record(
            ENSEMBLE, "", status, "; ".join([told, *broken]), seconds=round(time.monotonic() - started, 1),
            settings={"members": [member.name for member in members], "weights": weights}, **found,
        )  # fmt: skip
        self._note(record.save(self.candidates))

    def finish(self) -> Finished:
        """Choose, and leave export, leaderboard and report.

        Raises:
            BioAutoMLError: if no candidate was finished, or none meets the limits.
        """
        from .report import write_report

        eligible = self._eligible()
        if not eligible:
            raise BioAutoMLError(self._none_left())
        target, groups = validation_target(self.data), validation_groups(self.data)
        scored = [self._scored(record, target, groups) for record in eligible]
        choice = choose(scored, doubt_unit(self.data))
        winner = dataclasses.replace(self.records[choice.winner], status="winner")
        self.records[choice.winner] = winner
        table = self._write_leaderboard()
        with replacing_folder(self.folder / "export") as temporary:
            shutil.copytree(self.candidates / choice.winner / "export", temporary, dirs_exist_ok=True)
        write_json(self.folder / "choice.json", dataclasses.asdict(choice))
        finished = Finished(self.folder, choice, table, self.minutes, self.data.rank)
        write_report(finished, self.data, list(self.records.values()), self.limits, self.guesses)
        return finished

    def _scored(self, record: Record, target: np.ndarray, groups: np.ndarray | None) -> Scored:
        if record.name == ENSEMBLE:
            logits = np.log(np.maximum(read_array(self.candidates / ENSEMBLE / CROSS_FITTED), MIN_PROBABILITY))
        else:
            logits = candidate_logits(self.candidates / record.name)[0]
        return Scored(
            record.name, record.validation["macro_f1"], resampled_macro_f1(target, logits.argmax(1), groups),
            record.parameters or 0, record.flops or 0, record.latency_ms or 0.0,
            negative_log_likelihood(logits, target, fit_temperature(logits, target)),
        )  # fmt: skip

    def _none_left(self) -> str:
        over = [record for record in self.records.values() if record.status == "over the limits"]
        if over:
            smallest = min(over, key=lambda record: (record.parameters or 0, record.latency_ms or 0.0))
            return (
                f"{self.folder}: no candidate meets the limits ({self.limits}); the smallest, {smallest.name}, has "
                f"{smallest.note}. Choose a larger --target or raise the limit; leaderboard.csv has all of them."
            )
        notes = "; ".join(f"{record.name}: {record.note}" for record in self.records.values() if record.note)
        return f"{self.folder}: no candidate was finished ({notes}); the same command tries those that failed again."


def sensible_minutes(seconds: float) -> float:
    """Return minutes that suffice for all candidates, with some to spare."""
    return float(min(LONGEST_MINUTES, max(1, -(-SPARE * seconds // 60))))
