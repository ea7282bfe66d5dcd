"""The contract of a candidate operation."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional


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

    # What a supernet may use instead of forward, where an operation has it; both compute the same as forward does.

    def weighted(self, features: Tensor, weight: Tensor) -> Tensor:
        """Return weight * forward(features) for a scalar weight > 0."""
        return weight * self(features)

    def scale(self, features: Tensor) -> Tensor | float | None:
        """Return s, broadcastable to the features, if forward(features) is features * s; None if it is not."""
        return None


def folded(convolved: Tensor, norm: Any, weight: Tensor) -> Tensor:
    """Return weight * ReLU(norm(convolved)) for a scalar weight > 0, with the weight inside of the batch norm."""
    if norm.training and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    momentum = 0.0 if norm.momentum is None else norm.momentum
    # The products are tensors of their own: torch 2.15 gives wrong gradients for an expanded weight in channels_last.
    normed = functional.batch_norm(
        convolved, norm.running_mean, norm.running_var, weight * norm.weight, weight * norm.bias, norm.training,
        momentum, norm.eps,
    )  # fmt: skip
    return functional.relu_(normed)


def norm_relu(channels: int) -> list[nn.Module]:
    """Return batch normalisation followed by ReLU, the tail of every parametric operation."""
    return [nn.BatchNorm2d(channels), nn.ReLU()]
