"""evaluation/baselines.json: simple baselines beside a run's own network."""

from __future__ import annotations

from typing import Any

from ._base import Artifact, Part


class BaselineLine(Part):
    """One baseline.

    Attributes:
        words: what it is.
        test: its scores on the test split, None where it has none.
        failed: whether trying it ended with an error.
        note: why it has no scores, or a reservation; may be empty.
    """

    name: str
    words: str
    test: dict[str, float] | None
    failed: bool
    note: str


class Baselines(Artifact):
    """The file.

    Attributes:
        prepared: key of the run's prepared data.
        decision, wanted, seed: settings that it was made with.
        learned_validation: whether they learned from the validation split; None in files that do not say it.
    """

    prepared: str
    decision: str = ""
    wanted: str | list[str] = ""
    seed: int | None = None
    learned_validation: bool | None = None
    lines: list[BaselineLine]

    def made_with(self, facts: dict[str, Any]) -> bool:
        """Whether it was made with these values of its other keys, as far as it says."""
        said = {"learned_validation": facts["learned_validation"], **self.record()}
        return all(said.get(key) == value for key, value in facts.items())
