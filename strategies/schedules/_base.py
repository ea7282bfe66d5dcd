"""The contract of a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

from ..data import SearchBatch

Form = Literal["alternate", "pairs", "same"]


class SearchModule(Protocol):
    """What a schedule may ask of the search's Lightning module."""

    @property
    def searching(self) -> bool:
        """Whether warm-up is over, so that architecture parameters are updated."""
        ...

    def architecture_step(self, batch: Any) -> Tensor:
        """Update the architecture parameters by the gradient of one batch."""
        ...

    def weights_step(self, batch: Any, index: int) -> Tensor:
        """Update the weights by the gradient of one batch."""
        ...

    def joint_step(self, batch: Any, index: int) -> Tensor:
        """Update both groups by the gradient of one loss."""
        ...

    def apply_architecture_gradients(self, gradients: Sequence[Tensor], loss: Tensor) -> None:
        """Update the architecture parameters by gradients that were computed elsewhere."""
        ...

    def loss_of(self, batch: Any) -> Tensor:
        """Return the training loss of a batch."""
        ...

    def arch_parameters(self) -> list[nn.Parameter]:
        """Return the architecture parameters, in the order of their labels."""
        ...

    def weight_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimiser of the weights."""
        ...

    def unfrozen(self) -> AbstractContextManager[None]:
        """Let gradients reach both groups."""
        ...

    def frozen_batch_norm(self) -> AbstractContextManager[None]:
        """Leave the running statistics of batch norms alone."""
        ...


class Schedule:
    """Decides what happens in a training step.

    Attributes:
        form: how batches come. "alternate": one for the architecture, then one for the weights; "pairs": both in one
            step; "same": one batch for both groups.
    """

    capabilities: tuple[str, ...] = ()
    form: ClassVar[Form] = "alternate"

    def step(self, module: SearchModule, batch: SearchBatch, index: int) -> Tensor | None:
        """Make the updates of one training step and return a loss, None where nothing is updated."""
        raise NotImplementedError(f"{type(self).__name__} does not define step")
