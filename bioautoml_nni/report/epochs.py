"""The cells after each epoch of a search, from the architecture weights in its history."""

from __future__ import annotations

import numpy as np

from ..architecture import Architecture, derive
from ..architecture.draw import draw
from ..architecture.weights import with_positions
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData


def architectures_of_epochs(run: RunDirectory, data: PreparedData) -> list[tuple[int, Architecture]]:
    """Return the architecture that each epoch's largest architecture weights would have given, without a budget.

    Returns:
        Epochs, counted from 1; empty for a run that did not search cells or did so for one epoch only.
    """
    entries = [(epoch.number + 1, own) for epoch in run.history("search") if (own := epoch.arch_weights) is not None]
    topology = data.topology()
    if not topology.cells or not run.experiment.derivation.searched or len(entries) < 2:
        return []
    space = Architecture.load(run / "architecture.json").space
    return [(number, derive(topology, with_positions(own, topology), space)) for number, own in entries]


def drawings_of_epochs(found: list[tuple[int, Architecture]]) -> list[tuple[int, str]]:
    """Return each epoch with the SVG of its cells, weights as the widths of the lines."""
    return [(epoch, draw(architecture)) for epoch, architecture in found]


def evenly_spread(drawings: list[tuple[int, str]], most: int) -> list[tuple[int, str]]:
    """Return `most` of the drawings at most, the first and the last among them."""
    chosen = np.unique(np.linspace(0, len(drawings) - 1, min(most, len(drawings))).round().astype(int))
    return [drawings[index] for index in chosen]
