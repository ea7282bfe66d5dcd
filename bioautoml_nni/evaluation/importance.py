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
from ..runs.networks import outputs_for_all
from ..runs.prepared import PreparedData
from ..training.group import current_group
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
    most `MAX_ROWS` test specimens. Latitude and longitude are exchanged apart. Empty without metadata. In a group each
    process exchanges its share of the columns, whose numbers do not depend on the others, and all get the whole.

    Args:
        under_prior: decide under the training prior rather than as the loss was balanced for.
        inference: where and how the network is asked; by default what this machine offers.
    """
    if not data.metadata_columns:
        return {}
    inference, group = inference or Inference.on_this_machine(), current_group()
    names = data.metadata_columns if group is None else data.metadata_columns[group.rank :: group.size]
    with inference.hosting(network):
        found = _importance(_Answers(data, network, under_prior, inference), names)
    if group is not None:
        found = {name: scores for part in group.gather(found) for name, scores in part.items()}
    return {name: found[name] for name in data.metadata_columns}


def _importance(answers: _Answers, names: list[str]) -> dict[str, dict[str, float]]:
    """Return the importance of some columns."""
    if not names:
        return {}
    data, table = answers.data, answers.table
    found = permutation_importance(
        answers, table[names], data.targets_of(splits.TEST), scoring="f1_macro", n_repeats=REPEATS,
        random_state=derive_seed(data.run.experiment.seed, "importance") % 2**32,
        max_samples=min(MAX_ROWS, len(table)),
    )  # fmt: skip
    return {
        name: {"mean": float(mean), "std": float(deviation)}
        for name, mean, deviation in zip(names, found.importances_mean, found.importances_std, strict=True)
    }


class _Answers(ClassifierMixin, BaseEstimator):
    """The network as scikit-learn asks it: metadata come as a table, image embeddings were computed before.

    Attributes:
        table: the metadata of the test split as they are.
    """

    def __init__(self, data: PreparedData, network: Any, under_prior: bool, inference: Inference) -> None:
        self.data = data
        self.network = network
        self.under_prior = under_prior
        self.inference = inference
        self.table = data.table[data.mask_of(splits.TEST)][data.metadata_columns].reset_index(drop=True)
        parts = ("image_encoder", "join", "classifier") if data.uses_images else ("metadata_encoder", "classifier")
        self.in_parts = all(hasattr(network, part) for part in parts)  # else the whole network is asked each time
        self.embeddings = _embeddings(data, network, inference) if data.uses_images and self.in_parts else None
        self.classes_ = np.arange(len(data.classes))

    def fit(self, table: pd.DataFrame, target: np.ndarray) -> _Answers:
        """Return itself; the network is trained already."""
        return self

    def predict(self, table: pd.DataFrame) -> np.ndarray:
        """Return class indices (N,) of test specimens, by the index of a table of other values of some columns."""
        whole = self.table.loc[table.index]
        whole[table.columns] = table
        table = whole
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
    """Return image embeddings (N, E) of the test split, of which each process of a group asks for its share."""
    encoder = network.image_encoder

    def embedded(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        found: torch.Tensor = encoder(batch["image"]) if "image" in batch else encoder.of_features(batch)
        return found

    return outputs_for_all(data, embedded, splits.TEST, network, inference=inference)
