"""Guards: when a search has to stop, and which architecture it then keeps.

A search that turns towards skip connections rarely comes back (DARTS+, arXiv 1909.06035, stops at two skips per cell).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bioautoml_nni.architecture.shares import entropy, skip_counts


@dataclass(frozen=True)
class Guards:
    """Limits of a search; None switches one off.

    Attributes:
        most_skips: edges of one kind of cell that may have a skip connection as their strongest operation; choices of
            the whole space, where it is not made of cells.
        least_entropy: mean entropy of the shares, in nats, below which the architecture counts as decided.
    """

    most_skips: int | None = None
    least_entropy: float | None = None

    def reason_to_stop(
        self, shares: Mapping[str, Mapping[str, float]], skips: frozenset[str] | Mapping[str, frozenset[str]]
    ) -> str | None:
        """Return in words why to stop at these shares, or None.

        Args:
            shares: of all choices of operations, by label.
            skips: names of skip connections, of all choices or by label.
        """
        if self.most_skips is not None:
            for kind, count in skip_counts(shares, skips).items():
                if count > self.most_skips:
                    limit = f"more than most_skips={self.most_skips}"
                    where = f"edges of the {kind} cell" if kind else "choices of the space"
                    return f"{count} {where} prefer a skip connection, {limit}"
        if self.least_entropy is not None and shares:
            mean = sum(entropy(values) for values in shares.values()) / len(shares)
            if mean < self.least_entropy:
                return f"the mean entropy of the shares fell to {mean:.3f}, below least_entropy={self.least_entropy}"
        return None

    def unsound(
        self, shares: Mapping[str, Mapping[str, float]], skips: frozenset[str] | Mapping[str, frozenset[str]]
    ) -> bool:
        """Whether the architecture itself is what the guard is against, so that an earlier one is kept."""
        limit = self.most_skips
        return limit is not None and any(count > limit for count in skip_counts(shares, skips).values())
