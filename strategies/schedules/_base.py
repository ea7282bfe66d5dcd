"""The contract of a schedule."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Protocol

from ..data import SearchBatch

Form = Literal["alternate", "pairs", "same"]


class SearchModule(Protocol):
    """What a schedule may ask of the search's Lightning module."""

    @property
    def searching(self) -> bool:
        """Whether warm-up is over, so that architecture parameters are updated."""
        ...

    def architecture_step(self, batch: Any) -> Any:
        """Update the architecture parameters by the gradient of one batch."""
        ...

    def weights_step(self, batch: Any, index: int) -> Any:
        """Update the weights by the gradient of one batch."""
        ...


class Schedule:
    """Decides what happens in a training step.

    Attributes:
        form: how batches come. "alternate": one for the architecture, then one for the weights; "pairs": both in one
            step; "same": one batch for both groups.
    """

    capabilities: tuple[str, ...] = ()
    form: ClassVar[Form] = "alternate"

    def step(self, module: Any, batch: SearchBatch, index: int) -> Any:
        """Make the updates of one training step and return a loss."""
        raise NotImplementedError(f"{type(self).__name__} does not define step")
