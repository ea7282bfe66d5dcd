"""What can be read off the shares of a search: how many skips are preferred, and how decided a choice is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .topology import Topology


def skip_counts(shares: Mapping[str, Mapping[str, float]], skips: frozenset[str]) -> dict[str, int]:
    """Return for each kind of cell the number of edges whose strongest operation is a skip connection."""
    counts: dict[str, int] = {}
    for label, values in shares.items():
        kind = str(label).partition("_edge_")[0]
        counts[kind] = counts.get(kind, 0) + (max(values, key=lambda name: values[name]) in skips)
    return counts


def entropy(shares: Mapping[str, float]) -> float:
    """Return the entropy of shares in nats; log(number of candidates) at most."""
    return -sum(share * math.log(share) for share in shares.values() if share > 0)


def with_positions(shares: Mapping[str, Mapping[str, float]], topology: Topology) -> dict[str, dict[Any, float]]:
    """Return shares as JSON keeps them with the numbers of input states as numbers again."""
    nodes = {label for cell in topology.cells.values() for label in cell.node_labels.values()}
    return {
        label: {int(name) if label in nodes else name: share for name, share in own.items()}
        for label, own in shares.items()
    }
