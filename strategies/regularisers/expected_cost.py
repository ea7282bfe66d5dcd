"""Expected cost of the architecture. Cai et al., ProxylessNAS, arXiv 1812.00332; Wu et al., FBNet, arXiv 1812.03443."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..relaxations._base import Relaxation
from ._base import Regulariser


class ExpectedCost(Regulariser):
    """Sum over all edges of share times cost, as a factor of the cost at equal shares, above `budget`.

    Args:
        unit: "parameters", "flops" of one specimen, or "latency" of one specimen, measured on this machine.
        budget: wanted share of the cost at equal shares; below it there is no penalty.
        weight: factor of what is above.
    """

    def __init__(
        self, unit: Literal["parameters", "flops", "latency"] = "flops", budget: float = 0.5, weight: float = 1.0
    ) -> None:
        self.unit = unit
        self.budget = budget
        self.weight = weight
        self._table: dict[str, Tensor] | None = None

    def table(self, supernet: nn.Module) -> dict[str, Tensor]:
        """Return the cost of every candidate (O,) by label, summed over the cells that share the label.

        The shapes are those of the supernet's last forward pass.
        """
        if self._table is None:
            from ..supernet import MixedOperation

            found: dict[str, Tensor] = {}
            for module in supernet.modules():
                if isinstance(module, MixedOperation) and module.input_shape is not None:
                    cost = torch.tensor([self._cost(module[name], module.input_shape) for name in module.names])
                    label = str(module.label)
                    found[label] = found[label] + cost if label in found else cost
            self._table = found
        return self._table

    def penalty(
        self, supernet: nn.Module, alphas: Mapping[str, Tensor], relaxation: Relaxation, progress: float
    ) -> Tensor:
        table = self.table(supernet)
        equal = sum(float(cost.mean()) for cost in table.values())
        if equal == 0:
            return torch.zeros(())
        parts = [(relaxation.shares(alphas[label]) * cost.to(alphas[label])).sum() for label, cost in table.items()]
        return self.weight * (torch.stack(parts).sum() / equal - self.budget).clamp_min(0)

    @torch.no_grad()
    def _cost(self, candidate: nn.Module, shape: tuple[int, ...]) -> float:
        if self.unit == "parameters":
            return float(sum(parameter.numel() for parameter in candidate.parameters()))
        reference = next(candidate.parameters(), torch.zeros(()))
        example = torch.zeros(1, *shape[1:], device=reference.device)
        mode, training = candidate.training, candidate.eval()
        try:
            if self.unit == "flops":
                with FlopCounterMode(display=False) as counter:
                    training(example)
                return float(counter.get_total_flops())
            return _seconds(training, example)
        finally:
            candidate.train(mode)


def _seconds(candidate: nn.Module, example: Tensor) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        candidate(example)
        if example.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])
