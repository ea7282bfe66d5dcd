"""Super-modules: the relaxed forms of `LayerChoice` and `InputChoice`.

They replace NNI's through its mutation hooks. By default the mathematics is that of DARTS (arXiv 1806.09055), a
softmax-weighted sum; what differs is that zeros are not computed and that a frozen node keeps the reduction that the
space declared (NNI's own super-module forgets it).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from nni.nas.nn.pytorch import InputChoice
from nni.nas.oneshot.pytorch.supermodule.differentiable import DifferentiableMixedInput, DifferentiableMixedLayer
from torch import Tensor
from torch.nn import functional

from ..registry import plugins
from .relaxations._base import Relaxation
from .relaxations.softmax import Softmax


class MixedOperation(DifferentiableMixedLayer):
    """Weighted sum of all candidates; a candidate that is the zero operation adds nothing and is not run.

    Attributes:
        relaxation: gives the weights; with a hard one, only the sampled candidate is run.
        skip_dropout: rate at which values of skip connections are dropped in training.
        input_shape: shape of the last input.
    """

    relaxation: Relaxation = Softmax()
    skip_dropout: float = 0.0
    input_shape: tuple[int, ...] | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the relaxed output, in the shape of the candidates' outputs."""
        weights = self.relaxation.weights(str(self.label), self._arch_alpha, self.training)
        if args and isinstance(args[0], Tensor):
            self.input_shape = tuple(args[0].shape)
        if self.relaxation.hard:
            index = int(weights.argmax())
            return weights[index] * self._candidate(self.names[index], *args, **kwargs)
        total: Tensor | None = None
        for index, name in enumerate(self.names):
            if name in named_operations("zero") and len(self.names) > 1:
                continue
            value = self._candidate(name, *args, **kwargs)
            total = weights[index] * value if total is None else torch.addcmul(total, weights[index], value)
        assert total is not None  # a choice has at least one candidate
        return total

    def _candidate(self, name: str, *args: Any, **kwargs: Any) -> Tensor:
        value = self[name](*args, **kwargs)
        if self.skip_dropout and self.training and name in named_operations("skip"):
            value = functional.dropout(value, self.skip_dropout)
        return value

    def export_probs(self, memo: dict[str, Any]) -> dict[str, dict[str, float]]:
        """Return the shares of the candidates by the relaxation's own rule."""
        if self.label in memo:
            return {}
        shares = self.relaxation.shares(self._arch_alpha.detach()).cpu().tolist()
        return {self.label: dict(zip(self.names, shares, strict=True))}


class MixedInput(DifferentiableMixedInput):
    """Softmax-weighted sum of the inputs of a node.

    The weights sum to one, hence the scale is that of a mean. `freeze` keeps the reduction of the declared choice.
    """

    @classmethod
    def mutate(cls, module: Any, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]) -> MixedInput | None:
        """NNI mutation hook: replace an `InputChoice` and remember its reduction."""
        mixed = super().mutate(module, name, memo, mutate_kwargs)
        if mixed is not None:
            assert isinstance(module, InputChoice)
            mixed.reduction = module.reduction
        return mixed


@cache
def named_operations(capability: str) -> frozenset[str]:
    """Return the names of the registered operations with a capability."""
    return frozenset(name for name, plugin in plugins("operations").items() if capability in plugin.capabilities)
