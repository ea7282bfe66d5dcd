"""Which candidates come into question, in which order, and how long each will take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compare._base import PredictingMethod
from ..compare.rows import find_method
from ..registry import get, plugins
from ..runs.prepared import PreparedData
from ..utils.errors import BioAutoMLError
from ..utils.progress import duration
from ._base import Candidate, Work
from .limits import Limits

RUN_OVERHEAD, FIT_OVERHEAD = 25.0, 1.5
"""Seconds beside the learning: of a run, which has a process, an evaluation and an export; of another candidate."""
REFERENCE_PASS = 0.020
"""Seconds of the pass that `slowness` times, on the machine on which the candidates' constants were measured."""
MIN_FACTOR = 0.75
"""Of the benchmark's, below which measured times do not bring it: features that were stored before teach nothing."""
TEACHING_SHARE = 0.25
"""Most that a candidate which may only teach takes of the time."""
LONGEST_MINUTES = 8 * 60
"""Most that is taken where nobody says how long it may take."""
SPARE = 1.25
"""What the sum of all estimates is multiplied by there."""
LEARNT_FROM = 5.0
"""Seconds that a candidate's learning must take at least, so that the others' times are corrected by it."""


@dataclass
class Step:
    """A candidate in the plan.

    Attributes:
        seconds: that it takes at full length, None where it is left out.
        reason: why it is left out, or tried as a teacher alone.
        teaches: whether it is too large for the device, but may teach a smaller one.
    """

    name: str
    candidate: Candidate | None
    seconds: float | None = None
    reason: str = ""
    teaches: bool = False


class Clock:
    """How the times of candidates are corrected by those that were measured.

    Args:
        slowness: how many times longer this machine takes than the reference.
    """

    def __init__(self, slowness: float) -> None:
        self.slowness = slowness
        self._expected = self._taken = 0.0

    def estimate(self, candidate: Candidate, work: Work) -> tuple[float, float]:
        """Return seconds of a candidate's learning at full length, and beside it."""
        overhead = FIT_OVERHEAD if isinstance(find_method(candidate.row), PredictingMethod) else RUN_OVERHEAD
        return candidate.seconds(work) * self.factor, overhead * max(1.0, self.factor)

    @property
    def factor(self) -> float:
        """By what the reference's seconds are multiplied: as measured where something was, with the benchmark else."""
        measured = self._taken / self._expected if self._expected else self.slowness
        return max(measured, MIN_FACTOR * self.slowness)

    def learn(self, reference_seconds: float, taken: float) -> None:
        """Take note of a candidate's learning that should have taken so many seconds on the reference machine."""
        if taken > LEARNT_FROM and reference_seconds > 0:
            self._expected += reference_seconds
            self._taken += taken


def slowness(rounds: int = 5) -> float:
    """Return how many times longer a training pass takes here than on the reference, by a quick benchmark."""
    import torch
    from torch import nn

    network = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3))
    images = torch.zeros(16, 16, 48, 48)
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        network(images).sum().backward()
        seconds.append(time.perf_counter() - start)
    return float(np.clip(min(seconds) / REFERENCE_PASS, 0.05, 10))


def work_of(data: PreparedData) -> Work:
    """Return what candidates are asked to learn from."""
    sizes = data.sizes()
    columns, size = len(data.metadata_columns), data.image_size or 0
    return Work(data.run.experiment, sizes, len(data.classes), columns, size)


def make_plan(work: Work, limits: Limits, clock: Clock) -> list[Step]:
    """Return all candidates by priority, the quickest first, those that need a teacher last; and those left out."""
    steps = [_step(name, work, limits, clock) for name in plugins("candidates")]
    outgrown = any(step.teaches for step in steps)
    for step in steps:
        if step.candidate is not None and "outgrown" in step.candidate.needs and not outgrown:
            step.seconds, step.reason = None, "only for devices without room for other candidates"
    learns = any(_needs(step, "outgrown") for step in steps if step.seconds is not None)
    for step in steps:
        if step.teaches and not learns:
            step.seconds, step.teaches = None, False
        elif step.teaches:
            step.reason = f"only to teach a smaller one: {step.reason}"
    return sorted(steps, key=_order)


def _step(name: str, work: Work, limits: Limits, clock: Clock) -> Step:
    plugin = plugins("candidates")[name]
    try:
        lacking = missing(plugin.attribute("needs", ()), plugin.attribute("requires", ()), work)
        if lacking:
            return Step(name, None, reason=lacking)
        candidate: Candidate = plugin.target()
        method = find_method(candidate.row)
        cost = candidate.cost(work)
        too_much = limits.broken(*cost) if cost else []
        seconds = sum(clock.estimate(candidate, work))
        if too_much:
            reason = f"has {' and '.join(too_much)} on the device"
            return Step(name, candidate, seconds, reason, teaches=not isinstance(method, PredictingMethod))
        return Step(name, candidate, seconds)
    except BioAutoMLError as error:
        return Step(name, None, reason=str(error))


def _needs(step: Step, what: str) -> bool:
    return step.candidate is not None and what in step.candidate.needs


def may_be_sent(step: Step) -> bool:
    """Whether a candidate is a run that waits for no other: a fit takes seconds, and a teacher is made here."""
    if step.candidate is None or step.seconds is None or _needs(step, "teacher"):
        return False
    return not isinstance(find_method(step.candidate.row), PredictingMethod)


def _order(step: Step) -> tuple[bool, bool, int, float]:
    priority = 0 if step.candidate is None else step.candidate.priority
    return step.seconds is None, _needs(step, "teacher"), priority, step.seconds or 0.0


def missing(needs: tuple[str, ...], requires: tuple[str, ...], work: Work) -> str:
    """Return what a candidate lacks, in a phrase, or an empty text."""
    if "image" in needs and "image" not in work.experiment.data.modalities:
        return "needs images"
    if "metadata" in needs and not work.metadata_columns:
        return "needs metadata columns"
    for required in requires:
        kind, _, name = required.partition(":")
        if name not in plugins(kind):
            return f"needs {kind} plug-in {name!r}, which is not installed"
    return ""


@dataclass(frozen=True)
class Slot:
    """What there is time for.

    Attributes:
        share: of the candidate's full length, None if it does not fit.
        estimate: seconds of that.
        note: what does not fit, or what was shortened.
        max_minutes: of the final network's training, None without a limit.
    """

    share: float | None
    estimate: float
    note: str = ""
    max_minutes: float | None = None


def fit_into(candidate: Candidate, learning: float, overhead: float, left: float) -> Slot:
    """Return how much of a candidate fits into the seconds that are left."""
    whole = learning + overhead
    share = 1.0 if whole <= left else max(0.0, (left - overhead) / learning) if learning else 0.0
    if share < min(1.0, candidate.least):
        shortest = overhead + candidate.least * learning
        return Slot(
            None,
            whole,
            f"needs at least {duration(shortest)}, and only {duration(max(0.0, left))} of the time were left",
        )
    note = "" if share == 1 else f"shortened to {share:.0%} of its full length to fit into the time"
    tight = whole > left / 2
    limit = round(max(0.05, (left - overhead) * candidate.training_share / 60), 2) if tight else None
    return Slot(share, min(whole, left), note, limit)


def slot_of(step: Step, learning: float, overhead: float, left: float) -> Slot:
    """Return what there is time for of a planned candidate; one that may only teach must be quick."""
    assert step.candidate is not None  # it is planned
    slot = fit_into(step.candidate, learning, overhead, left)
    if step.teaches and ((slot.share or 0) < 1 or slot.estimate > TEACHING_SHARE * left):
        return Slot(None, slot.estimate, "takes too long for one that may only teach")
    return slot


def sensible_minutes(seconds: float) -> float:
    """Return minutes that suffice for all candidates, with some to spare."""
    return float(min(LONGEST_MINUTES, max(1, -(-SPARE * seconds // 60))))


UNLIMITED = dict.fromkeys(("derivation.target", "derivation.max_parameters", "derivation.max_mflops"))
"""Keys without which a network may be as large as it is: one that only teaches, or that others are compared with, does
not go to the device."""


def plan_settings(candidate: Candidate, work: Work, slot: Slot, teaches: bool = False) -> Mapping[str, Any]:
    """Return the dotted keys that a candidate changes in its slot."""
    assert slot.share is not None  # it fits
    values = {**candidate.settings(work, slot.share), **(UNLIMITED if teaches else {})}
    networks = not isinstance(find_method(candidate.row), PredictingMethod)
    if networks and slot.max_minutes is not None:
        values.setdefault("retrain.max_minutes", slot.max_minutes)
    return values


def describe(name: str) -> str:
    """Return a candidate's description."""
    return get("candidates", name).description
