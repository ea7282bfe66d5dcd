"""history.jsonl: one line per epoch of a training or a search."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..utils.atomic import write_text
from ..utils.own_files import read_json_lines, reading
from .versions import KEY, require_known_version


@dataclass(frozen=True, eq=False)  # it equals any mapping of the same numbers
class Epoch(Mapping[str, Any]):
    """One line: numbers by name, which are those that the training logged, and in a search the architecture weights.

    Which numbers there are is up to losses, schedules and callbacks, so that they are looked up by name.

    Attributes:
        values_by_name: all of the line but its version.

    >>> epoch = Epoch({"epoch": 4, "val_loss": 0.25})
    >>> epoch.number, epoch["val_loss"], epoch.score(), epoch.arch_weights
    (4, 0.25, None, None)
    """

    values_by_name: Mapping[str, Any]

    VERSION: ClassVar[int] = 1

    def __getitem__(self, name: str) -> Any:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    @property
    def number(self) -> int:
        """The epoch, counted from 0."""
        return int(self.values_by_name["epoch"])

    @property
    def arch_weights(self) -> Mapping[str, Mapping[str, float]] | None:
        """The architecture weights of every choice at its end; None for a line of a training."""
        return self.values_by_name.get("shares")

    def score(self, name: str = "val_macro_f1") -> float | None:
        """A validation score, None where the epoch was not scored."""
        found = self.values_by_name.get(name)
        return None if found is None else float(found)


def read_history(path: Path) -> list[Epoch]:
    """Return the epochs of a history file, oldest first; an empty list if there is none.

    Raises:
        RunDirectoryError: if a line is damaged, or has a version that is not known.
    """
    found = []
    for line in read_json_lines(path) if path.is_file() else ():
        with reading(path):
            if not isinstance(line, dict) or "epoch" not in line:
                raise ValueError("a line of it has no epoch")
        require_known_version(line, path, Epoch.VERSION)
        line.pop(KEY, None)
        found.append(Epoch(line))
    return found


def write_history(path: Path, epochs: Sequence[Mapping[str, Any]]) -> None:
    """Write the epochs of a history file, atomically."""
    write_text(path, "".join(json.dumps({KEY: Epoch.VERSION, **epoch}) + "\n" for epoch in epochs))
