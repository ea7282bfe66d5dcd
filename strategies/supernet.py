"""Super-modules: the relaxed forms of `LayerChoice` and `InputChoice`.

They replace NNI's through its mutation hooks. By default the mathematics is that of DARTS (arXiv 1806.09055), a
softmax-weighted sum; what differs is that zeros are not computed and that a frozen node keeps the reduction that the
space declared (NNI's own super-module forgets it).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from nni.nas.nn.pytorch import InputChoice
from nni.nas.oneshot.pytorch.supermodule.differentiable import DifferentiableMixedInput, DifferentiableMixedLayer
from torch import Tensor, nn
from torch.nn import functional

from bioautoml_nni.kernels.mixture import Mixture
from bioautoml_nni.registry import named_operations
from bioautoml_nni.utils.errors import ConfigError

from .relaxations._base import Relaxation
from .relaxations.softmax import Softmax


class MixedOperation(DifferentiableMixedLayer):
    """Weighted sum of all candidates; a candidate that is the zero operation adds nothing and is not run.

    Attributes:
        relaxation: gives the weights; with a hard one, only the sampled candidate is run.
        fast: whether weights are folded into the candidates where they offer it (`add_to`).
        skip_dropout: rate at which values of skip connections are dropped in training.
        input_shape: shape of the last input.
        partial_channels: k; candidates see one k-th of the channels, see `make_partial`.
    """

    relaxation: Relaxation = Softmax()
    fast: bool = True
    skip_dropout: float = 0.0
    input_shape: tuple[int, ...] | None = None
    partial_channels: int = 1

    def make_partial(self, k: int) -> None:
        """Build the candidates anew for one k-th of the channels. PC-DARTS, Xu et al., arXiv 1907.05737.

        The other channels pass by, max-pooled where the edge halves the size; then channels are shuffled, so that the
        next edge sees others. The paper's edge normalisation is what `MixedInput` computes. Choices whose candidates
        are no operations on feature maps, such as fusions, stay as they are.

        Raises:
            ConfigError: if the number of channels is no multiple of k.
        """
        candidates = [self[name] for name in self.names]
        if k == 1 or not all(
            hasattr(candidate, "channels") and hasattr(candidate, "stride") for candidate in candidates
        ):
            return
        channels = candidates[0].channels
        if channels % k:
            raise ConfigError(
                [f"strategy.partial_channels: {k} does not divide the {channels} channels of {self.label}."],
                "experiment",
            )
        for name, candidate in zip(self.names, candidates, strict=True):
            self.add_module(name, type(candidate)(channels // k, candidate.stride))
        self.partial_channels = k

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """Return the relaxed output, in the shape of the candidates' outputs."""
        if self.partial_channels == 1:
            return self._relaxed(*args, **kwargs)
        features, k = args[0], self.partial_channels
        seen = features.shape[1] // k
        mixed, rest = self._relaxed(features[:, :seen]), features[:, seen:]
        if self[self.names[0]].stride == 2:
            rest = functional.max_pool2d(rest, 2, 2, ceil_mode=True)
        return functional.channel_shuffle(torch.cat([mixed, rest], dim=1), k)

    def _relaxed(self, *args: Any, **kwargs: Any) -> Tensor:
        weights = self.relaxation.weights(str(self.label), self._arch_alpha, self.training)
        if args and isinstance(args[0], Tensor):
            self.input_shape = tuple(args[0].shape)
        if self.relaxation.hard:
            index = int(weights.argmax())
            return weights[index] * self._candidate(self.names[index], *args, **kwargs)
        if self.fast and len(args) == 1 and not kwargs and isinstance(args[0], Tensor):
            return self._fast(args[0], weights)
        total: Tensor | None = None
        for index, name in self._computed():
            value = self._candidate(name, *args, **kwargs)
            total = weights[index] * value if total is None else torch.addcmul(total, weights[index], value)
        assert total is not None  # a choice has at least one candidate
        return total

    def _computed(self) -> list[tuple[int, str]]:
        """Return position and name of the candidates that are not zero; zero alone is computed."""
        zeros = named_operations("zero")
        return [(i, name) for i, name in enumerate(self.names) if name not in zeros] or list(enumerate(self.names))

    def _fast(self, features: Tensor, weights: Tensor) -> Tensor:
        """Return the same sum with fewer passes over memory: each candidate adds to it as it can do cheapest."""
        mixture = Mixture(features)
        self._add_to(mixture, weights)
        return mixture.result()

    def _add_to(self, mixture: Mixture, weights: Tensor) -> None:
        each = weights.unbind()  # one gradient for all, where indices have one each
        for index, name in self._computed():
            dropped = bool(self.skip_dropout) and self.training and name in named_operations("skip")
            if not dropped and hasattr(self[name], "add_to"):
                self[name].add_to(mixture, each[index])
            else:
                mixture.add(each[index] * self._candidate(name, mixture.features))

    @property
    def adds(self) -> bool:
        """Whether the relaxed output can be added to a sum, as `add_to` does."""
        return self.fast and not self.relaxation.hard and self.partial_channels == 1

    def add_to(self, mixture: Mixture, features: Tensor, share: Tensor) -> None:
        """Add share * forward(features) to the sum of a node, for a scalar share > 0."""
        self.input_shape = tuple(features.shape)
        weights = self.relaxation.weights(str(self.label), self._arch_alpha, self.training)
        exact = torch.promote_types(weights.dtype, features.dtype)  # the product is rounded like the features at least
        self._add_to(mixture.read(features), weights.to(exact) * share.to(exact))

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

    def forward(self, inputs: list[Tensor]) -> Tensor:
        """Return the weighted sum; a node's only input is passed on, since its weight is one whatever alpha is."""
        if len(inputs) == 1:
            return _OnlyInput.apply(inputs[0], self._arch_alpha)
        weights = torch.softmax(self._arch_alpha, -1).unbind()
        total = weights[0] * inputs[0]
        for index in range(1, len(inputs)):
            total = torch.addcmul(total, weights[index], inputs[index])
        return total

    def of_edges(self, edges: Sequence[nn.Module], states: Sequence[Tensor]) -> Tensor:
        """Return the weighted sum of edges[i](states[i]); where they can, all edges add to one sum."""
        if not all(isinstance(edge, MixedOperation) and edge.adds for edge in edges):
            return self([edge(state) for edge, state in zip(edges, states, strict=True)])
        mixed: list[Any] = list(edges)
        mixture = Mixture()
        for edge, state, share in zip(mixed, states, torch.softmax(self._arch_alpha, -1).unbind(), strict=True):
            edge.add_to(mixture, state, share)
        return mixture.result()

    @classmethod
    def mutate(cls, module: Any, name: str, memo: dict[str, Any], mutate_kwargs: dict[str, Any]) -> MixedInput | None:
        """NNI mutation hook: replace an `InputChoice` and remember its reduction."""
        mixed = super().mutate(module, name, memo, mutate_kwargs)
        if mixed is not None:
            assert isinstance(module, InputChoice)
            mixed.reduction = module.reduction
        return mixed


class _OnlyInput(torch.autograd.Function):
    """The input itself, with a gradient of zero for the architecture parameter, which optimisers and DDP expect."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, alpha: Tensor) -> Tensor:
        ctx.save_for_backward(alpha)
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        return gradient, torch.zeros_like(ctx.saved_tensors[0])
