"""Second-order DARTS. Liu et al., arXiv 1806.09055, equations 7 and 8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bioautoml_nni.utils.numbers import Positive

from ..data import SearchBatch
from ..distributed import average
from ._base import SearchModule
from .per_step import PerStep


class Unrolled(PerStep):
    """As `per_step`, with the architecture's gradient taken after one look-ahead step of the weights.

    Costs about four passes more. The look-ahead is plain SGD with momentum and weight decay as the weight optimiser
    has them; the second derivative is a central finite difference.

    Args:
        epsilon: length of the finite difference's step.
    """

    def __init__(self, epsilon: Positive = 0.01) -> None:
        self.epsilon = epsilon

    def step(self, module: SearchModule, batch: SearchBatch, index: int) -> Tensor | None:
        if module.searching:
            self._architecture_step(module, batch)
        return module.weights_step(batch.weights, index)

    def _architecture_step(self, module: SearchModule, batch: SearchBatch) -> None:
        optimizer = module.weight_optimizer()
        weights = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        directions = []
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                momentum = optimizer.state.get(parameter, {}).get("momentum_buffer")
                kept = 0.0 if momentum is None else group.get("momentum", 0.0) * momentum
                directions.append(kept + group.get("weight_decay", 0.0) * parameter.detach())
        rates = [group["lr"] for group in optimizer.param_groups for _ in group["params"]]
        alphas = module.arch_parameters()
        seed = int(torch.randint(2**31, ()).item())

        def loss(inner: Any, offset: int) -> Callable[[], Tensor]:
            def compute() -> Tensor:
                torch.manual_seed(seed + offset)  # the same augmentation and dropout in every pass
                return module.loss_of(inner)

            return compute

        with module.unfrozen(), module.frozen_batch_norm(), torch.random.fork_rng():
            train, validation = loss(batch.weights, 0), loss(batch.alpha, 1)
            gradients, value = unrolled_gradient(train, validation, weights, alphas, rates, directions, self.epsilon)
        module.apply_architecture_gradients(gradients, value)


def unrolled_gradient(
    train_loss: Callable[[], Tensor],
    validation_loss: Callable[[], Tensor],
    weights: Sequence[nn.Parameter],
    alphas: Sequence[nn.Parameter],
    rates: Sequence[float],
    directions: Sequence[Tensor],
    epsilon: Positive = 0.01,
) -> tuple[list[Tensor], Tensor]:
    """Return the gradient of L_val(w - rate * (dL_train/dw + direction), alpha) w.r.t. alpha, and that loss.

    With w' the weights after the look-ahead step, the chain rule gives dL_val(w')/dalpha minus rate times the mixed
    second derivative of L_train along dL_val/dw'. The latter is (g(w + r d) - g(w - r d)) / (2 r) with g the gradient
    of L_train w.r.t. alpha, d = rate * dL_val/dw' and r = epsilon / |d|. Every gradient is the mean over all processes.

    Args:
        train_loss, validation_loss: recomputed from the present values of the parameters.
        weights, alphas: the two groups; weights are restored on return.
        rates: learning rate of each weight.
        directions: momentum and decay of each weight, constants in the derivative.
        epsilon: length of the finite difference's step.
    """
    backup = [weight.detach().clone() for weight in weights]

    def set_weights(values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for weight, value in zip(weights, values, strict=True):
                weight.copy_(value)

    def gradients(loss: Tensor, parameters: Sequence[nn.Parameter]) -> list[Tensor]:
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        whole = [torch.zeros_like(p) if g is None else g.contiguous() for g, p in zip(found, parameters, strict=True)]
        average(whole)
        return whole

    try:
        grads = gradients(train_loss(), weights)
        set_weights([w - r * (g + d) for w, r, g, d in zip(backup, rates, grads, directions, strict=True)])
        value = validation_loss()
        both = gradients(value, [*alphas, *weights])
        by_alpha, by_weight = both[: len(alphas)], both[len(alphas) :]
        ahead = [rate * gradient for rate, gradient in zip(rates, by_weight, strict=True)]
        length = torch.sqrt(sum((step.double().square().sum() for step in ahead), torch.zeros((), dtype=torch.float64)))
        if float(length) == 0.0:
            return by_alpha, value.detach()
        scale = epsilon / float(length)
        sides = []
        for sign in (1.0, -1.0):
            set_weights([w + sign * scale * step for w, step in zip(backup, ahead, strict=True)])
            sides.append(gradients(train_loss(), alphas))
        return [g - (up - down) / (2 * scale) for g, up, down in zip(by_alpha, *sides, strict=True)], value.detach()
    finally:
        set_weights(backup)
