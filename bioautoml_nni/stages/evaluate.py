"""Stage `evaluate`: score the trained network once on the test split."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from torch import Tensor, nn

from ..artifacts.calibration import Calibration
from ..artifacts.metrics import MajorityBaseline, Metrics, SplitSummary
from ..artifacts.speed import Speed
from ..data import splits
from ..data.manifest import ID
from ..data.own_csv import csv_text
from ..evaluation.calibration import (
    accuracy_thresholds,
    conformal_levels,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    prediction_sets,
    reliability,
    risk_by_coverage,
)
from ..evaluation.confusion import confusion_pairs, drawable, most_confused, named_pairs
from ..evaluation.cost import count_parameters, measure_latency, one_specimen, specimen_flops
from ..evaluation.figures import confusion_figure, roc_figure, trust_figure
from ..evaluation.importance import metadata_importance
from ..evaluation.intervals import intervals
from ..evaluation.metrics import (
    answer_metrics,
    by_training_size,
    classification_metrics,
    majority_baseline,
    per_class_table,
)
from ..evaluation.open_set import open_set
from ..evaluation.probabilities import Probabilities
from ..evaluation.taxonomy import by_rank
from ..runs.directory import RunDirectory
from ..runs.networks import load_model, shared_logits
from ..runs.prepared import PreparedData
from ..runs.probe import validation_logits
from ..training.group import current_group, is_rank_zero
from ..utils.atomic import replacing, write_text
from ..utils.progress import make_progress
from ..utils.seeding import derive_seed

ACCURACIES = (0.9, 0.95, 0.99)
COVERAGES = (0.8, 0.9, 0.95, 0.99)
LOGITS = "logits.npz"
"""File with the logits (N, K) of the validation and of the test split, in the manifest's order."""


def evaluate(run: RunDirectory, console: Console) -> None:
    """Write evaluation/: metrics, calibration, classes, predictions, logits, speed and figures.

    In a group every process asks the network about its share; the first one makes of the answers what is written.
    """
    data = PreparedData.load(run)
    network = load_model(run, data)
    under_prior = run.experiment.evaluation.decision == "training_prior"
    group = current_group()
    changed = altered_metadata(data) if set(run.experiment.data.modalities) == {"image", "metadata"} else {}
    asked = {splits.TEST: (data, splits.TEST), **{name: (other, splits.TEST) for name, other in changed.items()}}
    unseen = validation_logits(run)
    lacks = unseen is None
    if group is not None:  # the first process's word, since another machine may not see the file yet
        lacks = group.gather(lacks)[0]
    if lacks:
        asked[splits.VALIDATION] = data, splits.VALIDATION
    if data.mask_of(splits.UNKNOWN).any():
        asked[splits.UNKNOWN] = data, splits.UNKNOWN
    found = _answered(network, asked, console)
    importance = metadata_importance(data, network, under_prior)
    if not is_rank_zero():
        return
    if unseen is not None:
        found[splits.VALIDATION] = torch.from_numpy(unseen)
    decided = {
        name: (data.loss().prior_logits(logits) if under_prior else logits).numpy() for name, logits in found.items()
    }
    target = data.targets_of(splits.TEST)
    write_evaluation(
        run / "evaluation",
        data,
        Answers(
            decided[splits.TEST], decided[splits.VALIDATION], unknown=decided.get(splits.UNKNOWN),
            ablations={name: headline(target, decided[name]) for name in changed},
            importance=importance, parameters=count_parameters(network), flops=specimen_flops(data, network),
            latency_ms=measure_latency(network, one_specimen(data)), modalities=tuple(run.experiment.data.modalities),
        ),
    )  # fmt: skip


def _answered(network: nn.Module, asked: Mapping[str, tuple[PreparedData, str]], console: Console) -> dict[str, Tensor]:
    """Return logits (N, K) of the network about parts of data by name; empty in processes that do not lead."""
    found = {}
    with make_progress(console) as progress:
        total = sum(int(data.mask_of(part).sum()) for data, part in asked.values())
        task = progress.add_task("evaluate", total=total, note="")
        processes = group.size if (group := current_group()) is not None else 1
        for name, (data, part) in asked.items():
            logits = shared_logits(data, network, part, lambda count: progress.advance(task, count * processes))
            if logits is not None:
                found[name] = logits
    return found


@dataclass(frozen=True)
class Answers:
    """What a model says of the specimens that it is scored on, and what it costs.

    Attributes:
        test, validation: logits (N, K) of the decision that counts.
        unknown: the same of specimens whose label is not a class, None without any.
        ablations: scores by what was done to the metadata.
        importance: see `metadata_importance`.
        parameters, flops, latency_ms: of one specimen's prediction; the latency is that of one CPU thread.
        modalities: what the model reads.
    """

    test: np.ndarray
    validation: np.ndarray
    unknown: np.ndarray | None
    ablations: dict[str, Any]
    importance: Any
    parameters: int
    flops: int
    latency_ms: float
    modalities: tuple[str, ...]


@dataclass(frozen=True)
class _Scored:
    """What answers say of the test split, under the names that metrics, tables and figures ask for.

    Attributes:
        probabilities, shipped: (N, K) as trained, and after temperature scaling.
        target, predicted: class indices (N,).
        counts: training specimens of each class (K,).
        taxa: taxon of every class by coarser rank.
        per_class: table of scores by class.
    """

    probabilities: Probabilities
    shipped: Probabilities
    target: np.ndarray
    counts: np.ndarray
    taxa: dict[str, list[str]]
    per_class: pd.DataFrame

    @classmethod
    def of(cls, data: PreparedData, logits: np.ndarray, temperature: float) -> _Scored:
        """Return the logits (N, K) of the test split beside its labels."""
        probabilities, shipped = Probabilities(logits, 1.0), Probabilities(logits, temperature)
        target, counts = data.targets_of(splits.TEST), np.array(data.class_counts())
        per_class = per_class_table(target, probabilities, data.classes, counts)
        return cls(probabilities, shipped, target, counts, data.taxa(), per_class)

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.predicted


def write_evaluation(folder: Path, data: PreparedData, answers: Answers) -> None:
    """Write what answers are worth: metrics, calibration, classes, predictions, logits, speed and figures."""
    calibration = fit_calibration(answers.validation, data.targets_of(splits.VALIDATION))
    scored = _Scored.of(data, answers.test, calibration.temperature)
    folder.mkdir(parents=True, exist_ok=True)
    matrix, names, drawn_as = drawable(scored.target, scored.predicted, data.classes, scored.taxa)
    metrics = _metrics(data, answers, scored, calibration, {"rows": drawn_as, "drawn": len(names)})
    _write_tables(folder, data, scored)
    confusion_figure(folder / "confusion.png", matrix, names, data.brand)
    _write_curves(folder, data, scored)
    Speed(latency_ms=answers.latency_ms, threads=1).write(folder / "speed.json")
    with replacing(folder / LOGITS) as temporary, temporary.open("wb") as file:
        np.savez(file, validation=answers.validation, test=answers.test)
    calibration.write(folder / "calibration.json")
    metrics.write(folder / "metrics.json")


def _metrics(
    data: PreparedData, answers: Answers, scored: _Scored, calibration: Calibration, confusion: dict[str, Any]
) -> Metrics:
    experiment, target = data.run.experiment, scored.target
    split, shipped = experiment.data.split, scored.shipped
    majority = majority_baseline(target, scored.counts)
    return Metrics(
        rank=data.rank,
        split=SplitSummary(method=split.method, group=split.group, scored=splits.TEST, sizes=data.sizes()),
        classes=len(data.classes),
        classes_in_test=len(np.unique(target)),
        modalities=list(answers.modalities),
        metadata_columns=data.metadata_columns if "metadata" in answers.modalities else [],
        seed=experiment.seed,
        decision=experiment.evaluation.decision,
        brand=data.brand,
        majority_baseline=MajorityBaseline(**{**majority, "class": data.classes[majority["class"]]}),
        **classification_metrics(target, scored.probabilities),
        intervals={
            "unit": split.group or "specimen",
            **intervals(target, scored.predicted, _test_groups(data), seed=experiment.seed),
        },
        by_training_size=by_training_size(scored.per_class),
        by_rank=by_rank(target, scored.probabilities, scored.taxa),
        most_confused=most_confused(target, scored.predicted, data.classes),
        confusion=confusion,
        ablations=answers.ablations,
        calibration=_trust(calibration, scored),
        prediction_sets={
            coverage: prediction_sets(shipped, target, level) for coverage, level in calibration.prediction_sets.items()
        },
        open_set=_open_set(data, answers, scored, calibration),
        metadata_importance=answers.importance,
        parameters=answers.parameters,
        flops=answers.flops,
    )


def _trust(calibration: Calibration, scored: _Scored) -> dict[str, Any]:
    """Return how far probabilities can be trusted, before and after calibration."""
    return {
        "temperature": calibration.temperature,
        "fitted_on": splits.VALIDATION,
        "before": trust(scored.probabilities, scored.target),
        "after": trust(scored.shipped, scored.target),
    }


def _open_set(data: PreparedData, answers: Answers, scored: _Scored, calibration: Calibration) -> dict[str, Any] | None:
    if answers.unknown is None:
        return None
    rows = data.table[data.mask_of(splits.UNKNOWN)]
    found = open_set(answers.test, answers.unknown, calibration.temperature, calibration.thresholds, rows, scored.taxa)
    return {"labels": list(data.run.experiment.data.hold_out), **found}


def _write_tables(folder: Path, data: PreparedData, scored: _Scored) -> None:
    """Write scores by class, confusions, and the answer to every test specimen."""
    write_text(folder / "per_class.csv", csv_text(scored.per_class))
    pairs = confusion_pairs(scored.target, scored.predicted, len(data.classes))
    write_text(folder / "confusion.csv", csv_text(named_pairs(pairs, data.classes)))
    table = pd.DataFrame(
        {
            "id": data.table[data.mask_of(splits.TEST)][ID].to_numpy(),
            "label": [data.classes[index] for index in scored.target],
            "predicted": [data.classes[index] for index in scored.predicted],
            "confidence": scored.shipped.confidence.round(6),
        }
    )
    write_text(folder / "predictions.csv", csv_text(table))


def _write_curves(folder: Path, data: PreparedData, scored: _Scored) -> None:
    """Draw ROC curves, reliability, and errors by coverage."""
    areas = scored.per_class["auc"].to_numpy()
    roc_figure(folder / "roc.png", scored.target, scored.probabilities, data.classes, data.brand, areas)
    curves = {"as trained": scored.probabilities, "after temperature scaling": scored.shipped}
    trust_figure(
        folder / "trust.png",
        {name: reliability(values, scored.target) for name, values in curves.items()},
        risk_by_coverage(scored.shipped, scored.target),
        data.brand,
    )


def fit_calibration(logits: np.ndarray, target: np.ndarray) -> Calibration:
    """Return all that validation specimens teach about trust: temperature, thresholds and levels of prediction sets."""
    temperature = fit_temperature(logits, target)
    before, after = Probabilities(logits, 1.0), Probabilities(logits, temperature)
    return Calibration(
        temperature=temperature,
        fitted_on={"part": splits.VALIDATION, "specimens": len(target)},
        nll={
            "before": negative_log_likelihood(logits, target),
            "after": negative_log_likelihood(logits, target, temperature),
        },
        ece={
            "before": expected_calibration_error(before, target),
            "after": expected_calibration_error(after, target),
        },
        thresholds=accuracy_thresholds(after, target, ACCURACIES),
        prediction_sets=conformal_levels(after, target, COVERAGES),
    )


def altered_metadata(data: PreparedData) -> dict[str, PreparedData]:
    """Return the data with the metadata of the test split hidden, and with it shuffled among its specimens."""
    rows = np.flatnonzero(data.mask_of(splits.TEST))
    dealt = np.arange(len(data.part))
    dealt[rows] = np.random.default_rng(derive_seed(data.run.experiment.seed, "permuted metadata")).permutation(rows)
    whole = data.metadata
    hidden = dataclasses.replace(whole, mask=np.zeros_like(whole.mask))
    permuted = dataclasses.replace(
        whole, numeric=whole.numeric[dealt], categorical=whole.categorical[dealt], mask=whole.mask[dealt]
    )
    return {"metadata_hidden": data.with_metadata(hidden), "metadata_permuted": data.with_metadata(permuted)}


def headline(target: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return accuracy, balanced accuracy and macro-F1."""
    scores = answer_metrics(target, Probabilities(logits, 1.0).predicted)
    return {
        "accuracy": scores["accuracy"],
        "balanced_accuracy": scores["balanced_accuracy"],
        "macro_f1": scores["macro"]["f1"],
    }


def trust(probabilities: Probabilities, target: np.ndarray) -> dict[str, float]:
    """Return negative log-likelihood, calibration error and area under the risk-coverage curve of logits."""
    return {
        "nll": negative_log_likelihood(probabilities.values, target, probabilities.temperature or 1.0),
        "ece": expected_calibration_error(probabilities, target),
        "aurc": float(risk_by_coverage(probabilities, target).mean()),
    }


def _test_groups(data: PreparedData) -> np.ndarray | None:
    groups = splits.groups_of(data.table, data.run.experiment.data.split.group)
    return None if groups is None else groups[data.mask_of(splits.TEST)].to_numpy()
