"""The suite of candidates of `bioautoml auto`."""

from __future__ import annotations

import math
from typing import Any

from ..auto._base import Candidate, Work
from ..compare.rows import find_method
from ..data import splits
from ..registry import KINDS
from ._base import name_of, require_class, suite, tried
from .methods import check_experiment_takes, small_experiment

NEEDS = ("image", "metadata", "teacher", "outgrown")


@suite
def check_candidate(candidate: type) -> None:
    """Check a candidate: a row that exists, times that grow with the work, settings that an experiment takes."""
    name = name_of(candidate)
    require_class(name, candidate, "Candidate()")
    made: Any = tried(f"{name}: must be built as Candidate()", candidate)
    assert isinstance(made, Candidate), f"{name}: must be a Candidate of bioautoml_nni.auto._base"
    row = getattr(made, "row", None)
    assert isinstance(row, str), f"{name}: row must name a method, such as 'as_configured'"
    tried(f"{name}: row {row!r} must be a registered method", find_method, row)
    _check_declarations(name, made)
    few, many = _work(100), _work(100_000)
    short, long = _seconds(name, made, few), _seconds(name, made, many)
    assert short <= long, f"{name}: seconds(work) falls from {short:g} to {long:g} as specimens grow a thousandfold"
    _check_cost(name, made, few)
    for share in sorted({made.least, 1.0}):
        what = f"settings(work, {share:g})"
        check_experiment_takes(name, what, tried(f"{name}: must have {what}", made.settings, few, share))


def _check_declarations(name: str, made: Candidate) -> None:
    for attribute in ("needs", "requires"):
        value = getattr(made, attribute)
        texts = isinstance(value, tuple | list) and all(isinstance(each, str) for each in value)
        assert texts, f"{name}: {attribute} is {value!r}; write a tuple of texts, such as ('image',)"
    unknown = [need for need in made.needs if need not in NEEDS]
    assert not unknown, f"{name}: needs names {unknown[0]!r}; known are {', '.join(NEEDS)}"
    for required in made.requires:
        kind, colon, plugin = required.partition(":")
        assert colon and plugin and kind in KINDS, f"{name}: requires names {required!r}; write kind:name"
    for attribute in ("least", "training_share"):
        value = getattr(made, attribute)
        assert _is_number(value) and 0 < value <= 1, (
            f"{name}: {attribute} is {value!r}; it is a share above 0, and 1 at most"
        )
    rest = 1 - made.training_share
    assert _is_number(made.refit_share) and 0 <= made.refit_share <= rest, (
        f"{name}: refit_share is {made.refit_share!r}; training_share leaves {rest:g} at most"
    )
    assert isinstance(made.kind, str), f"{name}: kind is {made.kind!r}; write a text, empty for one that stands alone"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _work(specimens: int) -> Work:
    sizes = dict.fromkeys((splits.WEIGHTS, splits.ALPHA, splits.VALIDATION, splits.TEST), specimens // 4)
    return Work(small_experiment(), {**dict.fromkeys(splits.PARTS, 0), **sizes}, 10, 3, 16)


def _seconds(name: str, made: Candidate, work: Work) -> float:
    value = tried(f"{name}: must have seconds(work)", made.seconds, work)
    is_number = isinstance(value, (int, float)) and math.isfinite(value) and value >= 0
    assert is_number, f"{name}: seconds(work) gives {value!r}, not a number of seconds"
    return float(value)


def _check_cost(name: str, made: Candidate, work: Work) -> None:
    cost = tried(f"{name}: must have cost(work)", made.cost, work)
    if cost is None:
        return
    is_pair = isinstance(cost, tuple) and len(cost) == 2 and all(isinstance(each, (int, float)) for each in cost)
    assert is_pair and min(cost) >= 0, f"{name}: cost(work) gives {cost!r}, not (parameters, FLOPs) or None"
