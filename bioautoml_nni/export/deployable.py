"""The network as it is deployed: bytes in, logits of the shipped decision out, batch norms folded."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..utils.errors import ExportError

METADATA_INPUTS = ("numeric", "categorical", "mask")


class ImagePart(nn.Module):
    """Images (N, 3, S, S) uint8 to embeddings (N, D); normalisation is inside.

    Args:
        encoder: image encoder of the network.
        mean, std: per channel, of pixel values in [0, 1].
    """

    factor: Tensor
    offset: Tensor

    def __init__(self, encoder: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.encoder: Any = encoder
        scale = 1 / (255 * torch.tensor(std, dtype=torch.float64))
        self.register_buffer("factor", scale.float().view(1, 3, 1, 1))
        self.register_buffer("offset", (255 * torch.tensor(mean, dtype=torch.float64) * scale).float().view(1, 3, 1, 1))

    def normalised(self, image: Tensor) -> Tensor:
        """Return what the encoder gets."""
        return image.float() * self.factor - self.offset

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder(self.normalised(image))


class MappedImagePart(nn.Module):
    """Images (N, 3, S, S) uint8 to embeddings (N, D) and the feature maps (N, C, h, w) that they are pooled from."""

    def __init__(self, image: ImagePart) -> None:
        super().__init__()
        self.image = image

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        features = self.image.encoder.feature_map(self.image.normalised(image))
        return self.image.encoder.pool(features), features


class HeadPart(nn.Module):
    """Image embedding and encoded metadata to logits (N, K); a mask of zeros means without metadata."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.metadata_encoder = network.metadata_encoder
        self.fusion = network.fusion
        self.classifier = network.classifier

    def forward(self, embedding: Tensor, numeric: Tensor, categorical: Tensor, mask: Tensor) -> Tensor:
        described = self.metadata_encoder({"numeric": numeric, "categorical": categorical, "mask": mask})
        return self.classifier(self.fusion((embedding, described)))


class ImageHead(nn.Module):
    """Image embedding to logits (N, K)."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, embedding: Tensor) -> Tensor:
        return self.classifier(embedding)


class MetadataModel(nn.Module):
    """Encoded metadata alone to logits (N, K)."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.metadata_encoder = network.metadata_encoder
        self.classifier = network.classifier

    def forward(self, numeric: Tensor, categorical: Tensor, mask: Tensor) -> Tensor:
        return self.classifier(self.metadata_encoder({"numeric": numeric, "categorical": categorical, "mask": mask}))


class ImageModel(nn.Module):
    """Images alone to logits (N, K)."""

    def __init__(self, image: ImagePart, head: ImageHead) -> None:
        super().__init__()
        self.image = image
        self.head = head

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.image(image))


class FusedModel(nn.Module):
    """Images and encoded metadata to logits (N, K)."""

    def __init__(self, image: ImagePart, head: HeadPart) -> None:
        super().__init__()
        self.image = image
        self.head = head

    def forward(self, image: Tensor, numeric: Tensor, categorical: Tensor, mask: Tensor) -> Tensor:
        return self.head(self.image(image), numeric, categorical, mask)


def deployable(network: Any, mean: Sequence[float] | None, std: Sequence[float] | None, shift: Tensor) -> nn.Module:
    """Return a copy of a trained network in its deployed form.

    Args:
        network: with the parts image_encoder, metadata_encoder, fusion and classifier; a missing one is None.
        mean, std: of the pixels, where images are used.
        shift: (K,) added to the logits, so that they are those of the decision that ships.

    Raises:
        ExportError: for a network of a space without these parts.
    """
    for part in ("image_encoder", "metadata_encoder", "fusion", "classifier"):
        if not hasattr(network, part):
            raise ExportError(f"export: {type(network).__name__} has no part {part!r}; its space cannot be exported.")
    network = fold_batch_norms(copy.deepcopy(network).float().eval()).requires_grad_(False)
    last = [module for module in network.classifier.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.bias.add_(shift)
    if network.image_encoder is None:
        return MetadataModel(network).eval()
    assert mean is not None and std is not None  # statistics exist wherever images are used
    image = ImagePart(network.image_encoder, mean, std)
    if network.metadata_encoder is None:
        return ImageModel(image, ImageHead(network.classifier)).eval()
    return FusedModel(image, HeadPart(network)).eval()


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold every batch norm into the convolution before it, in place; a module may fold its own (`fold_norm`)."""
    for module in network.modules():
        fold = getattr(module, "fold_norm", None)
        if callable(fold):
            fold()
        if isinstance(module, nn.Sequential):
            for before, after in zip(list(module._modules), list(module._modules)[1:], strict=False):
                convolution, norm = module._modules[before], module._modules[after]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module._modules[before] = fuse_conv_bn_eval(convolution, norm)
                    module._modules[after] = nn.Identity()
    return network
