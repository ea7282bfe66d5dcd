"""Methods that need no strategy and no space of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ..config.load import apply_overrides
from ..data import splits
from ..runs.prepared import PreparedData
from ..utils.errors import DataError
from ._base import PredictingMethod, Prediction, RunMethod
from .tables_as_onnx import count_tree_parameters, input_widths, write_boosting, write_logistic


class AsConfigured(RunMethod):
    """The experiment as its file says."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {}


class Changed(RunMethod):
    """The experiment with other settings: with:KEY=VALUE, or with:KEY=VALUE;KEY=VALUE."""

    def __init__(self, argument: str) -> None:
        super().__init__(argument)
        self.changes = [text.strip() for text in argument.split(";") if text.strip()]

    def settings(self, seed: int) -> Mapping[str, Any]:
        return dict(_dotted(apply_overrides({}, self.changes)))


class ImageOnly(RunMethod):
    """The experiment without metadata."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"data.modalities": ["image"]}


class MetadataOnly(RunMethod):
    """The experiment without images."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"data.modalities": ["metadata"]}


class RandomArchitecture(RunMethod):
    """An architecture of the same space drawn at random, a new one for every seed; nothing is searched."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"derivation.method": "random", "derivation.seed": seed}


class RandomHalving(RunMethod):
    """The best of several random architectures by successive halving; nothing is searched."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        chosen = {"method": "successive_halving", "proposals": "random", "seed": seed}
        return {f"derivation.{key}": value for key, value in chosen.items()}


class Halving(RunMethod):
    """The best by successive halving of several architectures that the search proposes."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        chosen = {"method": "successive_halving", "proposals": "sampled", "seed": seed}
        return {f"derivation.{key}": value for key, value in chosen.items()}


class Strongest(RunMethod):
    """The architecture with the largest weights at the end of the search."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"derivation.method": "strongest"}


class Perturbation(RunMethod):
    """The architecture chosen by what the supernet loses without each operation."""

    def settings(self, seed: int) -> Mapping[str, Any]:
        return {"derivation.method": "perturbation"}


class Majority(PredictingMethod):
    """The most frequent class of the training split."""

    def predict(self, data: PreparedData, seed: int) -> Prediction:
        counts = np.array(data.class_counts(), dtype=np.float64)
        answers = [np.tile(counts / counts.sum(), (int(rows.sum()), 1)) for rows in _scored(data)]
        return Prediction(answers[0], 0, answers[1])


class MetadataBoosting(PredictingMethod):
    """Gradient boosting (scikit-learn) on the encoded metadata, classes weighted equally."""

    def predict(self, data: PreparedData, seed: int) -> Prediction:
        train, (test, validation) = _trained(data), _scored(data)
        encoded = data.metadata
        table = np.hstack([encoded.numeric, encoded.categorical, encoded.mask]).astype(np.float64)
        model = HistGradientBoostingClassifier(class_weight="balanced", random_state=seed)
        model.fit(table[train], data.targets[train])
        answers = [_spread(model.predict_proba(table[rows]), model.classes_, data) for rows in (test, validation)]
        return Prediction(
            answers[0], count_tree_parameters(model), answers[1],
            lambda path: write_boosting(model, input_widths(encoded), len(data.classes), path),
        )  # fmt: skip


class MetadataLogistic(PredictingMethod):
    """Logistic regression (scikit-learn) on the encoded metadata, classes weighted equally."""

    def predict(self, data: PreparedData, seed: int) -> Prediction:
        train, (test, validation) = _trained(data), _scored(data)
        encoded = data.metadata
        columns = [encoded.numeric, encoded.mask]
        categories: list[np.ndarray] = []
        if encoded.categorical.shape[1]:
            encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(encoded.categorical[train])
            columns.append(encoder.transform(encoded.categorical))
            categories = encoder.categories_
        table = np.hstack(columns)
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000))
        model.fit(table[train], data.targets[train])
        last = model[-1]
        answers = [_spread(model.predict_proba(table[rows]), last.classes_, data) for rows in (test, validation)]
        return Prediction(
            answers[0], last.coef_.size + last.intercept_.size, answers[1],
            lambda path: write_logistic(model, categories, input_widths(encoded), len(data.classes), path),
        )  # fmt: skip


def _dotted(section: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of everything in a nested section."""
    for key, value in section.items():
        if isinstance(value, dict) and value:
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _trained(data: PreparedData) -> np.ndarray:
    """Return whether each row is one to train on (N,).

    Raises:
        DataError: without metadata.
    """
    if not data.metadata_columns:
        raise DataError("compare: this experiment has no metadata, so that baselines on metadata have nothing to see.")
    return data.in_training


def _scored(data: PreparedData) -> tuple[np.ndarray, np.ndarray]:
    """Return whether each row belongs to the test split, and whether to the validation split (N,)."""
    return data.mask_of(splits.TEST), data.mask_of(splits.VALIDATION)


def _spread(probabilities: np.ndarray, present: np.ndarray, data: PreparedData) -> np.ndarray:
    """Return probabilities over all classes, zero for those that training had none of."""
    whole = np.zeros((len(probabilities), len(data.classes)))
    whole[:, present] = probabilities
    return whole
