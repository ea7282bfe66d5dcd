"""Activation checkpointing of cells: Chen et al., Training deep nets with sublinear memory cost, arXiv 1604.06174."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .supernet import MixedOperation


def checkpoint_cells(model: nn.Module) -> None:
    """Make every cell of a supernet keep its input only, and compute the rest again in the backward pass.

    A cell is the innermost module of a list of modules (`nn.ModuleList`) that holds mixed operations. Its own `forward`
    is replaced, since a wrapper around it would rename the parameters that derivation and resume look for.
    """
    for stack in model.modules():
        if not isinstance(stack, nn.ModuleList):
            continue
        for cell in stack:
            if any(isinstance(module, MixedOperation) for module in cell.modules()):
                cell.forward = partial(_checkpointed, cell, cell.forward)


def _checkpointed(cell: nn.Module, forward: Any, features: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        result: Tensor = forward(features)
        return result
    result = checkpoint(forward, features, use_reentrant=False, context_fn=partial(_contexts, cell))
    return result


def _contexts(cell: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), frozen_batch_norm(cell)


@contextmanager
def frozen_batch_norm(model: nn.Module) -> Iterator[None]:
    """Leave the running statistics of batch norms alone."""
    norms = [norm for norm in model.modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
