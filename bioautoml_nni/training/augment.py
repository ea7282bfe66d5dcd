"""Normalisation and random changes of image batches, drawn for each image on its own, on the batch's device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import Tensor, nn
from torch.nn import functional

from ..config.schema import Augmentation


class ImageTransform(nn.Module):
    """Turns uint8 images (N, 3, S, S) into normalised float32; in training mode with random changes.

    Args:
        mean, std: per channel, of pixel values in [0, 1].
        settings: which changes, and how strong.

    Attributes:
        size: edge of the images that come out; S where it is None.
    """

    mean: Tensor
    std: Tensor
    size: int | None = None

    def __init__(self, mean: Sequence[float], std: Sequence[float], settings: Augmentation) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.settings = settings

    def forward(self, images: Tensor) -> Tensor:
        """Return normalised images, changed at random in training mode."""
        if not self.training:
            return self._resized(self._normalised(images))
        pixels = self._resized(images.to(self.mean.dtype) / 255)
        pixels = self._erase(self._colour(self._move(pixels)))
        return (pixels - self.mean) / self.std

    def of_batch(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what takes the place of a batch's images."""
        return {"image": self(batch["image"])}

    def _normalised(self, images: Tensor) -> Tensor:
        """Normalise bytes in place in one new tensor, as rows of all channels, which are many times faster to walk."""
        count, channels, height, width = images.shape
        rows = images.permute(0, 2, 3, 1).reshape(count * height, width * channels).to(self.mean.dtype)
        factor, offset = (1 / (255 * self.std)).flatten(), (self.mean / self.std).flatten()
        rows.mul_(factor.repeat(width)).sub_(offset.repeat(width))
        return rows.view(count, height, width, channels).permute(0, 3, 1, 2)

    def _resized(self, pixels: Tensor) -> Tensor:
        if self.size is None or self.size == pixels.shape[-1]:
            return pixels
        return functional.interpolate(pixels, (self.size, self.size), mode="bilinear", antialias=True)

    def _uniform(self, like: Tensor, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(like), device=like.device)

    def _move(self, pixels: Tensor) -> Tensor:
        """Rotate, flip, scale and shift; what comes in from outside repeats the border."""
        settings = self.settings
        if not (settings.rotation or settings.scale or settings.translation or settings.flip):
            return pixels
        angle = self._uniform(pixels, -settings.rotation, settings.rotation) * math.pi / 180
        scale = 1 / self._uniform(pixels, 1 - settings.scale, 1 + settings.scale)
        mirror = torch.where(self._uniform(pixels, 0, 1) < 0.5, -1.0, 1.0) if settings.flip else torch.ones_like(scale)
        shift = torch.stack([self._uniform(pixels, -2, 2) * settings.translation for _ in range(2)], dim=1)
        cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
        matrix = torch.stack(
            [
                torch.stack([cosine * mirror, -sine, shift[:, 0]], 1),
                torch.stack([sine * mirror, cosine, shift[:, 1]], 1),
            ],
            1,
        )
        grid = functional.affine_grid(matrix, list(pixels.shape), align_corners=False)
        return functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)

    def _colour(self, pixels: Tensor) -> Tensor:
        settings = self.settings
        if settings.contrast:
            factor = self._uniform(pixels, 1 - settings.contrast, 1 + settings.contrast).view(-1, 1, 1, 1)
            centre = pixels.mean((1, 2, 3), keepdim=True)
            pixels = centre + (pixels - centre) * factor
        if settings.brightness:
            pixels = pixels * self._uniform(pixels, 1 - settings.brightness, 1 + settings.brightness).view(-1, 1, 1, 1)
        return pixels.clamp(0, 1)

    def _erase(self, pixels: Tensor) -> Tensor:
        """Fill one random rectangle of a share `erasing` of the images with the mean colour."""
        if not self.settings.erasing:
            return pixels
        size = pixels.shape[-1]
        edges = torch.arange(size, device=pixels.device).view(1, -1)
        inside = []
        for _ in range(2):
            length = self._uniform(pixels, 0.1, 0.4) * size
            start = self._uniform(pixels, 0, 1) * (size - length)
            inside.append((edges >= start.view(-1, 1)) & (edges < (start + length).view(-1, 1)))
        hit = (self._uniform(pixels, 0, 1) < self.settings.erasing).view(-1, 1, 1, 1)
        box = inside[0][:, None, :, None] & inside[1][:, None, None, :] & hit
        return torch.where(box, self.mean, pixels)


STORED = ("stage", "embedding")
"""What the names of a batch's stored features begin with."""


def stored_features(batch: Mapping[str, Tensor]) -> list[str]:
    """Return the names of a batch's stored features of a frozen trunk."""
    return [name for name in batch if name.startswith(STORED)]


class FeatureTransform(nn.Module):
    """Turns stored features of a frozen trunk into float32; in training mode, maps are flipped and transposed.

    Networks see a turned image nearly as the turned map of the image. All maps of a specimen turn alike.

    Args:
        settings: flip and rotation are heeded; everything else belongs to images.
        turns: whether maps are turned at all, which they need not be where views of the images themselves are stored.
    """

    size: int | None = None

    def __init__(self, settings: Augmentation, turns: bool = True) -> None:
        super().__init__()
        self.settings = settings
        self.turns = turns

    def of_batch(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the stored features of a batch as the network takes them: maps (N, C, h, w), embeddings (N, E)."""
        found = {name: batch[name].float() for name in stored_features(batch)}
        if not self.training or not self.turns or not found:
            return found
        first = next(iter(found.values()))
        drawn = torch.rand(3, len(first), device=first.device) < 0.5
        turns = self.settings.rotation > 90
        for name, value in found.items():
            if value.dim() == 4:
                choose = drawn[:, :, None, None, None]
                if self.settings.flip:
                    value = torch.where(choose[0], value.flip(3), value)
                if turns:
                    value = torch.where(choose[1], value.flip(2), value)
                    value = torch.where(choose[2], value.transpose(2, 3), value)
                found[name] = value.contiguous(memory_format=torch.channels_last)
        return found


class ImageSizes(Callback):
    """Gives the images of every epoch a size of their own, validation included.

    Smaller ones first cost less and teach much of the same (Tan and Le, EfficientNetV2, arXiv 2104.00298, section 4).
    The size is a state of the transformation, since what calls it, a training step of NNI's evaluator, knows no epoch.

    Args:
        images: the transformation of the training.
        size_at: the edge in pixels by epoch, None for that of the images that come in.
    """

    def __init__(self, images: ImageTransform, size_at: Callable[[int], int | None]) -> None:
        self.images = images
        self.size_at = size_at

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Set the size of this epoch."""
        self.images.size = self.size_at(trainer.current_epoch)
