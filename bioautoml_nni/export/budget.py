"""Budgets of the places where a model may run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    """What fits a target.

    Attributes:
        parameters: most trained numbers.
        gmacs: most thousand million multiplications with addition for one specimen.
    """

    parameters: int
    gmacs: float


BUDGETS = {
    "trap": Budget(3_000_000, 0.3),
    "pi": Budget(6_000_000, 0.4),
    "station": Budget(30_000_000, 5.0),
}
"""A camera trap's own processor, a small single-board computer, and a field station's computer."""


def excess(target: str, parameters: int, flops: int) -> list[str]:
    """Return one phrase for each limit that is broken; two FLOPs are one multiplication with addition."""
    budget, gmacs = BUDGETS[target], flops / 2e9
    broken = []
    if parameters > budget.parameters:
        broken.append(f"{parameters:,} parameters, at most {budget.parameters:,}")
    if gmacs > budget.gmacs:
        broken.append(f"{gmacs:.3f} GMACs, at most {budget.gmacs:g}")
    return broken
