"""The two paths of a network on a trunk: features that pass the cells by, and how a classifier learns from both."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

ALONE = 64
"""Number of features that what is read of a trained trunk without cells counts as; see `Whitened`."""


class Whitened(nn.Sequential):
    """An embedding with every feature at mean 0 and the same variance, and dropout.

    A gradient step moves a classifier's logits by the square of what it reads. At variance 1 a wide embedding moves
    them too far: its classifier learns a few hundred specimens by heart at once, a trunk or cells beside it learn
    little, and a search that may leave it out does.

    Args:
        features: width E.
        as_wide_as: number of features at variance 1 that the embedding counts as, all together.
        dropout: of features.
    """

    scale: Tensor

    def __init__(self, features: int, as_wide_as: int, dropout: float) -> None:
        super().__init__(nn.BatchNorm1d(features, affine=False), nn.Dropout(dropout))
        self.register_buffer("scale", torch.tensor(math.sqrt(as_wide_as / features)))

    def forward(self, embedding: Tensor) -> Tensor:
        """Map (N, E) to (N, E)."""
        whitened: Tensor = super().forward(embedding)
        return whitened * self.scale

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Networks that were trained before there was a scale have variance 1."""
        state_dict.setdefault(f"{prefix}scale", torch.ones(()))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class Silent(nn.Module):
    """Zeros in place of an embedding: the candidate that leaves it out."""

    def forward(self, embedding: Tensor) -> Tensor:
        return torch.zeros_like(embedding)


class PathFusion(nn.Module):
    """Fusion of the cells' embedding with metadata; the trunk's embedding passes by, with the metadata beside it.

    Args:
        cells: width of the cells' embedding, 0 without cells.
        inner: fusion of the cells' embedding, None without cells.
        linear: whether the metadata passes by too.
    """

    def __init__(self, cells: int, inner: nn.Module | None, linear: bool) -> None:
        super().__init__()
        self.width = cells
        self.linear = linear
        self.cells = inner

    def forward(self, embeddings: tuple[Tensor, Tensor]) -> Tensor:
        """Map ((N, cells + E), (N, D_m)) to (N, D + D_m + E), or to (N, D + E); D is the inner fusion's width."""
        image, metadata = embeddings
        parts = [] if self.cells is None else [self.cells((image[:, : self.width], metadata))]
        parts += [metadata] if self.linear else []
        parts += [image[:, self.width :]] if image.shape[1] > self.width else []
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


class PathDropout(nn.Module):
    """In training, lets a classifier see the features of one path alone, twice as strong.

    Args:
        first: width of the first path; what follows is the second.
        rate: probability for a specimen; half of these keep the first path.
    """

    def __init__(self, first: int, rate: float) -> None:
        super().__init__()
        self.first = first
        self.rate = rate

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, D) to (N, D)."""
        second = features.shape[1] - self.first
        if not self.training or not self.rate or not self.first or not second:
            return features
        drawn = torch.rand(len(features), 1, device=features.device)
        one = torch.where(drawn < self.rate, torch.where(drawn < self.rate / 2, 2.0, 0.0), 1.0)
        return torch.cat([features[:, : self.first] * one, features[:, self.first :] * (2 - one)], dim=1)
