"""audit.json: what the audit says of a run's data, in sentences and in facts."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from ._base import Artifact, Part


class RemarkRecord(Part):
    """What is said in a sentence or two.

    Attributes:
        level: "refused", "warning" or "note".
        line: of experiment.yml, which answers it; None without one.
        sure: whether the answer needs no judgement.
    """

    level: str
    topic: str
    text: str
    line: str | None = None
    sure: bool = False


class ColumnRecord(Part):
    """What the screen says of a column; `kind` and `reason` are empty where there is none."""

    column: str
    verdict: str
    kind: str = ""
    reason: str = ""
    role: str


class Tail(Part):
    """Which classes have many, some and few training specimens."""

    head: list[str] = Field(default_factory=list)
    medium: list[str] = Field(default_factory=list)
    tail: list[str] = Field(default_factory=list)


class EventRecord(Part):
    """A hidden collecting event: the columns that name it, those that follow it, and how far the split ignores it."""

    key: list[str]
    columns: list[str]
    events: int
    share_of_test_in_training_events: float


class Side(Part):
    """The longest side of the images in pixels."""

    least: int
    median: int
    most: int


class TwinPair(Part):
    """Two images that are alike."""

    ids: list[str]
    labels: list[str]
    across_train_and_test: bool


class Twins(Part):
    """Pairs of images that are alike."""

    pairs: int
    images: int
    pairs_across_train_and_test: int
    test_images_with_a_twin_in_training: int
    pairs_with_different_labels: int
    examples: list[TwinPair]


class ImagesRecord(Part):
    """What the audit saw of the images; without any, only that none was looked at."""

    checked: int
    longest_side: Side | None = None
    smaller_than_32_px: int = 0
    first_of_several: int = 0
    exact_duplicates: Twins | None = None
    near_duplicates: Twins | None = None


class AuditRecord(Artifact):
    """The file.

    Attributes:
        verdict: "clean", "warnings" or "refused".
        specimens: that are learned from or tested.
        held_out: specimens by label that is kept for the open-set test.
        labels_dropped, labels_joined: specimens by label that was left out, or became another one.
        unreadable_images: how many; `unreadable` names the first thousand with the reason.
        groups_that_cross_into_test: None without groups.
        class_counts: specimens of each class by split.
        overridden: columns that are used against the audit's advice, with the user's reason.
        brand: a warning that every output has to carry, empty if there is none.
    """

    verdict: str = "clean"
    remarks: list[RemarkRecord] = Field(default_factory=list)
    rank: str = ""
    specimens: int
    held_out: dict[str, int] = Field(default_factory=dict)
    labels_dropped: dict[str, int] = Field(default_factory=dict)
    labels_joined: dict[str, int] = Field(default_factory=dict)
    unreadable_images: int = 0
    unreadable: list[dict[str, Any]] = Field(default_factory=list)
    split_sizes: dict[str, int]
    groups_that_cross_into_test: int | None = None
    class_counts: dict[str, dict[str, int]] = Field(default_factory=dict)
    tail: Tail = Tail()
    columns: list[ColumnRecord] = Field(default_factory=list)
    event: EventRecord | None = None
    images: ImagesRecord | None = None
    overridden: dict[str, str] = Field(default_factory=dict)
    brand: str = ""

    @model_validator(mode="before")
    @classmethod
    def _of_first_checkouts(cls, record: Any) -> Any:
        """Read what was written before there was a screen: roles by column, and notes."""
        if isinstance(record, dict) and isinstance(record.get("columns"), dict):
            columns = [{"column": name, "verdict": "pass", "role": role} for name, role in record["columns"].items()]
            remarks = [{"level": "note", "topic": "table", "text": note} for note in record.get("notes", ())]
            return {**record, "columns": columns, "remarks": remarks}
        return record
