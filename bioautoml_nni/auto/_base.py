"""The contract of plug-in kind `candidates`: rows of `bioautoml compare` that `bioautoml auto` may try."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..config import Experiment
from ..data import splits


@dataclass(frozen=True)
class Work:
    """What a candidate is asked to learn from.

    Attributes:
        experiment: as it is tried by all candidates.
        specimens: number by part.
        classes: number of classes.
        metadata_columns: that are used, 0 without metadata.
        image_size: edge of the decoded images in pixels, 0 without images.
        teacher: table of what the networks so far would teach together, None before there is one.
        outgrown: whether candidates are too large for the device.
    """

    experiment: Experiment
    specimens: Mapping[str, int]
    classes: int
    metadata_columns: int
    image_size: int
    teacher: Path | None = None
    outgrown: bool = False

    @property
    def trained(self) -> int:
        """Specimens of weights-train and alpha-train together."""
        return self.specimens[splits.WEIGHTS] + self.specimens[splits.ALPHA]

    @property
    def total(self) -> int:
        """Specimens of all parts."""
        return sum(self.specimens.values())


class Candidate(ABC):
    """A row of `bioautoml compare` with what it needs, what it takes, and the settings that suit it.

    A plug-in states the attributes plainly in its class, so that it is listed and left out without being imported.

    Attributes:
        row: method, a name or ``name:argument``; a candidate whose method is not installed is left out.
        needs: "image", "metadata" (what the data must have), "teacher" (networks that were tried before), or "outgrown"
            (a device that has no room for some candidates, which then are tried as teachers where they are quick).
        requires: plug-ins without which it is left out, each ``kind:name``.
        baseline: whether it is only shown for comparison and never chosen.
        priority: candidates with a smaller number are tried first, and among equal ones the quickest; 0 is for what
            brings most for its time, 1 for a further seed of such, 2 for what starts from nothing.
        least: smallest share of its full length at which it is worth its time; 1 where it cannot be shortened.
        training_share: share of its time that goes into the training of the final network.
        refit_share: share of its time that comes after that: a repetition with the validation split.
        kind: of candidates that train the same way, so that their scores compare early: where time is too short for
            all of a kind, the worse ones stop early (`auto/halving.py`). Empty for one that stands for itself.
    """

    row: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    requires: ClassVar[tuple[str, ...]] = ()
    baseline: ClassVar[bool] = False
    priority: ClassVar[int] = 0
    least: ClassVar[float] = 1.0
    training_share: ClassVar[float] = 0.8
    refit_share: ClassVar[float] = 0.0
    kind: ClassVar[str] = ""

    @abstractmethod
    def seconds(self, work: Work) -> float:
        """Return how long it takes at full length, on the two CPU cores that the constants below were measured on."""

    def settings(self, work: Work, share: float) -> Mapping[str, Any]:
        """Return dotted keys that it changes beside those of its row.

        Args:
            share: of its full length that there is time for; 1 is all of it.
        """
        return {}

    def begun(self, share: float) -> float:
        """Return the share of its time after which that share of the final network's training is done."""
        return 1 - self.refit_share - self.training_share * (1 - share)

    def cost(self, work: Work) -> tuple[float, float] | None:
        """Return the parameters and FLOPs of one specimen that it has at least, where they are known before."""
        return None


def scaled_epochs(epochs: int, share: float, at_least: int) -> int:
    """Return a number of epochs for a share of their time."""
    return max(min(at_least, epochs), round(epochs * min(1.0, share)))
