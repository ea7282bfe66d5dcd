"""Low-rank bilinear pooling. Kim et al., Hadamard Product for Low-rank Bilinear Pooling, arXiv 1610.04325."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._base import Fusion


class LowRankBilinearFusion(Fusion):
    """Product of both projections, added to the projected image: relu(W_i i + tanh(U i) * tanh(V m))."""

    def __init__(self, image_features: int, metadata_features: int, features: int) -> None:
        super().__init__(image_features, metadata_features, features)
        self.image = nn.Linear(image_features, features)
        self.image_factor = nn.Linear(image_features, features)
        self.metadata_factor = nn.Linear(metadata_features, features)

    def forward(self, embeddings: tuple[Tensor, Tensor]) -> Tensor:
        image, metadata = embeddings
        product = torch.tanh(self.image_factor(image)) * torch.tanh(self.metadata_factor(metadata))
        return torch.relu(self.image(image) + product)
