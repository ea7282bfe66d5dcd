"""What takes part in a comparison."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..runs.prepared import PreparedData


class RunContender(ABC):
    """A row that is a run of the whole job with a few settings changed.

    Args:
        argument: what stands after the colon in ``name:argument``, such as the name of a timm network.
    """

    def __init__(self, argument: str | None = None) -> None:
        self.argument = argument

    @abstractmethod
    def settings(self, seed: int) -> Mapping[str, Any]:
        """Return dotted keys of experiment.yml with their values; the seed itself is set by the comparison."""


@dataclass(frozen=True)
class Prediction:
    """What a `PredictingContender` returns: probabilities (N, K) of the test part, and its number of parameters."""

    probabilities: np.ndarray
    parameters: int | None


class PredictingContender(ABC):
    """A row that is no network of ours: it gets the prepared data and predicts the test part."""

    @abstractmethod
    def predict(self, data: PreparedData, seed: int) -> Prediction:
        """Train on weights-train and alpha-train, and return probabilities of the test part in the data's order."""
