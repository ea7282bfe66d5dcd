"""What a network with a frozen trunk reads of its encoder, so that it can be computed once."""

from __future__ import annotations

from dataclasses import dataclass

from .encoder import Encoder
from .store import POOLED, Output


@dataclass(frozen=True)
class FeatureRequest:
    """Features of a frozen trunk.

    Attributes:
        stages: whose maps are read.
        embedding: whether the embedding is read.
        views: mirrored and turned views of every image beside the plain one, 7 at most (`store.seen`).
        pooled: whether the means of the maps are read in place of the maps, all in one row with the embedding behind
            them, which a batch has as ``embedding``.
    """

    encoder: Encoder
    stages: tuple[int, ...]
    embedding: bool
    views: int = 0
    pooled: bool = False

    @property
    def outputs(self) -> list[Output]:
        """What the feature store is asked for."""
        maps: list[Output] = [] if self.pooled else list(self.stages)
        return [*maps, POOLED] if self.pooled or self.embedding else maps
