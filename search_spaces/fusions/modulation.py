"""Feature-wise linear modulation. Perez et al., FiLM, arXiv 1709.07871."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._base import Fusion


class FeatureWiseModulation(Fusion):
    """The metadata scales and shifts every image feature: relu((1 + gamma(m)) * W i + beta(m))."""

    def __init__(self, image_features: int, metadata_features: int, features: int) -> None:
        super().__init__(image_features, metadata_features, features)
        self.image = nn.Linear(image_features, features)
        self.modulation = nn.Linear(metadata_features, 2 * features)

    def forward(self, embeddings: tuple[Tensor, Tensor]) -> Tensor:
        image, metadata = embeddings
        scale, shift = self.modulation(metadata).chunk(2, dim=1)
        return torch.relu((1 + scale) * self.image(image) + shift)
