"""Fusion by concatenation."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._base import Fusion


class ConcatenationFusion(Fusion):
    """Concatenate both embeddings, then one linear layer with ReLU."""

    def __init__(self, image_features: int, metadata_features: int, features: int) -> None:
        super().__init__(image_features, metadata_features, features)
        self.project = nn.Linear(image_features + metadata_features, features)

    def forward(self, embeddings: tuple[Tensor, Tensor]) -> Tensor:
        return torch.relu(self.project(torch.cat(list(embeddings), dim=1)))
