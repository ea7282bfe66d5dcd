"""provenance.json: what a run was made from, by which versions and hardware, and which stages are done."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field

from ._base import Artifact, Part


class StageRecord(Part):
    """A stage that is done.

    Attributes:
        key: digest of the settings that it was done with.
        started: in UTC, as ISO 8601.
        command: that did it.
    """

    key: str
    started: str = ""
    seconds: float = 0.0
    command: str = ""


class KnownPlace(Part):
    """Where a teacher or an encoder's weights lie: as the run's experiment.yml has it, and when the run began."""

    written: str
    first: str


class Provenance(Artifact):
    """The file.

    Attributes:
        stages: those that are done, by name.
        data_root: the folder of the data when the run began, which the keys of its stages keep using.
        places: teachers and weights by their key of experiment.yml.
        data_sha256, images_sha256: digests of the prepared data and of the content of all images.
        origin: whose data they are, as the source tells.
        versions, hardware, seed: of the last stage; with a GPU, the hardware's ``gpu_memory_mb`` is the most that the
            process, the first of several, had held of one by then.

    >>> Provenance().with_entries(seed=7).record()
    {'seed': 7}
    """

    stages: dict[str, StageRecord] = Field(default_factory=dict)
    data_root: str | None = None
    places: dict[str, KnownPlace] = Field(default_factory=dict)
    data_sha256: str | None = None
    origin: dict[str, Any] = Field(default_factory=dict)
    images_sha256: str | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    hardware: dict[str, Any] = Field(default_factory=dict)
    seed: int | None = None

    def with_entries(self, **entries: Any) -> Self:
        """Return the same with other values of some keys."""
        return type(self).model_validate({**self.record(), **entries})
