"""One candidate: run or fitted, scored, exported and measured."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from rich.console import Console

from ..artifacts.metrics import Metrics
from ..compare._base import PredictingMethod, RunMethod
from ..compare.rows import find_method, predicted, run_process
from ..config.load import changed
from ..data import splits
from ..evaluation.calibration import calibrated
from ..evaluation.metrics import classification_metrics
from ..export.inputs import model_inputs
from ..runs.directory import STAGES, RunDirectory
from ..runs.prepared import PreparedData
from ..stages.evaluate import LOGITS, Answers, write_evaluation
from ..stages.export import export, export_file
from ..utils.errors import DataError
from ..utils.own_files import reading
from .choice import resampled_macro_f1
from .ensemble import MIN_PROBABILITY
from .limits import onnx_latency
from .records import SCORES

FEWEST_GROUPS = 5
"""That a standard error over groups is taken from."""
LAST = 3
"""Epochs of a rung whose mean validation macro-F1 counts; one alone is noise on few specimens."""

Found = dict[str, Any]
"""Fields of a `Record` that were measured."""


def attempt(
    row: str, settings: Mapping[str, Any], base: PreparedData, folder: Path, threads: int, seconds: float
) -> Found:
    """Do all that a candidate needs, going on with what an earlier call left, and return what was measured.

    Args:
        row: method, a name or ``name:argument``.
        settings: dotted keys that it changes beside those of the method.
        base: prepared data that all candidates share.
        folder: of the candidate.
        threads: of torch.
        seconds: after which a run is ended.

    Raises:
        BioAutoMLError: if it fails.
        TimeoutError: if it was ended.
    """
    method = find_method(row)
    seed = base.run.experiment.seed
    if isinstance(method, PredictingMethod):
        _fit(method, base, folder, seed)
        data = base
    else:
        assert isinstance(method, RunMethod)
        data = _run({**method.settings(seed), **settings}, base, folder, threads, seconds)
    return measured(data, folder)


def begin(
    row: str, settings: Mapping[str, Any], base: PreparedData, folder: Path, threads: int, seconds: float, share: float
) -> tuple[int, float]:
    """Train a candidate that is a run for a share of its final training, going on with what an earlier call left.

    Args:
        share: of the epochs; two epochs are trained at least.

    Returns:
        How many epochs that are, and the mean validation macro-F1 of the last `LAST` of them.

    Raises:
        BioAutoMLError: if it fails.
        TimeoutError: if it was ended.
    """
    method = find_method(row)
    assert isinstance(method, RunMethod)  # others are fitted in one go
    run = _opened({**method.settings(base.run.experiment.seed), **settings}, base, folder)
    epochs = max(2, round(share * run.experiment.training.epochs))
    if not run.done("retrain") and len(run.history("retrain")) < epochs:
        place = [str(run / "experiment.yml"), "--output", str(run.path)]
        run_process(run, threads, seconds, ["run", *place, "--no-baselines", "--first-epochs", str(epochs)])
    scores = [line["val_macro_f1"] for line in run.history("retrain")[:epochs]]
    return len(scores), fmean(scores[-LAST:])


def measured(data: PreparedData, folder: Path) -> Found:
    """Return scores, costs and latency of an evaluated candidate; one without export has no latency."""
    validation, test = candidate_logits(folder)
    metrics = Metrics.read(folder / "evaluation/metrics.json")
    target = validation_target(data)
    error = resampled_macro_f1(target, validation.argmax(1), validation_groups(data)).std(ddof=1)
    model = folder / "export/model.onnx"
    inputs = {name: value.numpy() for name, value in model_inputs(data, splits.VALIDATION, 1).items()}
    return {
        "validation": scores_of(target, validation),
        "test": scores_of(data.targets_of(splits.TEST), test),
        "validation_macro_f1_se": float(error),
        "parameters": metrics.parameters,
        "flops": metrics.flops,
        "latency_ms": round(onnx_latency(model, inputs), 4) if model.is_file() else None,
    }


def cut_short(folder: Path) -> list[str]:
    """Return what a candidate that is done was to do, too, and had no time for, in a phrase."""
    if not (folder / "retrain/network.json").is_file():
        return []
    run = RunDirectory.open(folder)
    asked = run.experiment.retrain.refit and run.network().keep
    if not asked or splits.VALIDATION in run.network().learned_from:
        return []
    return ["had no time to learn from the validation split too"]


def candidate_logits(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return logits of the validation and of the test split (N, K) of an evaluated candidate."""
    file = folder / "evaluation" / LOGITS
    with reading(file), np.load(file) as found:
        return found["validation"].astype(np.float64), found["test"].astype(np.float64)


def validation_target(data: PreparedData) -> np.ndarray:
    """Return class indices (M,) of the validation split."""
    return data.targets_of(splits.VALIDATION)


def validation_groups(data: PreparedData) -> np.ndarray | None:
    """Return the group of each validation specimen (M,), None where each stands for itself.

    So it does, too, where there are fewer than `FEWEST_GROUPS`: resamples of so few groups are nearly all alike.
    """
    groups = splits.groups_of(data.table, data.run.experiment.data.split.group)
    own = None if groups is None else groups[data.mask_of(splits.VALIDATION)].to_numpy()
    return None if own is None or len(np.unique(own)) < FEWEST_GROUPS else own


def doubt_unit(data: PreparedData) -> str:
    """Return over what standard errors are taken, in the plural, with a warning where groups are too few."""
    group = data.run.experiment.data.split.group
    if group is None:
        return "specimens"
    if validation_groups(data) is not None:
        return f"groups by {group}"
    return f"specimens (validation has fewer than {FEWEST_GROUPS} groups by {group}; the true one is larger)"


def scores_of(target: np.ndarray, logits: np.ndarray) -> dict[str, float]:
    """Return accuracy, balanced accuracy and macro-F1."""
    metrics = classification_metrics(target, calibrated(logits, 1.0))
    found = (metrics["accuracy"], metrics["balanced_accuracy"], metrics["macro"]["f1"])
    return dict(zip(SCORES, found, strict=True))


def write_fitted(
    folder: Path, data: PreparedData, validation: np.ndarray, test: np.ndarray, parameters: int, flops: int,
    modalities: tuple[str, ...], model: Path | None, reference: np.ndarray | None = None,
) -> None:  # fmt: skip
    """Evaluate and export what is not a network of ours.

    Args:
        validation, test: probabilities (N, K).
        model: ONNX file; None for what is never exported.
        reference: what the file must answer on the first specimens of the test split, by default as in `test`.
    """
    answers_test, answers_validation = (np.log(np.maximum(values, MIN_PROBABILITY)) for values in (test, validation))
    # The file's latency is measured where it is exported; the figure here is that of nothing.
    answers = Answers(
        answers_test, answers_validation, unknown=None, ablations={}, importance=None, parameters=parameters,
        flops=flops, latency_ms=0.0, modalities=modalities,
    )  # fmt: skip
    write_evaluation(folder / "evaluation", data, answers)
    if model is not None:
        answers_of_file = test if reference is None else reference
        export_file(data, model, answers_of_file, folder / "evaluation", modalities, folder / "export")


def _fit(method: PredictingMethod, base: PreparedData, folder: Path, seed: int) -> None:
    found, _ = predicted(base, method, seed)
    if found.validation is None:
        raise DataError("it gives no probabilities for the validation split, so that it cannot be compared.")
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model.onnx" if found.write_onnx else None
    if model is not None and found.write_onnx is not None:
        found.write_onnx(model)
    write_fitted(folder, base, found.validation, found.probabilities, found.parameters or 0, 0, found.modalities, model)


def _opened(settings: Mapping[str, Any], base: PreparedData, folder: Path) -> RunDirectory:
    """Return a candidate's run with the data prepared, if others have the same."""
    if (folder / "experiment.yml").is_file():
        run = RunDirectory.open(folder)  # begun by an earlier call, perhaps with more time
    else:
        run = RunDirectory.create(folder, changed(base.run.experiment, settings, folder.name))
    if not run.done("prepare"):
        others = sorted(path.parent for path in folder.parent.glob("*/experiment.yml") if path.parent != folder)
        for source in (base.run, *map(RunDirectory.open, others)):
            adopt_prepared(source, run)
    return run


def _run(settings: Mapping[str, Any], base: PreparedData, folder: Path, threads: int, seconds: float) -> PreparedData:
    run = _opened(settings, base, folder)
    if not run.done("report"):
        run_process(run, threads, seconds)
    data = PreparedData.load(run).as_images()
    if not data.part.equals(base.part) or data.classes != base.classes:
        raise DataError("it was trained on another split than the others, so that it cannot be compared.")
    if not (folder / "export/export.json").is_file():
        export(run, folder / "export", Console(quiet=True))
    return data


def adopt_prepared(source: RunDirectory, run: RunDirectory) -> None:
    """Take over another run's prepared data, if this one's would be the same and are not there yet."""
    if run.key("prepare") != source.key("prepare") or not source.done("prepare") or run.done("prepare"):
        return
    for name in (*STAGES["prepare"][1], "unreadable.csv"):
        shutil.copyfile(source / name, run / name)
    provenance = source.provenance()
    done = {"prepare": provenance.stages["prepare"]}
    provenance.with_entries(stages=done).write(run / "provenance.json")
