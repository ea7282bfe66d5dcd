"""Where a network looks: Grad-CAM (Selvaraju et al., ICCV 2017, equations 1 and 2) on the last feature map.

>>> import torch
>>> features = torch.tensor([[[[1.0, 0.0]], [[0.0, 2.0]]]])
>>> cam(features, torch.tensor([[[[2.0, 2.0]], [[-1.0, -1.0]]]])).tolist()
[[[2.0, 0.0]]]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn


def cam(features: Tensor, gradient: Tensor) -> Tensor:
    """Return the map (N, h, w): features (N, C, h, w) weighted by the mean gradient of each channel, negatives cut."""
    return torch.relu((gradient.mean((2, 3), keepdim=True) * features).sum(1))


def feature_gradient(classify: Callable[[Tensor], Tensor], features: Tensor, wanted: Tensor) -> Tensor:
    """Return the gradient (N, C, h, w) of the wanted logits by the features.

    Args:
        classify: from features (N, C, h, w) to logits (N, K), each specimen for itself.
        wanted: (N, K), 1 for the class to explain, 0 elsewhere.
    """
    with torch.enable_grad():
        leaf = features.detach().requires_grad_()
        (gradient,) = torch.autograd.grad((classify(leaf) * wanted).sum(), leaf)
    return gradient


def has_feature_map(encoder: nn.Module | None) -> bool:
    """Whether there is an image encoder whose last features are maps (tokens of a transformer are not)."""
    return bool(getattr(encoder, "has_feature_map", False))


def grad_cam(network: Any, inputs: Mapping[str, Tensor], classes: Tensor) -> Tensor:
    """Return the maps (N, h, w) of a network in evaluation mode, each scaled to at most 1.

    Args:
        network: one whose image encoder `has_feature_map`; see `MultimodalForward` of the search spaces.
        inputs: its inputs, images normalised, on its device.
        classes: (N,) index of the class to explain.
    """
    with torch.no_grad():
        features = network.image_encoder.feature_map(inputs["image"])

    def classify(leaf: Tensor) -> Tensor:
        return network.classifier(network.join(network.image_encoder.pool(leaf), inputs))

    logits = len(network.classifier[-1].bias)
    wanted = torch.nn.functional.one_hot(classes, logits).to(features)
    found = cam(features, feature_gradient(classify, features, wanted))
    return found / found.amax((1, 2), keepdim=True).clamp_min(torch.finfo(found.dtype).tiny)
