"""Weights of a fixed network taken from a supernet, by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_EDGE = re.compile(r"^(image_encoder\.cells\.(\d+))\.edges\.(\d+)_(\d+)\.(.+)$")
_PROJECTION = re.compile(r"^(image_encoder\.cells\.(\d+))\.project\.0\.weight$")
_CHOSEN = (
    ("fusion.cells.", "fusion"),
    ("fusion.", "fusion"),
    ("image_encoder.read.", "stage"),
    ("image_encoder.path.", "embedding"),
)
"""Where a supernet's candidates stand one level deeper, and the label that says under which name."""


def inherited_state(network: Any, supernet: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the part of `network`'s state that `supernet` holds, and the names it does not hold in this shape.

    In the supernet an edge's candidates stand one level deeper, under their operation's name. The output projection
    of a cell loses the input channels of nodes that are no longer alive.
    """
    state: dict[str, Tensor] = {}
    missing: list[str] = []
    for name, value in network.state_dict().items():
        source = supernet.get(_supernet_name(network, name))
        if source is not None and (match := _PROJECTION.match(name)):
            source = _live_channels(source, network.image_encoder.cells[int(match[2])])
        if source is not None and name.startswith("classifier.") and source.dim() == 2:
            source = source[:, : value.shape[1]]  # without the trunk's embedding, which stands last
        if source is None or source.shape != value.shape:
            missing.append(name)
        else:
            state[name] = source.detach().clone()
    return state, missing


def _supernet_name(network: Any, name: str) -> str:
    if match := _EDGE.match(name):
        cell, index, source, target, rest = match.groups()
        edge = f"{source}_{target}"
        operation = network.image_encoder.cells[int(index)].operation_names[edge]
        return f"{cell}.edges.{edge}.{operation}.{rest}"
    choices = network.architecture.choices
    for prefix, label in _CHOSEN:
        if name.startswith(prefix) and label in choices:
            return f"{prefix}{choices[label].choice}.{name.removeprefix(prefix)}"
    return name


def _live_channels(weight: Tensor, cell: Any) -> Tensor:
    width = weight.shape[1] // cell.nodes
    return torch.cat([weight[:, (node - 1) * width : node * width] for node in cell.live_nodes], dim=1)
