"""Baselines beside the network of `bioautoml run`: the probe and boosting on the metadata, on the same split."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from ..artifacts.baselines import BaselineLine, Baselines
from ..compare._base import PredictingMethod
from ..compare.rows import find_method, predicted
from ..config.load import changed
from ..data import splits
from ..registry import get, plugins
from ..report.baselines import FILE, beaten_by
from ..runs.directory import STAGES, RunDirectory
from ..runs.networks import load_model, predict_logits
from ..runs.prepared import PreparedData
from ..runs.probe import learned_parts
from ..stages.run import run_stages
from ..utils.errors import DataError
from ..utils.progress import duration
from ._base import Candidate, Work
from .attempt import adopt_prepared, scores_of
from .ensemble import MIN_PROBABILITY
from .plan import UNLIMITED, Clock, missing, slowness, work_of

CHEAP = ("probe", "metadata_boosting")
"""Candidates that `evaluation.baselines: auto` asks for."""
CHEAP_SECONDS, CHEAP_SHARE = 120.0, 0.25
"""What one of them may take: so many seconds, or such a share of what the run itself took."""
STARTING = 5.0
"""Seconds of a baseline beside its learning; it needs no process of its own."""


def run_with_baselines(run: RunDirectory, console: Console) -> None:
    """Run all stages that are not done, and the baselines before the report."""
    run_stages(run, [name for name in STAGES if name != "report"], console)
    news = add_baselines(run, console)
    run_stages(run, ["report"], console, force="report" if news else None)


def add_baselines(run: RunDirectory, console: Console) -> bool:
    """Write evaluation/baselines.json of an evaluated run; what fails is told in it, and fails nothing else.

    Returns:
        Whether there is anything new.
    """
    wanted = run.experiment.evaluation.baselines
    facts: dict[str, Any] = {
        "prepared": run.key("prepare"),
        "decision": run.experiment.evaluation.decision,
        "wanted": wanted,
    }
    facts["seed"] = run.experiment.seed
    facts["learned_validation"] = splits.VALIDATION in learned_parts(run)
    if _known(run, facts):
        return False
    if not wanted:
        (run / FILE).unlink(missing_ok=True)
        return False
    data = PreparedData.load(run).as_images()
    lines = [line for name in (CHEAP if wanted == "auto" else wanted) if (line := _line(name, data, console))]
    shutil.rmtree(run / "baselines", ignore_errors=True)
    Baselines(**facts, lines=lines).write(run / FILE)
    metrics = run.metrics().record()
    warning = beaten_by(metrics, lines)
    if warning:
        console.print(f"[yellow]warning:[/] {escape(warning)}", highlight=False, soft_wrap=True)
    return bool(lines)


def _known(run: RunDirectory, facts: dict[str, Any]) -> bool:
    """Whether the file holds these baselines, all of them tried with success or left out."""
    if not (run / FILE).is_file():
        return False
    record = Baselines.read(run / FILE)
    return record.made_with(facts) and not any(line.failed for line in record.lines)


def _line(name: str, data: PreparedData, console: Console) -> BaselineLine | None:
    """Return a baseline's line, None where it says nothing beside this network."""
    run, asked = data.run, data.run.experiment.evaluation.baselines != "auto"
    plugin = plugins("candidates").get(name)
    if plugin is None:  # `auto` names what is not installed; names that a user wrote were checked
        return None

    def line(note: str, test: dict[str, float] | None = None, failed: bool = False) -> BaselineLine:
        return BaselineLine(name=name, words=plugin.description, test=test, failed=failed, note=note)

    work = work_of(data)
    reason = missing(plugin.attribute("needs", ()), plugin.attribute("requires", ()), work)
    if not asked and (reason or name == run.experiment.space.name):
        return None
    if reason:
        return line(f"left out: it {reason}")
    try:
        candidate: Candidate = get("candidates", name).target()
        seconds = STARTING + Clock(slowness()).estimate(candidate, work)[0]
        if not asked and seconds > _affordable(run):
            return line(f"left out: it takes about {duration(seconds)}; evaluation.baselines: [{name}] asks for it")
        console.print(f"baseline {name}: about {duration(seconds)}", highlight=False)
        logits = _test_logits(candidate, name, data)
    except Exception as error:  # whatever becomes of a baseline, the run is finished
        note = " ".join(f"{type(error).__name__}: {error}".split())
        console.print(f"[yellow]warning:[/] baseline {name} failed: {escape(note)}", highlight=False, soft_wrap=True)
        return line(f"failed: {note}", failed=True)
    note = _too_large(candidate, work, plugin.description)
    return line(note, scores_of(data.targets_of(splits.TEST), logits))


def _too_large(candidate: Candidate, work: Work, description: str) -> str:
    """Return that a baseline is larger than the network was allowed to be, or an empty text."""
    budget, cost = work.experiment.derivation.budget, candidate.cost(work)
    excess = budget.excess(round(cost[0]), round(cost[1])) if budget and cost else []
    return f"{description} Too large for the device: {'; '.join(excess)}." if excess else ""


def _affordable(run: RunDirectory) -> float:
    taken = sum(stage.seconds for stage in run.provenance().stages.values())
    return max(CHEAP_SECONDS, CHEAP_SHARE * taken)


def _test_logits(candidate: Candidate, name: str, data: PreparedData) -> np.ndarray:
    """Return logits of the test split (N, K) by what learned from the parts that the network learned from.

    Raises:
        DataError: if it was trained on other parts.
    """
    run, method = data.run, find_method(candidate.row)
    seed = run.experiment.seed
    if isinstance(method, PredictingMethod):
        return np.log(np.maximum(predicted(data, method, seed)[0].probabilities, MIN_PROBABILITY))
    settings = {**method.settings(seed), **candidate.settings(work_of(data), 1.0), **UNLIMITED}
    if "probe" in get("search_spaces", settings.get("space", {}).get("name", run.experiment.space.name)).capabilities:
        settings["space.refit"] = splits.VALIDATION in learned_parts(run)  # only where the network has seen them
        settings["retrain.refit"] = False
    own = RunDirectory.create(run / "baselines" / name, changed(run.experiment, settings, f"baseline {name}"))
    adopt_prepared(run, own)
    run_stages(own, ["prepare", "search", "derive", "retrain"], Console(quiet=True))
    theirs = PreparedData.load(own)
    if not theirs.part.equals(data.part) or theirs.classes != data.classes:
        raise DataError("it was trained on another split than the network, so that they cannot be compared")
    logits, _ = predict_logits(theirs, load_model(own, theirs), splits.TEST)
    under_prior = own.experiment.evaluation.decision == "training_prior"
    return (theirs.loss().prior_logits(logits) if under_prior else logits).double().numpy()
