"""The cells after each epoch of a search, drawn from the shares in its history."""

from __future__ import annotations

import numpy as np

from ..architecture import Architecture, derive
from ..architecture.draw import draw
from ..architecture.shares import with_positions
from ..pipeline.prepared import PreparedData
from ..pipeline.run_directory import RunDirectory
from ..registry import get
from ..training.history import read_history


def drawings_of_epochs(run: RunDirectory, data: PreparedData, most: int | None = None) -> list[tuple[int, str]]:
    """Draw the architecture that would have been derived after each epoch, shares as the widths of its lines.

    Args:
        most: how many epochs, evenly spread, the first and the last among them; None means all.

    Returns:
        Epochs, counted from 1, with their SVG; empty for a run that did not search cells or did so for one epoch only.
    """
    entries = [entry for entry in read_history(run / "search/history.jsonl") if "shares" in entry]
    section = run.experiment.space
    topology = get("search_spaces", section.name).target(**data.space_inputs(), **section.arguments).topology()
    if not topology.cells or not run.experiment.derivation.searched or len(entries) < 2:
        return []
    space = Architecture.load(run / "architecture.json").space
    chosen = np.unique(np.linspace(0, len(entries) - 1, min(most or len(entries), len(entries))).round().astype(int))
    return [
        (entries[index]["epoch"] + 1, draw(derive(topology, with_positions(entries[index]["shares"], topology), space)))
        for index in chosen
    ]
