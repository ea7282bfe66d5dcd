"""The forward pass that all networks share: encoders, fusion, classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class MultimodalForward(nn.Module):
    """Image encoder, metadata encoder, fusion and classifier; an encoder that is None stands for no such input."""

    image_encoder: nn.Module | None
    metadata_encoder: nn.Module | None
    fusion: nn.Module | None
    classifier: nn.Module

    def embed(self, batch: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return the joint embedding (N, D) of a batch; see `forward` for its form."""
        inputs: Mapping[str, Tensor] = {"image": batch} if isinstance(batch, Tensor) else batch
        if self.image_encoder is None:
            assert self.metadata_encoder is not None
            return self.metadata_encoder(inputs)
        encoder: Any = self.image_encoder
        image = encoder(inputs["image"]) if "image" in inputs else encoder.of_features(inputs)
        return self.join(image, inputs)

    def join(self, image: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the joint embedding (N, D) of image embeddings (N, E) and the metadata of `inputs`, if any is used."""
        if self.metadata_encoder is None:
            return image
        assert self.fusion is not None
        return self.fusion((image, self.metadata_encoder(inputs)))

    def forward(self, batch: Tensor | Mapping[str, Tensor]) -> Tensor:
        """Return logits (N, num_classes).

        Args:
            batch: images (N, 3, H, W) for an image-only space, else a dictionary with ``image`` (N, 3, H, W),
                ``numeric`` (N, n), ``categorical`` (N, k) and ``mask`` (N, f). Stored features of a frozen trunk may
                stand in place of the image; see `TrunkEncoder`.
        """
        return self.classifier(self.embed(batch))
