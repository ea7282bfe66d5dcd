"""Features of a teacher that a student learns to give too, besides its logits. Romero et al., FitNets, arXiv 1412.6550.

A linear projection from the student's features to the teacher's is learned with the student, and thrown away with the
training: it is not part of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..utils.errors import PluginError

FEATURES = "teacher_features"
"""What a batch has of them."""


@dataclass(frozen=True)
class Standard:
    """Makes each of D features have mean 0 and variance 1 over the training split, so that all count alike.

    Attributes:
        mean, std: (D,) float32; a feature that does not vary has a std of 1.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> Standard:
        """Return the one for features (n, D)."""
        std = values.std(0, dtype=np.float64)
        constant = std <= 1e-6 * np.abs(values).max(0, initial=0)
        return cls(values.mean(0, dtype=np.float64).astype(np.float32), np.where(constant, 1, std).astype(np.float32))

    def __call__(self, values: Tensor) -> Tensor:
        """Return features (n, D) as float32."""
        mean, std = (torch.from_numpy(each).to(values.device) for each in (self.mean, self.std))
        return (values.float() - mean) / std


@dataclass(frozen=True)
class KnownFeatures:
    """Features of a teacher that was asked before.

    Attributes:
        values: (V, N, D) float16 of all rows, for the plain image (V = 1) or every stored view.
        standard: of the training split.
    """

    values: np.ndarray
    standard: Standard

    def batch(self, rows: np.ndarray, view: int) -> dict[str, Tensor]:
        """Return what a batch of rows (n,) has of them."""
        found = torch.from_numpy(self.values[view if len(self.values) > 1 else 0, rows])
        return {FEATURES: self.standard(found)}


class ClassifierInput:
    """Reads what a network's classifier gets: the features on which it decides.

    Args:
        network: with a module `classifier`, which a batch goes through once in every pass.
        where: that a message begins with.

    Raises:
        PluginError: if it has none.
    """

    def __init__(self, network: nn.Module, where: str) -> None:
        self.where = where
        classifier = getattr(network, "classifier", None)
        if not isinstance(classifier, nn.Module):
            raise PluginError(
                f"{where}: {type(network).__name__} has no module called classifier, before which features could be "
                "read; set features to 0."
            )
        linear = (module.in_features for module in classifier.modules() if isinstance(module, nn.Linear))
        self.width: int | None = next(linear, None)
        """Number of features, where the classifier tells it."""
        self._features: Tensor | None = None
        classifier.register_forward_pre_hook(self._read)

    def _read(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._features = inputs[0]

    def taken(self) -> Tensor:
        """Return the features (N, D) of the batch that went through the network last, and forget them.

        Raises:
            PluginError: if none went through its classifier.
        """
        features, self._features = self._features, None
        if features is None:
            raise PluginError(
                f"{self.where}: the network's forward pass does not use its classifier; set features to 0."
            )
        return features.flatten(1)


class FeatureProjection(nn.Module):
    """Maps a student's features to those of its teacher, while the student is trained.

    Args:
        student: a network with a linear `classifier`.
        features: of the teacher.

    Raises:
        PluginError: if the student has none.
    """

    def __init__(self, student: nn.Module, features: int) -> None:
        super().__init__()
        self.read = ClassifierInput(student, "distillation.features")
        if self.read.width is None:
            raise PluginError(
                f"distillation.features: the classifier of {type(student).__name__} has no linear layer that says how "
                "many features it gets; set features to 0."
            )
        self.linear = nn.Linear(self.read.width, features)

    def forward(self) -> Tensor:
        """Return projected features (N, D) of the batch that went through the student last."""
        projected: Tensor = self.linear(self.read.taken())
        return projected


def feature_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of features (N, D): for standardised ones the share that is not explained."""
    return functional.mse_loss(student.float(), teacher.float())
