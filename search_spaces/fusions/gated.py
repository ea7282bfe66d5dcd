"""Gated fusion. Arevalo et al., Gated Multimodal Units, arXiv 1702.01992."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ._base import Fusion


class GatedFusion(Fusion):
    """A learned gate z mixes both embeddings: z * tanh(W_i i) + (1 - z) * tanh(W_m m)."""

    def __init__(self, image_features: int, metadata_features: int, features: int) -> None:
        super().__init__(image_features, metadata_features, features)
        self.image = nn.Linear(image_features, features)
        self.metadata = nn.Linear(metadata_features, features)
        self.gate = nn.Linear(image_features + metadata_features, features)

    def forward(self, embeddings: tuple[Tensor, Tensor]) -> Tensor:
        image, metadata = embeddings
        gate = torch.sigmoid(self.gate(torch.cat([image, metadata], dim=1)))
        return gate * torch.tanh(self.image(image)) + (1 - gate) * torch.tanh(self.metadata(metadata))
