"""The two groups of parameters of a search: architecture parameters and weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from bioautoml_nni.nni_engine import named_architecture_parameters

Group = Literal["alpha", "weights"]


_PAUSED = "paused_by_the_search"
"""Mark on a weight that waits for its group's turn, in contrast to one that the user has frozen."""


class ParameterGroups:
    """Both groups, of which one gets gradients at a time, so that those of the other are not even computed.

    A weight that its user has frozen (`requires_grad` false) stays so.

    Args:
        module: all that is trained: the supernet, and what belongs to its loss.
        model: the supernet, which keeps its parameters for its whole life.

    Attributes:
        architecture: architecture parameters by label, in alphabetical order.
        weights: all other parameters of the supernet.
        active: the group that gets gradients; None is both.
    """

    def __init__(self, module: nn.Module, model: nn.Module) -> None:
        self.module = module
        self.architecture: dict[str, nn.Parameter] = named_architecture_parameters(model)
        self._known = {id(parameter) for parameter in self.architecture.values()}
        self.weights = [parameter for parameter in model.parameters() if id(parameter) not in self._known]
        self.active: Group | None = None

    def only(self, group: Group) -> None:
        """Let gradients reach one group only."""
        if self.active == group:
            return
        for parameter in self.module.parameters():
            self._set(parameter, (id(parameter) in self._known) == (group == "alpha"))
        self.active = group

    def _set(self, parameter: nn.Parameter, active: bool) -> None:
        if id(parameter) in self._known:
            parameter.requires_grad_(active)
        elif active and getattr(parameter, _PAUSED, False):
            parameter.requires_grad_(True)
            setattr(parameter, _PAUSED, False)
        elif not active and parameter.requires_grad:
            parameter.requires_grad_(False)
            setattr(parameter, _PAUSED, True)

    @contextmanager
    def both(self) -> Iterator[None]:
        """Let gradients reach both groups."""
        for parameter in self.module.parameters():
            self._set(parameter, True)
        self.active = None
        yield

    def of(self, group: Group) -> list[nn.Parameter]:
        """Return the parameters of a group."""
        return list(self.architecture.values()) if group == "alpha" else self.weights

    def without_architecture(self, optimizer: Any) -> Any:
        """Take architecture parameters out of an optimiser, or out of each in what Lightning takes for several."""
        if isinstance(optimizer, torch.optim.Optimizer):
            for group in optimizer.param_groups:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in self._known]
            return optimizer
        if isinstance(optimizer, (list, tuple)):
            return type(optimizer)(self.without_architecture(item) for item in optimizer)
        if isinstance(optimizer, dict):
            return {key: self.without_architecture(item) for key, item in optimizer.items()}
        return optimizer
