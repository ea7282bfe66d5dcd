"""The contract of a fusion."""

from __future__ import annotations

from torch import Tensor, nn


class Fusion(nn.Module):
    """Joins two embeddings.

    Constructed as ``Fusion(image_features, metadata_features, features)``. The input is one pair and not two
    arguments because NNI's `LayerChoice` calls its candidates with a single argument.

    Args:
        image_features: width D_i of the image embedding.
        metadata_features: width D_m of the metadata embedding.
        features: width D of the result.
    """

    capabilities: tuple[str, ...] = ()

    def __init__(self, image_features: int, metadata_features: int, features: int) -> None:
        super().__init__()
        self.image_features = image_features
        self.metadata_features = metadata_features
        self.features = features

    def forward(self, embeddings: tuple[Tensor, Tensor]) -> Tensor:
        """Map ((N, D_i), (N, D_m)) to (N, D)."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")
