"""What a network costs: parameters and operations of one specimen's prediction."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..data import splits
from ..data.dataset import make_loader
from ..runs.prepared import PreparedData


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


def measure_latency(network: nn.Module, batch: Mapping[str, Tensor], rounds: int = 30) -> float:
    """Return the median time in milliseconds of predicting one specimen on one CPU thread, after a warm-up.

    Args:
        network: on the CPU.
        batch: a batch of at least one specimen; only the first is used.
    """
    one = {name: value[:1] for name, value in batch.items()}
    threads, seconds = torch.get_num_threads(), []
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            network.eval()
            for number in range(rounds + 5):
                start = time.perf_counter()
                network(one)
                if number >= 5:
                    seconds.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return 1000 * statistics.median(seconds)


def one_specimen(data: PreparedData) -> dict[str, Tensor]:
    """Return a batch of the first training specimen, as a network takes it."""
    batch = next(iter(make_loader(data.as_images().dataset([splits.WEIGHTS]), 1, shuffle=False)))
    if "image" in batch:
        batch["image"] = batch["image"].float()
    return dict(batch)


def specimen_flops(data: PreparedData, network: nn.Module) -> int:
    """Return the operations of one specimen's prediction."""
    return count_flops(network, one_specimen(data))
