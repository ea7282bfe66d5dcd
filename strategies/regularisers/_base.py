"""The contract of a regulariser."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..relaxations._base import Relaxation


class Regulariser:
    """Changes the loss of architecture steps, or the supernet, as the search goes on.

    Attributes:
        needs_skips: whether it does nothing in a space without skip connections, which is then refused.
        needs_layers: whether it does nothing in a space without choices of layers, which is then refused.
    """

    capabilities: tuple[str, ...] = ()
    needs_skips = False
    needs_layers = False

    def start_step(self, supernet: nn.Module, progress: float) -> None:
        """Adapt the supernet before a step; `progress` is the share of the search that is done, from 0 to 1."""

    def penalty(
        self, supernet: nn.Module, alphas: Mapping[str, Tensor], relaxation: Relaxation, progress: float
    ) -> Tensor:
        """Return what is added to the loss of an architecture step (), given all parameters by label."""
        return torch.zeros(())


def operation_alphas(supernet: nn.Module, alphas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return those parameters that choose operations of a cell, not inputs and not other layers."""
    from ..supernet import MixedOperation

    labels = {str(module.label) for module in supernet.modules() if isinstance(module, MixedOperation)}
    return {label: alpha for label, alpha in alphas.items() if label in labels}
