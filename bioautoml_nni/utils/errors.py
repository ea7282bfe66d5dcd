"""Errors that a user can act on: one sentence with the file, row or key, and the way out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence


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


class EncoderError(BioAutoMLError):
    """A pretrained encoder whose weights are missing, damaged or another network's."""


class PluginError(BioAutoMLError):
    """A plug-in that is unknown, cannot be imported or breaks its kind's contract."""


class RunDirectoryError(BioAutoMLError):
    """A run directory that is missing a stage's input or belongs to another experiment."""


class DivergenceError(BioAutoMLError):
    """A loss that is not finite; the search goes back to its last completed epoch with a lower rate."""


class ArchitectureError(BioAutoMLError):
    """An architecture file that is malformed or does not fit its search space."""


class ExportError(BioAutoMLError):
    """A model that cannot be exported, or an exported one that cannot be used."""


class ClusterError(BioAutoMLError):
    """A cluster that cannot be joined, or shards that failed on it."""


def in_one_line(error: BaseException) -> str:
    """Return what an error says, in one line and not for ever; one that cannot say it has no text."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return " ".join(text.split())[:300] or "without a text"


FULL_DISK = "The disk is full; make room and give the same command again: it continues with what is complete."
FULL_DISK_WORDS = (
    "disk is full", "No space left", "PytorchStreamWriter failed writing",
    "basic_ios::clear: iostream error", "] . unexpected pos ",
)  # fmt: skip
"""What SQLite and torch's writers of checkpoints and of exported programs say of it."""
KILLED_WORKER = (
    "A process that reads images was killed, as a system does that runs out of memory; close other programs or lower "
    "batch_size, and give the same command again: it resumes from the last completed epoch."
)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Give an error and those behind it, each once: a chain may lead back to where it began."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def place_cause(error: BaseException | None) -> str | None:
    """Return a sentence if an error, or one behind it, is that the system does not let us read or write a file."""
    for found in causes(error):
        if isinstance(found, OSError) and isinstance(found.filename, str | bytes) and found.strerror:
            name = os.fsencode(found.filename).decode("utf-8", "replace")
            return f"{name}: {found.strerror}; check that it may be read or written, or name another place."
    return None


def outside_cause(error: BaseException | None) -> str | None:
    """Return a sentence if an error, or one behind it, comes from the machine and not from us or our input.

    The system says by a number that there is no room to write; SQLite and torch's writer of checkpoints say it only in
    words, and so does torch's loader of a worker that is gone.
    """
    for found in causes(error):
        said = str(found)
        if isinstance(found, OSError) and found.errno in (errno.ENOSPC, errno.EDQUOT):
            return FULL_DISK
        if any(words in said for words in FULL_DISK_WORDS):
            return FULL_DISK
        if "DataLoader worker" in said and ("killed by signal" in said or "exited unexpectedly" in said):
            return KILLED_WORKER
    return None
