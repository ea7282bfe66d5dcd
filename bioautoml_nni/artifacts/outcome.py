"""search/outcome.json: how a search ended, or with which rate a search goes on whose loss was not finite."""

from __future__ import annotations

from ._base import Artifact


class SearchOutcome(Artifact):
    """The file.

    Attributes:
        stopped: which guard ended the search, and when; None if it ran to its end.
        rate_factor: by how much the learning rate was lowered.

    >>> SearchOutcome(rate_factor=0.5).record()
    {'rate_factor': 0.5}
    """

    stopped: str | None = None
    rate_factor: float = 1.0
