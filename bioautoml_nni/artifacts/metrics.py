"""evaluation/metrics.json: how good a network is on the test split."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ._base import Artifact, Part


class SplitSummary(Part):
    """How specimens were dealt out, and how many there are in each split."""

    method: str
    group: str | None
    scored: str
    sizes: dict[str, int]


class Headline(Part):
    """The three scores that are told first."""

    accuracy: float
    balanced_accuracy: float
    macro_f1: float


class MajorityBaseline(Headline):
    """The scores of always answering the most frequent training class, `answer`."""

    answer: str = Field(alias="class")


class Mean(Part):
    """Precision, recall and F1 as a mean over classes."""

    precision: float
    recall: float
    f1: float


class ClassesOfSize(Part):
    """The same over classes of a range of training sizes; None where none of them has test specimens."""

    classes: int
    precision: float | None
    recall: float | None
    f1: float | None


class RankScores(Part):
    """The scores at a coarser rank, with the number of its taxa."""

    classes: int
    accuracy: float
    macro_f1: float


class Metrics(Artifact):
    """The file.

    Attributes:
        split: whose test specimens were scored.
        classes_in_test: how many of the classes have test specimens.
        decision: which prior the answers are decided under.
        brand: a warning that every output has to carry, empty if there is none.
        macro, weighted: means over classes, each counting the same, or as often as it occurs.
        intervals: low and high of each score, and what they were made of.
        by_training_size: means over head, medium and tail classes.
        by_rank: scores at coarser ranks.
        ablations: scores with changed metadata, by what was done to them.
        prediction_sets, open_set, metadata_importance: None where they do not apply, and in the oldest files.
        parameters, flops: of the network, and of one specimen's prediction.
    """

    rank: str
    split: SplitSummary
    classes: int
    classes_in_test: int
    modalities: list[str]
    metadata_columns: list[str]
    seed: int
    decision: str
    brand: str
    majority_baseline: MajorityBaseline
    accuracy: float
    balanced_accuracy: float
    macro: Mean
    weighted: Mean
    top5_accuracy: float
    intervals: dict[str, Any]
    by_training_size: dict[str, ClassesOfSize]
    by_rank: dict[str, RankScores]
    most_confused: list[dict[str, Any]]
    confusion: dict[str, Any] = Field(default_factory=dict)
    ablations: dict[str, Headline]
    calibration: dict[str, Any]
    prediction_sets: dict[str, Any] | None = None
    open_set: dict[str, Any] | None = None
    metadata_importance: dict[str, Any] | None = None
    parameters: int
    flops: int

    @property
    def headline(self) -> Headline:
        """The network's own three scores."""
        return Headline(accuracy=self.accuracy, balanced_accuracy=self.balanced_accuracy, macro_f1=self.macro.f1)

    def shown(self) -> dict[str, Any]:
        """Return every key, those of older files that are missing as None, for templates."""
        return self.model_dump(by_alias=True)
