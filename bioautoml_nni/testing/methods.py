"""The suite of methods: rows of a comparison."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..compare._base import PredictingMethod, Prediction, RunMethod
from ..compare.rows import predicted, prepared
from ..config import Experiment
from ..config.load import changed
from ..data import splits
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from ..utils.errors import ConfigError
from ._base import kind_of, name_of, require_class, suite, tried

INPUTS = frozenset({"image", "numeric", "categorical", "mask"})
"""What a file of `Prediction.write_onnx` may read."""


@suite
def check_method(method: type, argument: str | None = None, data: PreparedData | None = None) -> None:
    """Check a method: settings that an experiment takes, or probabilities of the test split that a seed decides.

    Args:
        argument: what stands after the colon in ``name:argument``.
        data: that a predicting method learns from; a small drawn sample by default, which takes some seconds.
    """
    name = name_of(method)
    contract = "RunMethod(argument) or PredictingMethod()"
    require_class(name, method, contract)
    made = tried(f"{name}: must be built as {contract}", method, *([] if argument is None else [argument]))
    if isinstance(made, RunMethod):
        _check_settings(name, made)
    elif isinstance(made, PredictingMethod):
        with tempfile.TemporaryDirectory() as folder:
            _check_predictions(name, made, data or _drawn(Path(folder)), Path(folder))
    else:
        raise AssertionError(f"{name}: must be a RunMethod or a PredictingMethod, not {kind_of(made)}")


def small_experiment() -> Experiment:
    """Return an experiment on the drawn sample, which settings of plug-ins are tried on."""
    return Experiment.model_validate(
        {"name": "conformance", "data": {"source": "sample", "specimens": 60, "image_size": 16}, "cache": {"max_gb": 1}}
    )


def check_experiment_takes(name: str, what: str, values: Any) -> None:
    """Assert that an experiment with these dotted keys is a valid one.

    Args:
        what: the call that gave them, as it is written.
    """
    assert isinstance(values, Mapping), f"{name}: {what} must return a mapping of dotted keys, not {kind_of(values)}"
    texts = all(isinstance(key, str) for key in values)
    assert texts, f"{name}: {what} must return dotted keys as texts, such as 'training.epochs'"
    try:
        changed(small_experiment(), values, what)
    except ConfigError as error:
        reason = str(error).strip().splitlines()[-1].strip(" -")
        raise AssertionError(f"{name}: {what} gives settings that an experiment refuses: {reason}") from error


def _check_settings(name: str, made: RunMethod) -> None:
    what = "settings(seed)"
    first = tried(f"{name}: must have {what}", made.settings, 0)
    check_experiment_takes(name, what, first)
    again = made.settings(0)
    assert json.dumps(first, default=str) == json.dumps(again, default=str), f"{name}: {what} differs from call to call"


def _drawn(folder: Path) -> PreparedData:
    run = RunDirectory.create(folder / "run", small_experiment())
    return prepared(run)


def _check_predictions(name: str, made: PredictingMethod, data: PreparedData, folder: Path) -> None:
    what = f"{name}: must have predict(data, seed)"
    found = tried(what, made.predict, data, 0)
    assert isinstance(found, Prediction), f"{what}, which returns a Prediction, not {kind_of(found)}"
    _check_probabilities(name, "probabilities", found.probabilities, data, splits.TEST)
    if found.validation is not None:
        _check_probabilities(name, "validation", found.validation, data, splits.VALIDATION)
    again, _ = predicted(data, made, 0)
    same = np.array_equal(found.probabilities, again.probabilities)
    assert same, f"{name}: predict(data, seed) gives other probabilities for the same seed"
    unknown = set(found.modalities) - {"image", "metadata"}
    assert not unknown, f"{name}: modalities name {', '.join(sorted(unknown))}; they are image and metadata"
    if found.write_onnx is not None:
        _check_file(name, found, data, folder / "model.onnx")


def _check_probabilities(name: str, field: str, values: Any, data: PreparedData, part: str) -> None:
    rows, classes = int((data.part == part).sum()), len(data.classes)
    array = tried(f"{name}: {field} must be an array", np.asarray, values, dtype=np.float64)
    shape = f"{name}: {field} has shape {array.shape}, not ({rows}, {classes}): specimens of the {part} split by class"
    assert array.shape == (rows, classes), shape
    assert np.isfinite(array).all(), f"{name}: {field} holds values that are not finite"
    sums = array.sum(axis=1)
    assert (array >= 0).all() and np.allclose(sums, 1, atol=1e-3), f"{name}: rows of {field} do not sum to one"


def _check_file(name: str, found: Prediction, data: PreparedData, file: Path) -> None:
    """Assert that the written file answers as the method does, where it reads metadata alone."""
    import onnxruntime

    assert found.write_onnx is not None
    tried(f"{name}: write_onnx(path) must write a file", found.write_onnx, file)
    what = f"{name}: write_onnx(path) must write an ONNX file"
    session = tried(what, onnxruntime.InferenceSession, str(file), providers=["CPUExecutionProvider"])
    names = {each.name for each in session.get_inputs()}
    assert names <= INPUTS, f"{name}: its ONNX file reads {', '.join(sorted(names - INPUTS))}; it may read {INPUTS}"
    assert "logits" in {each.name for each in session.get_outputs()}, f"{name}: its ONNX file has no output 'logits'"
    if "image" in names:
        return
    tested = data.mask_of(splits.TEST)
    encoded = {
        "numeric": data.metadata.numeric, "categorical": data.metadata.categorical, "mask": data.metadata.mask,
    }  # fmt: skip
    [logits] = session.run(["logits"], {key: encoded[key][tested] for key in names})
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    answered = odds / odds.sum(axis=1, keepdims=True)
    close = np.allclose(answered, found.probabilities, atol=1e-3)
    assert close, f"{name}: its ONNX file answers otherwise than predict(data, seed) does"
