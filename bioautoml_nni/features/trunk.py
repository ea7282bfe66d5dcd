"""The module that an encoder gives: a network up to a stage, or whole, in the form of this project's image encoders."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from ..utils.seeding import isolate_rng

if TYPE_CHECKING:
    from .encoder import Encoder, Stage


class Trunk(nn.Module):
    """An image network without classifier that holds no layer beyond its last stage.

    It is an image encoder of `MultimodalForward`: ``forward = pool(feature_map(images))``. Images are normalised.

    Attributes:
        stage: index of the last stage, or None for the whole network.
        features: channels of the last stage's map, or width E of the whole network's embedding.
        has_feature_map: whether `feature_map` gives (N, C, h, w), from which Grad-CAM can be made.
    """

    stage: int | None
    features: int
    has_feature_map: bool

    @abstractmethod
    def count_stages(self) -> int:
        """Return how many stages the whole network has; 0 if it gives no feature maps by stage."""

    @abstractmethod
    def feature_map(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to the last features: (N, C, h, w) if `has_feature_map`."""

    @abstractmethod
    def pool(self, features: Tensor) -> Tensor:
        """Map the last features to embeddings (N, features); up to a stage that is the mean over h and w."""

    @abstractmethod
    def feature_maps(self, images: Tensor, stages: Sequence[int]) -> list[Tensor]:
        """Map normalised images to the maps (N, C, h, w) of stages, in the order of `stages`, in one pass."""

    @abstractmethod
    def features_with_stages(self, images: Tensor, stages: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Return `feature_map` and `feature_maps` of one pass."""

    @abstractmethod
    def parameter_layers(self) -> list[list[nn.Parameter]]:
        """Return all parameters by layer, from the image on: what layer-wise decay of the learning rate goes by."""

    @property
    def can_continue(self) -> bool:
        """Whether `continue_from` and `until` are there; not every network can be entered in its middle."""
        return False

    def continue_from(self, stage: int, features: Tensor, stages: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Return what `features_with_stages` does, from the map (N, C, h, w) of a stage on.

        Args:
            stages: later ones.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be entered at a stage")

    def until(self, stage: int) -> list[nn.Module]:
        """Return the modules that make the map of a stage."""
        raise NotImplementedError(f"{type(self).__name__} cannot be entered at a stage")

    def with_stages(self, images: Tensor, stages: Sequence[int]) -> tuple[Tensor, list[Tensor]]:
        """Return `forward` and `feature_maps` of one pass."""
        last, maps = self.features_with_stages(images, stages)
        return self.pool(last), maps

    def forward(self, images: Tensor) -> Tensor:
        """Map normalised images (N, 3, H, W) to embeddings (N, features)."""
        return self.pool(self.feature_map(images))


def normalised(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return float images less `mean`, divided by `std`; see `Encoder.normalise`."""
    pixels = images.float() / 255 if images.dtype == torch.uint8 else images
    first, second = (
        torch.tensor(values, dtype=pixels.dtype).view(1, 3, 1, 1).to(pixels.device) for values in (mean, std)
    )
    return (pixels - first) / second


@isolate_rng()
def measure_stages(encoder: Encoder, size: int) -> tuple[Stage, ...]:
    """Return the stages of an encoder, measured on its networks; see `Encoder.stages`."""
    from .encoder import Stage

    found: list[Stage] = []
    for index in range(encoder.build().count_stages()):
        trunk = encoder.build(index).eval()
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            _, channels, height, _ = trunk.feature_map(torch.zeros(1, 3, size, size)).shape
        reduction = _reduction(size, height)
        found.append(Stage(index, channels, reduction, count_parameters(trunk), int(counter.get_total_flops())))
    return tuple(found)


def _reduction(size: int, height: int) -> int:
    """Return by what a network divides an edge; maps of padded convolutions are as high as the quotient, rounded up."""
    halvings = (2**power for power in range(8))
    return next((factor for factor in halvings if math.ceil(size / factor) == height), round(size / height))


def count_parameters(trunk: nn.Module) -> int:
    """Return the number of trained numbers."""
    return sum(parameter.numel() for parameter in trunk.parameters())


@torch.no_grad()
def flops(trunk: nn.Module, size: int) -> int:
    """Return floating-point operations of one image with an edge in pixels, as torch's own counter counts them."""
    device = next(trunk.parameters()).device
    counter = FlopCounterMode(display=False)
    with counter:
        trunk(torch.zeros(1, 3, size, size, device=device))
    return int(counter.get_total_flops())
