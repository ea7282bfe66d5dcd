"""Candidates one after the other, and those that are halved together: each tried, scored and kept; then joined."""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import torch
from rich.console import Console
from rich.markup import escape

from ..config import Experiment
from ..data.own_csv import csv_text
from ..nni_jobs.template import Workers
from ..runs.prepared import PreparedData
from ..utils.atomic import write_text
from ..utils.errors import BioAutoMLError
from ..utils.progress import duration
from ._base import Candidate, Work
from .attempt import LAST, attempt, begin, cut_short
from .elsewhere import Lanes, Task, try_elsewhere
from .halving import FILE, START, Halving, halving_seconds, whole_slot
from .joining import ENSEMBLE, join
from .limits import Limits
from .plan import Clock, Step, may_be_sent, plan_settings, slot_of
from .records import CANDIDATES, Record, leaderboard, load_record
from .teaching import TEACHER, is_network, write_teacher

GRACE = 1.2
"""Times the seconds that are left, after which a candidate is ended."""
T = TypeVar("T")


class Trying:
    """What is tried within the minutes, and what came of it."""

    def __init__(
        self, experiment: Experiment, folder: Path, console: Console, limits: Limits, latency: float | None,
        guesses: list[str], workers: Workers | None = None,
    ) -> None:  # fmt: skip
        self.experiment = experiment
        self.folder = folder
        self.candidates = folder / CANDIDATES
        self.console = console
        self.limits = limits
        self.latency = latency
        self.guesses = guesses
        self.workers = workers
        self.started = time.monotonic()
        self.spent_before = 0.0
        self.minutes = 0.0
        self.records: dict[str, Record] = {}
        self.data: PreparedData
        self.work: Work
        self.clock: Clock
        self.steps: list[Step] = []
        self.halved: dict[str, list[str]] = {}

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return 60 * self.minutes - self.spent_before - (time.monotonic() - self.started)

    def estimate(self, candidate: Candidate) -> tuple[float, float]:
        """Return seconds of a candidate's learning at full length, and beside it, as far as is known by now."""
        return self.clock.estimate(candidate, self.work)

    def try_all(self) -> None:
        """Try every candidate that is not done, in the plan's order; those that are halved when the first is met."""
        kinds = {name: kind for kind, names in self.halved.items() for name in names}
        told: set[str] = set()
        sent = self.sent_steps()
        for step in self.steps:
            if step.name in kinds and step.name not in told:
                told |= self._halve(kinds[step.name])
            elif self.workers is not None and step in sent and step.name not in told:
                told |= self._spread(sent, self.workers)
            if step.name not in told:
                self._note(self.records.get(step.name) or self._one(step))
        self._join()

    def sent_steps(self) -> list[Step]:
        """Return the candidates that are tried elsewhere: the runs among them, but those that wait for a teacher."""
        if self.workers is None:
            return []
        begun = {name for names in self.halved.values() for name in names}  # by an earlier call, which halved here
        return [step for step in self.steps if step.name not in {*self.records, *begun} and may_be_sent(step)]

    def _spread(self, steps: Sequence[Step], workers: Workers) -> set[str]:
        """Have candidates tried elsewhere, side by side, as far as there is time, and return the names of all."""
        lanes, slower = Lanes.of(workers.concurrency), workers.beside
        planned: dict[str, tuple[Candidate, Record]] = {}
        tasks: dict[str, Task] = {}
        for step in steps:
            assert step.candidate is not None  # it may be sent
            left = self.left - lanes.start
            learning, overhead = self.estimate(step.candidate)
            slot = slot_of(step, slower * learning, slower * overhead, left)
            record = Record(step.name, step.candidate.row, "left out", slot.note, round(slot.estimate, 1))
            if slot.share is None:
                self._note(record)
                continue
            values = self._guarded(record, partial(plan_settings, step.candidate, self.work, slot, step.teaches))
            if isinstance(values, Record):
                self._note(values)
                continue
            planned[step.name] = step.candidate, dataclasses.replace(record, status="planned", settings=values)
            tasks[step.name] = Task(record.row, values, max(60.0, GRACE * left))
            lanes.take(slot.estimate)
        ended = try_elsewhere(workers, self.experiment, tasks, self.folder, self.console) if tasks else {}
        for name, tried in ended.items():
            candidate, record = planned[name]
            if tried.status == "done":
                self._note(self._arrived(candidate, record, tried.seconds))
            else:
                self._note(self._stopped(record, tried.status, tried.note, tried.seconds))
        return {step.name for step in steps}

    def _arrived(self, candidate: Candidate, record: Record, seconds: float) -> Record:
        """Measure what was tried elsewhere and lies here as if it had been tried here."""
        folder, threads = self.candidates / record.name, torch.get_num_threads()
        action = partial(attempt, candidate.row, record.settings, self.data, folder, threads, 60.0)
        found = self._guarded(record, action)
        return found if isinstance(found, Record) else self._judged(candidate, record, found, seconds)

    def _one(self, step: Step) -> Record:
        """Try one candidate as far as there is time for it."""
        candidate, row = step.candidate, step.candidate.row if step.candidate else ""
        if candidate is None or step.seconds is None:
            return Record(step.name, row, "left out", step.reason).save(self.candidates)
        learning, overhead = self.estimate(candidate)
        slot = slot_of(step, learning, overhead, self.left)
        if slot.share is None:
            return Record(step.name, row, "left out", slot.note, slot.estimate)
        work = self.work
        if "teacher" in candidate.needs:
            work = dataclasses.replace(work, teacher=self._teacher())
            if work.teacher is None:
                reason = "needs a teacher, and no network beats the most frequent class, or can be asked"
                return Record(step.name, row, "left out", reason).save(self.candidates)
        record = Record(step.name, row, "planned", slot.note, round(slot.estimate, 1))
        reference = candidate.seconds(work) * slot.share
        return self._try(
            candidate, record, reference, overhead, partial(plan_settings, candidate, work, slot, step.teaches)
        )

    def _try(
        self, candidate: Candidate, record: Record, reference: float, overhead: float,
        settings: Callable[[], Mapping[str, Any]], before: float = 0.0,
    ) -> Record:  # fmt: skip
        """Try one candidate; whatever happens to it, the others go on.

        Args:
            record: with its estimate.
            reference: seconds of its learning on the reference machine.
            settings: returns the dotted keys that it changes.
            before: seconds that it took already.
        """
        left, started = self.left, time.monotonic()
        self.console.print(
            f"[bold]{record.name}[/]: about {duration(record.estimate or 0)} of {duration(max(0, left))}"
        )

        values = self._guarded(record, settings)
        if isinstance(values, Record):
            return values
        record = dataclasses.replace(record, settings=values)
        folder, threads = self.candidates / record.name, torch.get_num_threads()
        most = max(60.0, GRACE * left)
        found = self._guarded(record, lambda: attempt(candidate.row, values, self.data, folder, threads, most))
        if isinstance(found, Record):
            return found
        seconds = time.monotonic() - started
        self.clock.learn(reference, seconds - overhead)
        return self._judged(candidate, record, found, before + seconds)

    def _judged(self, candidate: Candidate, record: Record, found: Mapping[str, Any], seconds: float) -> Record:
        """Keep what was measured of a candidate, and whether it may be chosen."""
        broken = self.limits.broken(found["parameters"], found["flops"], found["latency_ms"])
        status: Any = "baseline" if candidate.baseline else "over the limits" if broken else "done"
        cut = cut_short(self.candidates / record.name)
        note = "; ".join(part for part in (record.note, *cut, *broken) if part)
        took = round(seconds, 1)
        return dataclasses.replace(record, **found, status=status, note=note, seconds=took).save(self.candidates)

    def _guarded(self, record: Record, action: Callable[[], T]) -> T | Record:
        """Return what an action returns, or the record of how it failed."""
        started = time.monotonic()

        def took() -> float:
            return round(time.monotonic() - started, 1)

        try:
            with self.console.status(f"{record.name}: log in {self.candidates / record.name}.log"):
                return action()
        except TimeoutError as error:
            return self._stopped(record, "out of time", str(error), took())
        except BioAutoMLError as error:
            return self._stopped(record, "failed", str(error), took())
        except Exception as error:  # a candidate is a plug-in; the others go on
            log = self.candidates / f"{record.name}.log"
            write_text(log, traceback.format_exc())
            return self._stopped(record, "failed", f"{type(error).__name__}: {error} (see {log})", took())

    def _stopped(self, record: Record, status: Any, note: str, seconds: float) -> Record:
        note = " ".join(note.split())
        self.console.print(f"[yellow]{record.name}: {status}: {escape(note)}", highlight=False, soft_wrap=True)
        return dataclasses.replace(record, status=status, note=note, seconds=seconds).save(self.candidates)

    def _halve(self, kind: str) -> set[str]:
        """Try the candidates of a kind by successive halving, and return the names of those that came to an end."""
        own = {step.name: step.candidate for step in self.steps if step.name in self.halved[kind] and step.candidate}
        state = Halving.load(self.folder / FILE).get(kind)
        if state is None:
            total = halving_seconds(list(own.values()), self.estimate)
            if total > self.left:  # what came before took longer than was estimated
                return set()
            slots = {name: whole_slot(each, self.estimate(each)[0], total, self.left) for name, each in own.items()}
            settings = {name: plan_settings(each, self.work, slots[name]) for name, each in own.items()}
            state = Halving.start(self.folder / FILE, kind, settings)
        ended: set[str] = set()
        for number in range(len(state.rungs)):
            if "kept" not in state.rungs[number]:
                ended |= self._rung(state, number, own)
        for place, name in enumerate(state.winners):
            if name not in self.records and name in own:
                self._note(self._to_the_end(state, name, own[name], first=place == 0))
                ended.add(name)
        return ended

    def _rung(self, state: Halving, number: int, own: Mapping[str, Candidate]) -> set[str]:
        """Train those that are in a rung to its end, and return the names of those that stop there."""
        ended: set[str] = set()
        share = state.rungs[number]["share"]
        until = state.rungs[number - 1]["share"] if number else None
        for name in state.begun(number):
            if name in state.rungs[number]["scores"] or name not in own:
                continue
            candidate, started, left = own[name], time.monotonic(), self.left
            learning, overhead = self.estimate(candidate)
            part = candidate.begun(share) - (candidate.begun(until) if until else 0.0)
            estimate = part * learning + START * overhead
            self.console.print(f"[bold]{name}[/]: about {duration(estimate)} for {share:.0%} of its final training")
            record = Record(name, candidate.row, "planned", "", round(estimate, 1), settings=state.settings[name])
            found = self._guarded(record, partial(self._begin, candidate, record, share, max(60.0, GRACE * left)))
            if isinstance(found, Record):
                self._note(found)
                ended.add(name)
                continue
            seconds = time.monotonic() - started
            self.clock.learn(candidate.seconds(self.work) * part, seconds - START * overhead)
            state.note(number, name, *found, seconds)
            self.console.print(f"{name}: validation macro-F1 {found[1]:.3f} after {found[0]} epochs", highlight=False)
        for name in state.conclude(number):
            rest = "worse than the others of its kind; they went on"
            self._note(self._stop_early(state, name, own[name].row, rest))
            ended.add(name)
        return ended

    def _begin(self, candidate: Candidate, record: Record, share: float, seconds: float) -> tuple[int, float]:
        folder = self.candidates / record.name
        return begin(candidate.row, record.settings, self.data, folder, torch.get_num_threads(), seconds, share)

    def _to_the_end(self, state: Halving, name: str, candidate: Candidate, first: bool) -> Record:
        """Train one of the better ones to the end; the best of them whatever time is left."""
        learning, overhead = self.estimate(candidate)
        rest = 1 - candidate.begun(state.rungs[-1]["share"])
        estimate = rest * learning + overhead
        if not first and estimate > self.left:
            reason = f"the rest takes {duration(estimate)}, and {duration(max(0.0, self.left))} of the time were left"
            return self._stop_early(state, name, candidate.row, reason)
        epochs, score = state.score(name)
        note = f"one of the better of {len(state.candidates)} of its kind, macro-F1 {score:.3f} after {epochs} epochs"
        record = Record(name, candidate.row, "planned", note, round(estimate, 1))
        reference, before = candidate.seconds(self.work) * rest, state.seconds(name)
        return self._try(candidate, record, reference, overhead, lambda: state.settings[name], before)

    def _stop_early(self, state: Halving, name: str, row: str, reason: str) -> Record:
        epochs, score = state.score(name)
        note = (
            f"stopped after {epochs} epochs of its final training with a mean validation macro-F1 of {score:.3f} over "
            f"its last epochs, {LAST} at most: {reason}"
        )
        return Record(
            name, row, "stopped early", note, seconds=round(state.seconds(name), 1), validation={"macro_f1": score},
            settings=state.settings[name],
        ).save(self.candidates)  # fmt: skip

    def _note(self, record: Record) -> None:
        self.records[record.name] = record
        self._write_leaderboard()
        if record.status == "stopped early":
            self.console.print(f"{record.name}: {escape(record.note)}", highlight=False, soft_wrap=True)
        elif record.scored:
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
            if record.finished and record.name != ENSEMBLE and record.validation["macro_f1"] > floor
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
        return [record for record in self.records.values() if record.status in ("done", "winner")]

    def _join(self) -> None:
        """Add the ensemble of what may be chosen, if it is one of several."""
        known = load_record(self.candidates, ENSEMBLE)
        members = sorted((record for record in self._eligible() if record.name != ENSEMBLE), key=lambda r: r.name)
        if len(members) < 2:
            return
        if known is not None and known.scored and known.settings.get("members") == [m.name for m in members]:
            self._weigh(known.settings["weights"])
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
        self._weigh(weights)
        told = ", ".join(f"{weight:.2f} {name}" for name, weight in weights.items() if weight)
        broken = self.limits.broken(found["parameters"], found["flops"], found["latency_ms"])
        status: Any = "over the limits" if broken else "done"
        record = Record(
            ENSEMBLE, "", status, "; ".join([told, *broken]), seconds=round(time.monotonic() - started, 1),
            settings={"members": [member.name for member in members], "weights": weights}, **found,
        )  # fmt: skip
        self._note(record.save(self.candidates))

    def _weigh(self, weights: Mapping[str, float]) -> None:
        """Show what candidates weigh in the ensemble."""
        for name, weight in weights.items():
            self.records[name] = dataclasses.replace(self.records[name], weight=round(weight, 4))
