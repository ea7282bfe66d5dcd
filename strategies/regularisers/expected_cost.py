"""Expected cost of the architecture. Cai et al., ProxylessNAS, arXiv 1812.00332; Wu et al., FBNet, arXiv 1812.03443."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from bioautoml_nni.architecture.budgets import BUDGETS
from bioautoml_nni.utils.numbers import NonNegative

from ..relaxations._base import Relaxation
from ._base import Regulariser

Unit = Literal["parameters", "flops", "latency"]


class ExpectedCost(Regulariser):
    """Sum over all edges of share times cost, as a factor of the cost at uniform architecture weights, above `budget`.

    Args:
        unit: "parameters", "flops" of one specimen, or "latency" of one specimen, measured on this machine.
        budget: wanted share of the cost at uniform architecture weights; below it there is no penalty.
        weight: factor of what is above.
        target: instead of unit and budget, the limits of a place where the model will run ("trap", "pi", "station";
            `bioautoml_nni.architecture.budgets`): the penalty is the relative excess of the expected parameters
            and FLOPs of the searched edges. `derivation.target` makes the same limits hard.
    """

    needs_layers = True

    def __init__(
        self,
        unit: Unit = "flops",
        budget: NonNegative = 0.5,
        weight: NonNegative = 1.0,
        target: Literal["trap", "pi", "station"] | None = None,
    ) -> None:
        if target is not None and target not in BUDGETS:
            raise ValueError(f"target must be one of {', '.join(BUDGETS)}, not {target!r}")
        self.unit: Unit = unit
        self.budget = budget
        self.weight = weight
        self.target = target
        self._tables: dict[tuple[Unit, tuple[int, ...] | None], dict[str, Tensor]] = {}

    def table(self, supernet: nn.Module, unit: Unit | None = None) -> dict[str, Tensor]:
        """Return the cost of every candidate (O,) by label, summed over the cells that share the label.

        The shapes are those of the supernet's last forward pass; where images grow, so do FLOPs.

        Args:
            unit: the regulariser's own by default.
        """
        from ..supernet import MixedOperation

        unit = unit or self.unit
        edges = (module for module in supernet.modules() if isinstance(module, MixedOperation))
        shapes = (edge.input_shape[1:] for edge in edges if edge.input_shape is not None)
        key = unit, next(shapes, None)  # all shapes follow from the first one
        if key not in self._tables:
            found: dict[str, Tensor] = {}
            for module in supernet.modules():
                if isinstance(module, MixedOperation) and module.input_shape is not None:
                    cost = torch.tensor([self._cost(module[name], module.input_shape, unit) for name in module.names])
                    label = str(module.label)
                    found[label] = found[label] + cost if label in found else cost
            self._tables[key] = found
        return self._tables[key]

    def penalty(
        self, supernet: nn.Module, alphas: Mapping[str, Tensor], relaxation: Relaxation, progress: float
    ) -> Tensor:
        if self.target is not None:
            limits = BUDGETS[self.target]
            over = torch.zeros(())
            pairs: tuple[tuple[Unit, float | None], ...] = (
                ("parameters", limits.parameters),
                ("flops", limits.flops),
            )
            for unit, limit in pairs:
                if limit is not None:
                    expected = _expected(self.table(supernet, unit), alphas, relaxation)
                    over = over.to(expected) + (expected / limit - 1).clamp_min(0)
            return self.weight * over
        table = self.table(supernet)
        equal = sum(float(cost.mean()) for cost in table.values())
        if equal == 0:
            return torch.zeros(())
        return self.weight * (_expected(table, alphas, relaxation) / equal - self.budget).clamp_min(0)

    @torch.no_grad()
    def _cost(self, candidate: nn.Module, shape: tuple[int, ...], unit: Unit) -> float:
        if unit == "parameters":
            return float(sum(parameter.numel() for parameter in candidate.parameters()))
        reference = next(candidate.parameters(), torch.zeros(()))
        example = torch.zeros(1, *shape[1:], device=reference.device)
        mode, training = candidate.training, candidate.eval()
        try:
            if unit == "flops":
                with FlopCounterMode(display=False) as counter:
                    training(example)
                return float(counter.get_total_flops())
            return _seconds(training, example)
        finally:
            candidate.train(mode)


def _expected(table: Mapping[str, Tensor], alphas: Mapping[str, Tensor], relaxation: Relaxation) -> Tensor:
    """Return the sum over all labels of share times cost."""
    parts = [(relaxation.probabilities(alphas[label]) * cost.to(alphas[label])).sum() for label, cost in table.items()]
    return torch.stack(parts).sum() if parts else torch.zeros(())


def _seconds(candidate: nn.Module, example: Tensor) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        candidate(example)
        if example.is_cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])
