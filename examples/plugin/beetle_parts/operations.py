"""A candidate operation."""

from torch import Tensor, nn

from bioautoml_nni.search_spaces.operations._base import Operation


class AsymmetricConv(Operation):
    """A 1x5 followed by a 5x1 convolution."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, stride)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, (1, 5), (1, stride), (0, 2), bias=False),
            nn.Conv2d(channels, channels, (5, 1), (stride, 1), (2, 0), bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.layers(features)
