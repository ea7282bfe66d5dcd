"""What takes part in a comparison."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runs.prepared import PreparedData


class RunMethod(ABC):
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
    """What a `PredictingMethod` returns.

    Attributes:
        probabilities: (N, K) of the test split.
        parameters: how many numbers it learned, None where that says nothing.
        validation: (M, K) of the validation split; `bioautoml auto` chooses by it.
        write_onnx: writes what was learned as a file that computes ``logits`` (N, K), log-probabilities but for a
            constant, from those of ``image``, ``numeric``, ``categorical`` and ``mask`` that it reads; None for what is
            no model to ship, such as a constant answer.
        modalities: what the file reads.
    """

    probabilities: np.ndarray
    parameters: int | None
    validation: np.ndarray | None = None
    write_onnx: Callable[[Path], None] | None = None
    modalities: tuple[str, ...] = ("metadata",)


class PredictingMethod(ABC):
    """A row that is not a network of ours: it gets the prepared data and predicts the test split."""

    @abstractmethod
    def predict(self, data: PreparedData, seed: int) -> Prediction:
        """Train on weights-train and alpha-train, and answer the test and the validation split in the data's order."""


RunContender, PredictingContender = RunMethod, PredictingMethod  # their names until 0.2, which packages may import
