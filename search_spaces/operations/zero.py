"""Zero (Z): no connection. An edge that chooses it is removed from the derived network."""

from __future__ import annotations

import torch
from torch import Tensor

from ._base import Operation


class Zero(Operation):
    """No connection (Z): zeros of the output's shape."""

    capabilities = ("parameter_free", "zero")

    def forward(self, features: Tensor) -> Tensor:
        return torch.zeros_like(features[:, :, :: self.stride, :: self.stride])
