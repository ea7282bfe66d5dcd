"""Dominant eigenvalue of the Hessian of a loss w.r.t. the architecture parameters.

Zela et al., Understanding and Robustifying Differentiable Architecture Search, arXiv 1909.09656: where it grows, the
derived network falls behind the supernet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from ._callback import SearchCallback
from .data import SearchBatch
from .distributed import average

EPSILON = 0.01
"""Length of the finite difference's step, as in the unrolled gradient."""


def dominant_eigenvalue(
    gradient: Callable[[], Sequence[Tensor]],
    parameters: Sequence[nn.Parameter],
    iterations: int = 8,
    epsilon: float = EPSILON,
) -> float:
    """Return the eigenvalue of largest magnitude of a symmetric Hessian, by power iteration.

    A product of the Hessian and a unit vector v is (g(p + e v) - g(p - e v)) / (2 e), g being the gradient: exact for
    a quadratic loss, and without second derivatives, which the supernet's faster forms do not have.

    Args:
        gradient: the loss's gradient w.r.t. `parameters` as they are; the same batch and noise in every call.
        parameters: changed on the way and restored on return.
        iterations: products of which the last gives the value (its Rayleigh quotient).
        epsilon: e.
    """
    backup = [parameter.detach().clone() for parameter in parameters]
    sizes = [parameter.numel() for parameter in parameters]
    generator = torch.Generator().manual_seed(0)
    like = backup[0]
    vector = torch.randn(sum(sizes), generator=generator, dtype=torch.float64).to(like)
    vector /= vector.norm()
    value = 0.0

    def at(sign: float) -> Tensor:
        with torch.no_grad():
            for parameter, old, part in zip(parameters, backup, vector.split(sizes), strict=True):
                parameter.copy_(old + sign * epsilon * part.view_as(old))
        return torch.cat([part.detach().flatten() for part in gradient()])

    try:
        for _ in range(iterations):
            product = (at(1.0) - at(-1.0)) / (2 * epsilon)
            value = float(vector @ product)
            length = product.norm()
            if not bool(length > 0):
                return 0.0
            vector = product / length
        return value
    finally:
        with torch.no_grad():
            for parameter, old in zip(parameters, backup, strict=True):
                parameter.copy_(old)


class CurvatureRecord(SearchCallback):
    """Logs the curvature at the end of an epoch, on its last batch for the architecture."""

    def __init__(self) -> None:
        self._batch: Any = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: SearchBatch, batch_idx: int
    ) -> None:
        """Remember a step's batch for the architecture, if it has one, and measure after the last step."""
        if batch.alpha is not None:
            self._batch = batch.alpha
        if not trainer.is_last_batch or not pl_module.searching:
            return
        with trainer.precision_plugin.train_step_context(), pl_module.frozen_batch_norm():
            pl_module.groups.only("alpha")
            found = self.value(batch.weights, pl_module.loss_of, pl_module.arch_parameters())
        pl_module.log("alpha_hessian_eigenvalue", found, batch_size=1)

    def value(self, batch: Any, loss: Callable[[Any], Tensor], parameters: Sequence[nn.Parameter]) -> float:
        """Return the dominant eigenvalue of the Hessian of a batch's loss w.r.t. the architecture parameters.

        Args:
            batch: taken where no step had a batch for the architecture.
            loss: of a batch; its gradients reach the parameters only.
        """
        inner = batch if self._batch is None else self._batch

        def gradient() -> list[Tensor]:
            torch.manual_seed(0)  # the same augmentation, dropout and noise in every pass
            found = torch.autograd.grad(loss(inner), parameters, allow_unused=True)
            whole = [torch.zeros_like(p) if g is None else g for g, p in zip(found, parameters, strict=True)]
            average(whole)
            return whole

        with torch.random.fork_rng():
            return dominant_eigenvalue(gradient, parameters)
