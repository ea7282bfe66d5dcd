"""The contract of a candidate operation."""

from __future__ import annotations

from torch import Tensor, nn

from bioautoml_nni.kernels.mixture import Mixture


class Operation(nn.Module):
    """A candidate on the edge of a cell.

    A subclass is constructed as ``Operation(channels, stride)`` and keeps the number of channels. At stride 1 the
    spatial size is kept, at stride 2 it is halved, rounded up.

    Args:
        channels: C of the input and the output.
        stride: 1 or 2.
    """

    capabilities: tuple[str, ...] = ()

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride must be 1 or 2, not {stride}")
        self.channels = channels
        self.stride = stride

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def add_to(self, mixture: Mixture, weight: Tensor) -> None:
        """Add weight * forward(mixture.features) to a supernet's mixture, for a scalar weight > 0.

        Optional: an operation that knows a cheaper way than this one overrides it.
        """
        mixture.add(weight * self(mixture.features))


def norm_relu(channels: int) -> list[nn.Module]:
    """Return batch normalisation followed by ReLU, the tail of every parametric operation."""
    return [nn.BatchNorm2d(channels), nn.ReLU()]
