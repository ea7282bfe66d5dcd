"""Guards: when a search has to stop, and which architecture it then keeps.

A search that turns towards skip connections rarely comes back (DARTS+, arXiv 1909.06035, stops at two skips per cell).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bioautoml_nni.architecture.weights import entropy, skip_counts


@dataclass(frozen=True)
class Guards:
    """Limits of a search; None switches one off.

    Attributes:
        max_skips: edges of one kind of cell that may have a skip connection as their strongest operation; choices of
            the whole space, where it is not made of cells.
        min_entropy: mean entropy of the architecture weights, in nats, below which the architecture counts as decided.
    """

    max_skips: int | None = None
    min_entropy: float | None = None

    def reason_to_stop(
        self, weights: Mapping[str, Mapping[str, float]], skips: frozenset[str] | Mapping[str, frozenset[str]]
    ) -> str | None:
        """Return in words why to stop at these architecture weights, or None.

        Args:
            weights: of all choices of operations, by label.
            skips: names of skip connections, of all choices or by label.
        """
        if self.max_skips is not None:
            for kind, count in skip_counts(weights, skips).items():
                if count > self.max_skips:
                    limit = f"more than max_skips={self.max_skips}"
                    where = f"edges of the {kind} cell" if kind else "choices of the space"
                    return f"{count} {where} prefer a skip connection, {limit}"
        if self.min_entropy is not None and weights:
            mean = sum(entropy(values) for values in weights.values()) / len(weights)
            if mean < self.min_entropy:
                limit = f"below min_entropy={self.min_entropy}"
                return f"the mean entropy of the architecture weights fell to {mean:.3f}, {limit}"
        return None

    def unsound(
        self, weights: Mapping[str, Mapping[str, float]], skips: frozenset[str] | Mapping[str, frozenset[str]]
    ) -> bool:
        """Whether the architecture itself is what the guard is against, so that an earlier one is kept."""
        limit = self.max_skips
        return limit is not None and any(count > limit for count in skip_counts(weights, skips).values())
