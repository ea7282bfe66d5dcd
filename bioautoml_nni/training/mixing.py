"""Mixing of training images: mixup (Zhang et al., arXiv 1710.09412) and CutMix (Yun et al., arXiv 1905.04899)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta

from .augment import stored_features


@dataclass(frozen=True)
class Mix:
    """How a batch was mixed.

    Attributes:
        partner: for each specimen the position of the one that was mixed in (N,).
        share: of the specimen itself, at least a half; its partner has the rest.
    """

    partner: Tensor
    share: float

    def blend(self, of: Callable[[Tensor], Tensor], target: Tensor) -> Tensor:
        """Return `of`, a loss or anything linear, for the specimens' own targets and for those of their partners."""
        return self.share * of(target) + (1 - self.share) * of(target[self.partner])


class Mixing:
    """Mixes each image of a batch with another one.

    A specimen keeps the larger share of its own image, so that its metadata, which cannot be mixed, remain those of
    the dominant part.

    Args:
        mixup: parameter a of Beta(a, a), from which the share is drawn when two images are averaged; 0 is never.
        cutmix: the same for when a rectangle of the other image is pasted. With both, chance decides for each batch.
    """

    def __init__(self, mixup: float, cutmix: float) -> None:
        self.mixup = mixup
        self.cutmix = cutmix

    def __call__(self, images: Tensor) -> tuple[Tensor, Mix]:
        """Return mixed images (N, C, H, W) and how they were mixed; the random numbers are the global generator's."""
        partner = torch.randperm(len(images), device=images.device)
        pastes = self.cutmix > 0 and (self.mixup == 0 or bool(torch.rand(()) < 0.5))
        alpha = self.cutmix if pastes else self.mixup
        share = float(Beta(alpha, alpha).sample())
        share = max(share, 1 - share)
        if not pastes:
            return share * images + (1 - share) * images[partner], Mix(partner, share)
        top, bottom = _interval(images.shape[-2], (1 - share) ** 0.5)
        left, right = _interval(images.shape[-1], (1 - share) ** 0.5)
        mixed = images.clone()
        mixed[..., top:bottom, left:right] = images[partner, :, top:bottom, left:right]
        pasted = (bottom - top) * (right - left) / (images.shape[-2] * images.shape[-1])
        return mixed, Mix(partner, 1 - pasted)

    def of_batch(self, inputs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Mix]:
        """Return the inputs with their images mixed, or with stored features in place of images averaged (mixup)."""
        if "image" in inputs:
            images, mix = self(inputs["image"])
            return {**inputs, "image": images}, mix
        names = stored_features(inputs)
        partner = torch.randperm(len(inputs[names[0]]), device=inputs[names[0]].device)
        share = float(Beta(self.mixup, self.mixup).sample()) if self.mixup else 1.0
        share = max(share, 1 - share)
        mixed = {name: share * inputs[name] + (1 - share) * inputs[name][partner] for name in names}
        return {**inputs, **mixed}, Mix(partner, share)


def _interval(size: int, share: float) -> tuple[int, int]:
    """Return where an interval of a share of `size` begins and ends; its centre is anywhere, its ends are inside."""
    centre, half = int(torch.randint(size, ())), share * size / 2
    return max(0, round(centre - half)), min(size, round(centre + half))
