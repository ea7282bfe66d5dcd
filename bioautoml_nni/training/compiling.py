"""Compilation of a network's passes by torch.compile, tried on one batch before training relies on it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)

BACKEND = "inductor"
"""What torch.compile makes of the network."""


def compiled_passes(network: nn.Module, batch: Mapping[str, Tensor]) -> Callable[[dict[str, Tensor]], Tensor]:
    """Return what computes the network's passes, compiled if that is possible.

    The passes of the batch are made here once, forward and backward, since a missing compiler shows only then;
    parameters, statistics and random numbers stay as they were.

    Args:
        network: in training mode, without gradients.
        batch: its input.
    """
    state = {name: value.clone() for name, value in network.state_dict().items()}
    passes: Any = torch.compile(network, backend=BACKEND)
    try:
        with torch.random.fork_rng():
            passes(dict(batch)).float().sum().backward()
    except Exception as error:  # whatever compilers and backends raise
        reason = " ".join(str(error).strip().splitlines()[:2]) or type(error).__name__
        logger.warning("training continues without torch.compile: %s", reason)
        return network.__call__
    finally:
        network.zero_grad(set_to_none=True)
        network.load_state_dict(state)
    return passes.__call__  # a module would become a part of whatever keeps it
