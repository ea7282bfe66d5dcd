"""An auxiliary classifier on an inner feature map, in training only. Szegedy et al., arXiv 1409.4842."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

WIDTH = 128


class AuxiliaryHead(nn.Module):
    """Reads the output of a part of the network while that is trained; it is not part of the network.

    Args:
        source: the module whose output (N, C, h, w) is read.
        channels: C.
        num_classes: number of classes K.
    """

    def __init__(self, source: nn.Module, channels: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
            nn.Flatten(), nn.Linear(WIDTH, num_classes),
        )  # fmt: skip
        self._features: Tensor | None = None
        source.register_forward_hook(self._read)

    def _read(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        if module.training:
            self._features = output

    def forward(self) -> Tensor:
        """Return logits (N, K) for the batch that went through the network last."""
        assert self._features is not None  # the network's forward pass comes first
        features, self._features = self._features, None
        return self.layers(features)
