"""Successive halving among candidates that train the same way: which of them, what it takes, and what was seen.

Jamieson and Talwalkar, Non-stochastic Best Arm Identification and Hyperparameter Optimization, arXiv 1502.07943. All of
a kind begin their training; the better half by validation macro-F1 goes on from its own checkpoints. Where all of them
fit into the time, none is stopped: an ensemble gains by each that is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..compare._base import RunMethod
from ..compare.rows import find_method
from ..utils.atomic import write_json
from ..utils.own_files import read_json
from ._base import Candidate
from .plan import Slot, Step, slot_of

FILE = "halving.json"
FEWEST = 3
"""Candidates of a kind among which halving is worth while."""
KEPT = 2
"""Fewest that are trained to the end."""
RUNGS = (0.25, 0.5)
"""Shares of the final training after each of which the worse half stops."""
START = 0.5
"""Of a run's overhead, what the start of its process and the reading of its data take."""

Estimate = Callable[[Candidate], tuple[float, float]]
"""Seconds of a candidate's learning at full length, and beside it."""


def kept(count: int) -> int:
    """Return how many of so many go on after a rung."""
    return max(KEPT, (count + 1) // 2)


def finalists(count: int) -> int:
    """Return how many of so many are trained to the end."""
    for _ in rungs_of(count):
        count = kept(count)
    return count


def rungs_of(count: int) -> tuple[float, ...]:
    """Return the shares of the final training after which some of so many candidates stop.

    Example:
        >>> rungs_of(2), rungs_of(8)
        ((), (0.25, 0.5))
    """
    found = []
    for share in RUNGS:
        if kept(count) < count:
            found.append(share)
            count = kept(count)
    return tuple(found)


def halving_seconds(candidates: Sequence[Candidate], estimate: Estimate) -> float:
    """Return what halving takes at most, which is where those with the longest rest go on."""
    alive = [(candidate, *estimate(candidate)) for candidate in candidates]
    total, before = 0.0, [0.0] * len(alive)
    for share in rungs_of(len(alive)):
        until = [candidate.begun(share) * learning for candidate, learning, _ in alive]
        total += sum(until) - sum(before) + START * sum(overhead for *_, overhead in alive)
        rests = [learning - done for (_, learning, _), done in zip(alive, until, strict=True)]
        longest = sorted(range(len(alive)), key=lambda index: -rests[index])[: kept(len(alive))]
        alive, before = [alive[index] for index in longest], [until[index] for index in longest]
    return total + sum(learning + overhead for _, learning, overhead in alive) - sum(before)


def halved_kinds(steps: Sequence[Step], estimate: Estimate, left: float) -> dict[str, list[str]]:
    """Return the kinds that are halved, with the names of their candidates in the plan's order.

    They are those of which one candidate at least would be left out if one were trained after the other, and that fit
    into the time as halved without taking any from other candidates that are tried before the last of them.

    Args:
        steps: of the plan that are not done.
        left: seconds.
    """
    pending = [step for step in steps if step.candidate is not None and step.seconds is not None]
    kinds: dict[str, list[Step]] = {}
    for step in filter(_can_pause, pending):
        kinds.setdefault(_candidate(step).kind, []).append(step)
    found: dict[str, list[str]] = {}
    for kind, own in kinds.items():
        names = [step.name for step in own]
        if len(own) < FEWEST or not _one_by_one(pending, found, estimate, left)[1] & set(names):
            continue
        others = [step for step in pending[: pending.index(own[-1])] if step.name not in names]
        taken, _ = _one_by_one(others, found, estimate, left)
        if taken + halving_seconds([_candidate(step) for step in own], estimate) <= left:
            found[kind] = names
    return found


def _candidate(step: Step) -> Candidate:
    assert step.candidate is not None  # callers look at pending ones
    return step.candidate


def _can_pause(step: Step) -> bool:
    candidate = _candidate(step)
    is_trained = bool(candidate.kind) and isinstance(find_method(candidate.row), RunMethod)
    return is_trained and not step.teaches and "teacher" not in candidate.needs


def _one_by_one(
    steps: Sequence[Step], halved: Mapping[str, Sequence[str]], estimate: Estimate, left: float
) -> tuple[float, set[str]]:
    """Return what candidates take one after the other, and the names of those that would be left out."""
    remaining, out, done = left, set[str](), set[str]()
    for step in steps:
        kind = _candidate(step).kind
        if step.name in halved.get(kind, ()):
            if kind not in done:
                own = [_candidate(other) for other in steps if other.name in halved[kind]]
                remaining -= halving_seconds(own, estimate)
            done.add(kind)
            continue
        slot = slot_of(step, *estimate(_candidate(step)), remaining)
        if slot.share is None:
            out.add(step.name)
        else:
            remaining -= slot.estimate
    return left - remaining, out


def whole_slot(candidate: Candidate, learning: float, total: float, left: float) -> Slot:
    """Return the slot of a candidate that is halved: its full length, with a limit to its training if time is short.

    Args:
        learning: seconds of this candidate's learning.
        total: seconds of the halving.
    """
    tight = total > left / 2
    limit = round(max(0.05, learning * candidate.training_share * left / total / 60), 2) if tight else None
    return Slot(1.0, learning, "", limit)


@dataclass
class Halving:
    """The halving of one kind: what it has seen so far, kept in a file with that of other kinds.

    Attributes:
        candidates: names of all that began.
        settings: dotted keys of each.
        rungs: of each its ``share``, and by name ``epochs``, ``scores`` and ``seconds``; ``kept`` once it is over.
    """

    file: Path
    kind: str
    candidates: list[str]
    settings: dict[str, dict[str, Any]]
    rungs: list[dict[str, Any]]

    @classmethod
    def load(cls, file: Path) -> dict[str, Halving]:
        """Return those that were begun, by kind."""
        known = read_json(file) if file.is_file() else {}
        return {kind: cls(file, kind, **fields) for kind, fields in known.items()}

    @classmethod
    def start(cls, file: Path, kind: str, settings: Mapping[str, Mapping[str, Any]]) -> Halving:
        """Return a new one."""
        names = list(settings)
        rungs = [{"share": share, "epochs": {}, "scores": {}, "seconds": {}} for share in rungs_of(len(names))]
        made = cls(file, kind, names, {name: dict(values) for name, values in settings.items()}, rungs)
        made.save()
        return made

    def save(self) -> None:
        """Keep it."""
        fields = {"candidates": self.candidates, "settings": self.settings, "rungs": self.rungs}
        known = read_json(self.file) if self.file.is_file() else {}
        write_json(self.file, {**known, self.kind: fields})

    def note(self, number: int, name: str, epochs: int, score: float, seconds: float) -> None:
        """Keep what a candidate reached in a rung."""
        rung = self.rungs[number]
        rung["epochs"][name], rung["scores"][name], rung["seconds"][name] = epochs, score, round(seconds, 1)
        self.save()

    def begun(self, number: int) -> list[str]:
        """Return the names of those that are in a rung."""
        return list(self.rungs[number - 1]["kept"]) if number else list(self.candidates)

    def conclude(self, number: int) -> list[str]:
        """Return the names of those that stop after a rung; of equals the earlier goes on."""
        rung, names = self.rungs[number], self.begun(number)
        scores = {name: rung["scores"][name] for name in names if name in rung["scores"]}
        rung["kept"] = sorted(scores, key=lambda name: -scores[name])[: kept(len(names))]
        self.save()
        return [name for name in scores if name not in rung["kept"]]

    @property
    def winners(self) -> list[str]:
        """Names of those that are trained to the end, the best of the last rung first."""
        return list(self.rungs[-1]["kept"])

    def score(self, name: str) -> tuple[int, float]:
        """Return the epochs of a candidate's last rung, and the score there."""
        rung = [rung for rung in self.rungs if name in rung["scores"]][-1]
        return rung["epochs"][name], rung["scores"][name]

    def seconds(self, name: str) -> float:
        """Return what a candidate's rungs took."""
        return float(sum(rung["seconds"].get(name, 0.0) for rung in self.rungs))

    def sentences(self) -> list[str]:
        """Return what happened, a sentence for each rung that is over."""
        told = []
        for rung in self.rungs:
            if "kept" not in rung:
                break
            scores = sorted(rung["scores"].items(), key=lambda entry: (entry[0] not in rung["kept"], -entry[1]))
            listed = ", ".join(f"{name} {score:.3f}" for name, score in scores)
            goes_on = ", ".join(rung["kept"]) or "none"
            told.append(
                f"{self.kind}: after a share of {rung['share']:.0%} of the final training, mean macro-F1 on validation "
                f"was {listed}; {goes_on} went on."
            )
        return told
