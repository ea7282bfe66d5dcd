"""What each metadata column is worth to a trained network: permutation importance on the test split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.inspection import permutation_importance
from torch import nn

from ..data import splits
from ..data.dataset import make_loader
from ..runs.prepared import PreparedData
from ..training.inference import Inference
from ..utils.seeding import derive_seed

REPEATS = 10
MAX_ROWS = 5000
LARGEST = 1 << 25
"""Logits that are held at a time."""


def metadata_importance(
    data: PreparedData, network: nn.Module, under_prior: bool, inference: Inference | None = None
) -> dict[str, dict[str, float]]:
    """Return for each metadata column by how much the test macro-F1 falls when its values are exchanged.

    Breiman, Random Forests, 2001, by scikit-learn: mean and standard deviation over `REPEATS` exchanges, each among at
    most `MAX_ROWS` test specimens. Latitude and longitude are exchanged apart. Empty without metadata.

    Args:
        under_prior: decide under the training prior rather than as the loss was balanced for.
        inference: where and how the network is asked; by default what this machine offers.
    """
    if not data.metadata_columns:
        return {}
    table = data.table[data.mask_of(splits.TEST)][data.metadata_columns].reset_index(drop=True)
    target = data.targets_of(splits.TEST)
    inference = inference or Inference.on_this_machine()
    with inference.hosting(network):
        found = permutation_importance(
            _Answers(data, network, under_prior, inference), table, target, scoring="f1_macro", n_repeats=REPEATS,
            random_state=derive_seed(data.run.experiment.seed, "importance") % 2**32,
            max_samples=min(MAX_ROWS, len(table)),
        )  # fmt: skip
    return {
        name: {"mean": float(mean), "std": float(deviation)}
        for name, mean, deviation in zip(table, found.importances_mean, found.importances_std, strict=True)
    }


class _Answers(ClassifierMixin, BaseEstimator):
    """The network as scikit-learn asks it: metadata come as a table, image embeddings were computed before."""

    def __init__(self, data: PreparedData, network: Any, under_prior: bool, inference: Inference) -> None:
        self.data = data
        self.network = network
        self.under_prior = under_prior
        self.inference = inference
        parts = ("image_encoder", "join", "classifier") if data.uses_images else ("metadata_encoder", "classifier")
        self.in_parts = all(hasattr(network, part) for part in parts)  # else the whole network is asked each time
        self.embeddings = _embeddings(data, network, inference) if data.uses_images and self.in_parts else None
        self.classes_ = np.arange(len(data.classes))

    def fit(self, table: pd.DataFrame, target: np.ndarray) -> _Answers:
        """Return itself; the network is trained already."""
        return self

    def predict(self, table: pd.DataFrame) -> np.ndarray:
        """Return class indices (N,) of all test specimens, described by `table` in their order."""
        encoded = self.data.preprocessor.transform(table)
        inputs = {name: torch.from_numpy(getattr(encoded, name)) for name in ("numeric", "categorical", "mask")}
        if not self.in_parts:
            return self._decided(self._whole(inputs, table.index.tolist()))
        if self.embeddings is not None:
            inputs["embedding"] = self.embeddings[torch.from_numpy(table.index.to_numpy(copy=True))]
        size = max(1, LARGEST // len(self.classes_))
        parts = (
            {name: own[start : start + size] for name, own in inputs.items()} for start in range(0, len(table), size)
        )
        logits = (self.inference.run(self._classified, [part], self.network) for part in parts)
        return np.concatenate([self._decided(found) for found in logits])

    def _whole(self, inputs: dict[str, torch.Tensor], rows: list[int]) -> torch.Tensor:
        """Return logits (N, K) of test specimens with other metadata."""
        specimens, size = self.data.dataset([splits.TEST]), self.inference.batch_size
        batches = [
            {
                **specimens.__getitems__(rows[start : start + size]),
                **{key: own[start : start + size] for key, own in inputs.items()},
            }
            for start in range(0, len(rows), size)
        ]
        images = (
            self.data.image_transform(self.data.run.experiment.training.augmentation) if self.data.uses_images else None
        )
        return self.inference.run(self.network, batches, self.network, images=images)

    def _decided(self, logits: torch.Tensor) -> np.ndarray:
        return (self.data.loss().prior_logits(logits) if self.under_prior else logits).argmax(1).numpy()

    def _classified(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return logits (N, K) of metadata, with the image embeddings (N, E) in ``embedding`` if there are any."""
        if self.embeddings is None:
            joint = self.network.metadata_encoder(inputs)
        else:
            joint = self.network.join(inputs["embedding"], inputs)
        return self.network.classifier(joint)


def _embeddings(data: PreparedData, network: Any, inference: Inference) -> torch.Tensor:
    """Return image embeddings (N, E) of the test split."""
    transform = data.image_transform(data.run.experiment.training.augmentation)
    batches = make_loader(data.dataset([splits.TEST]), inference.batch_size, shuffle=False)
    encoder = network.image_encoder

    def embedded(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        found: torch.Tensor = encoder(batch["image"]) if "image" in batch else encoder.of_features(batch)
        return found

    return inference.run(embedded, batches, network, images=transform)
