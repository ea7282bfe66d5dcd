"""The portfolio: candidates one by one within the minutes, each kept when it is done; then choice, export, report."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..compare.rows import prepared
from ..config import Experiment
from ..evaluation.calibration import fit_temperature, negative_log_likelihood
from ..nni_jobs.template import Workers
from ..runs.directory import RunDirectory
from ..runs.lock import locked
from ..runs.prepared import PreparedData
from ..runtime.export_files import read_info
from ..stages.prepare import prepare
from ..utils.atomic import remove_leftovers, replacing_folder, write_json, write_text
from ..utils.errors import BioAutoMLError, RunDirectoryError
from ..utils.own_files import read_array, read_json
from ..utils.progress import duration
from .attempt import candidate_logits, doubt_unit, validation_groups, validation_target
from .choice import Choice, Scored, choose, resampled_macro_f1
from .elsewhere import Lanes
from .ensemble import MIN_PROBABILITY
from .halving import FILE, Halving, finalists, halved_kinds
from .joining import CROSS_FITTED, ENSEMBLE
from .limits import Limits
from .plan import Clock, Step, fit_into, make_plan, sensible_minutes, slowness, work_of
from .records import CANDIDATES, DATA, Record, load_record
from .trying import Trying

MARKER = "auto.json"
INPUT = "input"
"""Folder of a data frame that was fitted on."""


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
    workers: Workers | None = None,
) -> Finished:
    """Try all candidates that fit, choose one, and leave its export, a leaderboard and a report; resumes what stopped.

    Args:
        experiment: what all candidates share; its section `derivation` holds the limits of the device.
        folder: of everything.
        minutes: for all candidates together, None for what the estimates call sensible.
        max_latency_ms: of one specimen in onnxruntime on one thread of this machine.
        text: the experiment as a file with comments, by default as plain YAML.
        guesses: what was guessed, in sentences, for the report.
        workers: try those candidates as trials of NNI that wait for no other; by default all are tried here, one after
            the other.

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
        portfolio = _Portfolio(experiment, folder, console, limits, max_latency_ms, list(guesses), workers)
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


class _Portfolio(Trying):
    """The state of a call."""

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
        begun = Halving.load(self.folder / FILE)
        self.spent_before += sum(
            state.seconds(name) for state in begun.values() for name in state.candidates if name not in self.records
        )
        self.halved = {kind: state.candidates for kind, state in begun.items()}
        whole = self._whole_seconds()
        given = minutes is not None
        self.minutes = minutes if minutes is not None else sensible_minutes(whole)
        pending = [step for step in self.steps if step.name not in self.records and not self._halved_kind(step)]
        decided = halved_kinds(pending, self.estimate, self.left) if self.workers is None else {}
        self.halved |= {kind: names for kind, names in decided.items() if kind not in begun}
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

    def _whole_seconds(self) -> float:
        """Return what all candidates take at full length; those that are tried elsewhere stand side by side."""
        sent = self.sent_steps()
        lanes = Lanes.of(self.workers.concurrency if self.workers else 1)
        for step in sent:
            lanes.take((self.workers.beside if self.workers else 1) * (step.seconds or 0.0))
        return sum(step.seconds or 0.0 for step in self.steps if step not in sent) + lanes.end

    def _halved_kind(self, step: Step) -> str | None:
        return next((kind for kind, names in self.halved.items() if step.name in names), None)

    def _could_win(self, step: Step) -> bool:
        if step.candidate is None or step.candidate.baseline or step.seconds is None or step.teaches:
            return False
        slot = fit_into(step.candidate, *self.clock.estimate(step.candidate, self.work), self.left)
        return (
            step.name in self.records
            or self._halved_kind(step) is not None
            or ("teacher" not in step.candidate.needs and slot.share is not None)
        )

    def _tell_plan(self, given: bool) -> None:
        table = Table(title=f"{self.experiment.name}: plan for {self.minutes:g} minutes", title_justify="left")
        table.add_column("candidate", no_wrap=True)
        table.add_column("about", justify="right")
        table.add_column("", overflow="fold")
        sent = self.sent_steps()
        for step in self.steps:
            if step.name in self.records:
                note = "done before"
            elif step.candidate is None or step.seconds is None:
                note = f"left out: {step.reason}"
            elif kind := self._halved_kind(step):
                count = len(self.halved[kind])
                note = f"{kind}: all {count} begin, the better {finalists(count)} on validation are trained to the end"
            else:
                note = "for comparison, never chosen" if step.candidate.baseline else step.reason
                note = "; ".join(filter(None, [note, "a trial of NNI" if step in sent else ""]))
            table.add_row(step.name, "" if step.seconds is None else duration(step.seconds), escape(note))
        self.console.print(table)
        if not given:
            self.console.print(f"{self.minutes:g} minutes suffice for all of them (change it with --minutes).")
        self.console.print(f"Device: {self.limits}.", highlight=False)

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
            images="image" in read_info(self.candidates / record.name / "export").modalities,
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
