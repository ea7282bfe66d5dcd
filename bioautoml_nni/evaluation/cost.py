"""What a network costs: parameters and operations of one specimen's prediction."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_flops(network: nn.Module, batch: Mapping[str, Tensor]) -> int:
    """Return floating-point operations of one specimen (a multiplication and an addition count as two).

    Convolutions and matrix products are counted, as torch's own counter does.
    """
    one = {name: value[:1] for name, value in batch.items()}
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.eval()(one)
    return int(counter.get_total_flops())
