"""What a network with a frozen trunk reads of its encoder, so that it can be computed once."""

from __future__ import annotations

from dataclasses import dataclass

from .encoder import Encoder


@dataclass(frozen=True)
class FeatureRequest:
    """Features of a frozen trunk.

    Attributes:
        stages: whose maps are read.
        embedding: whether the embedding is read.
        views: augmented views of every image beside the plain one.
    """

    encoder: Encoder
    stages: tuple[int, ...]
    embedding: bool
    views: int = 0
