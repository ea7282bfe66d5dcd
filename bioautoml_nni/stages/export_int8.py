"""The model of eight bits of an export: ranges by the training split, choices by the validation split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from ..data import splits
from ..evaluation.metrics import answer_metrics
from ..evaluation.probabilities import Probabilities
from ..export.inputs import model_inputs
from ..export.int8 import SENSED, Quality, Quantised, write_int8
from ..export.onnx_files import run_onnx
from ..runs.prepared import PreparedData
from ..utils.errors import ExportError
from ..utils.progress import make_progress

CALIBRATED = 512
"""Training specimens from which the ranges of activations are taken."""
MORE_ANSWERS = 1000
INT8_GOAL = 0.003
"""Of macro-F1, and share of changed answers: what eight bits may cost before layers stay in floating point. A third
of what they may cost on new specimens, since a few hundred decide it."""


def write_judged_int8(data: PreparedData, folder: Path, limit: float, console: Console) -> dict[str, Any]:
    """Write model_int8.onnx, and return what it costs.

    What stays in single precision is decided on the validation split; the test split only tells the outcome.

    Raises:
        ExportError: if more than `limit` of the macro-F1 of the validation split is lost whatever is left out.
    """
    validation, targets = _arrays(data, splits.VALIDATION)
    # Answers are compared on these too, without labels.
    more = model_inputs(data, splits.ALPHA, MORE_ANSWERS, spread=True)
    both = {name: np.concatenate([value, more[name].numpy()]) for name, value in validation.items()}
    reference = run_onnx(folder / "model.onnx", both)
    score = _macro_f1(targets, reference[: len(targets)])

    few = np.linspace(0, len(reference) - 1, min(SENSED, len(reference))).astype(int)
    sensed = {name: value[few] for name, value in both.items()}

    def judge(path: Path) -> Quality:
        logits = run_onnx(path, both)
        other = float((logits.argmax(axis=1) != reference.argmax(axis=1)).mean())
        return Quality(score - _macro_f1(targets, logits[: len(targets)]), other, _distance(logits, reference))

    ranges = model_inputs(data, splits.WEIGHTS, CALIBRATED, spread=True)
    with make_progress(console) as progress:
        task = progress.add_task("int8: cost of single layers", total=None, note="", visible=False)
        found = write_int8(
            folder / "model.onnx", folder / "model_int8.onnx", ranges, judge, INT8_GOAL,
            sense=lambda path: _distance(run_onnx(path, sensed), reference[few]),
            advance=lambda done, total: progress.update(task, completed=done, total=total, visible=True),
        )  # fmt: skip
    if found.quality.loss > limit:
        raise ExportError(
            f"--int8: a model of eight bits loses {found.quality.loss:.3f} of the validation split's macro-F1 "
            f"({score:.3f}), more than --int8-loss {limit:g}; export without --int8, or allow the loss."
        )
    return _cost_of_int8(data, folder, found)


def _cost_of_int8(data: PreparedData, folder: Path, found: Quantised) -> dict[str, Any]:
    """Return how the model was quantised, and what both files answer on the test split."""
    test, targets = _arrays(data, splits.TEST)
    scores = {
        name: answer_metrics(targets, Probabilities(run_onnx(folder / name, test), 1.0).predicted)
        for name in ("model.onnx", "model_int8.onnx")
    }
    return {
        "file": "model_int8.onnx",
        "bytes": {name: (folder / name).stat().st_size for name in scores},
        "validation_macro_f1_lost": round(found.quality.loss, 6),
        "answers_changed": round(found.quality.disagreement, 6),
        "ranges": found.ranges,
        "convolutions_in_floating_point": list(found.floats),
        "test_accuracy": {name: score["accuracy"] for name, score in scores.items()},
        "test_macro_f1": {name: score["macro"]["f1"] for name, score in scores.items()},
    }


def _distance(logits: np.ndarray, reference: np.ndarray) -> float:
    return float(np.sqrt(((logits - reference) ** 2).mean()))


def _arrays(data: PreparedData, part: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return a part's inputs by name and its targets."""
    inputs = {name: value.numpy() for name, value in model_inputs(data, part, len(data.table)).items()}
    return inputs, data.targets_of(part)


def _macro_f1(targets: np.ndarray, logits: np.ndarray) -> float:
    return float(answer_metrics(targets, Probabilities(logits, 1.0).predicted)["macro"]["f1"])
