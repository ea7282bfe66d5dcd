"""Super-modules: the relaxed forms of `LayerChoice` and `InputChoice`.

They replace NNI's through its mutation hooks. The mathematics is that of DARTS (arXiv 1806.09055), a softmax-weighted
sum; what differs is that zeros are not computed, sums are accumulated in place, and that a frozen node keeps the
reduction that the space declared (NNI's own super-module forgets it).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from nni.nas.nn.pytorch import InputChoice
from nni.nas.oneshot.pytorch.supermodule.differentiable import DifferentiableMixedInput, DifferentiableMixedLayer
from torch import Tensor

from ..registry import plugins


class MixedOperation(DifferentiableMixedLayer):
    """Softmax-weighted sum of all candidates; a candidate that is the zero operation adds nothing and is not run."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the relaxed output, in the shape of the candidates' outputs."""
        weights = self._softmax(self._arch_alpha)
        total: Tensor | None = None
        for index, name in enumerate(self.names):
            if name in _zero_operations() and len(self.names) > 1:
                continue
            value = self[name](*args, **kwargs)
            total = weights[index] * value if total is None else torch.addcmul(total, weights[index], value)
        assert total is not None  # a choice has at least one candidate
        return total


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
def _zero_operations() -> frozenset[str]:
    return frozenset(name for name, plugin in plugins("operations").items() if "zero" in plugin.capabilities)
