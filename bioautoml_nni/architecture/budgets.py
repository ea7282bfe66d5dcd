"""Budgets of the places where a model may run."""

from __future__ import annotations

from dataclasses import dataclass

LARGEST_SIDE = 1024
"""Side of the largest square that a network may see, in pixels."""


@dataclass(frozen=True)
class Budget:
    """What a model may cost.

    Attributes:
        parameters: most trained numbers, None without a limit.
        flops: most floating-point operations for one specimen (a multiplication and an addition count as two), None
            without a limit.
    """

    parameters: float | None
    flops: float | None

    def overrun(self, parameters: float, flops: float) -> float:
        """Return by what share the limits are exceeded, summed over them; 0 for what fits."""
        pairs = ((parameters, self.parameters), (flops, self.flops))
        return sum(max(0.0, cost / limit - 1) for cost, limit in pairs if limit is not None)

    def tightened(self, other: Budget) -> Budget:
        """Return the budget that keeps the limits of both."""

        def lower(first: float | None, second: float | None) -> float | None:
            return min((limit for limit in (first, second) if limit is not None), default=None)

        return Budget(lower(self.parameters, other.parameters), lower(self.flops, other.flops))

    def excess(self, parameters: int, flops: int) -> list[str]:
        """Return one phrase for each limit that is broken."""
        broken = []
        if self.parameters is not None and parameters > self.parameters:
            broken.append(f"{parameters:,} parameters, at most {self.parameters:,.0f}")
        if self.flops is not None and flops > self.flops:
            broken.append(f"{flops / 2e9:.3g} GMACs, at most {self.flops / 2e9:.3g}")
        return broken


BUDGETS = {
    "trap": Budget(3_000_000, 0.6e9),
    "pi": Budget(6_000_000, 0.8e9),
    "station": Budget(30_000_000, 10e9),
}
"""A camera trap's own processor (0.3 GMACs), a small single-board computer (0.4) and a field station's computer (5)."""
