"""Errors that a user can act on: one sentence with the file, row or key, and the way out."""

from __future__ import annotations

from collections.abc import Sequence


class BioAutoMLError(Exception):
    """Base of every error that the command line shows without a traceback (exit code 2)."""


class ConfigError(BioAutoMLError):
    """One or more mistakes in an experiment's configuration, all of them at once.

    Attributes:
        problems: one sentence per mistake, each starting with the dotted path of its key.
    """

    def __init__(self, problems: Sequence[str], origin: str = "experiment") -> None:
        self.problems = list(problems)
        count = len(self.problems)
        head = f"{origin}: {count} configuration {'mistake' if count == 1 else 'mistakes'}"
        super().__init__("\n".join([head, *(f"  - {problem}" for problem in self.problems)]))


class DataError(BioAutoMLError):
    """A table, image or folder that cannot be used as it is."""


class PluginError(BioAutoMLError):
    """A plug-in that is unknown, cannot be imported or breaks its kind's contract."""


class RunDirectoryError(BioAutoMLError):
    """A run directory that is missing a stage's input or belongs to another experiment."""


class DivergenceError(BioAutoMLError):
    """A loss that is not finite; the search goes back to its newest whole epoch with a lower rate."""


class ArchitectureError(BioAutoMLError):
    """An architecture file that is malformed or does not fit its search space."""


class ExportError(BioAutoMLError):
    """A model that cannot be exported, or an exported one that cannot be used."""
