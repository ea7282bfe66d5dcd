"""Hooks of an evaluator's module that NNI's wrapper around it does not pass on: what a user wrote there has to run.

Lightning asks the outermost module for its hooks. NNI's hands on those of steps and epochs; a batch that the user
augments after its transfer, or a gradient that is changed before its step, would silently stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.model_helpers import is_overridden

from .data import SearchBatch

BATCHES = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")
"""Hooks that get a batch and return it."""
STATE = ("on_save_checkpoint", "on_load_checkpoint")
EVENTS = (
    "on_validation_epoch_start", "on_validation_epoch_end", "on_validation_batch_start", "on_validation_batch_end",
    "on_before_optimizer_step",
)  # fmt: skip
OPTIMISATION = (
    "backward", "configure_gradient_clipping", "lr_scheduler_step", "on_before_zero_grad", "optimizer_step",
    "optimizer_zero_grad",
)  # fmt: skip
"""Hooks that NNI's one-shot modules call themselves where optimisation is manual."""


def pass_on(module: Any, names: Iterable[str]) -> None:
    """Let a strategy's module run the hooks that the evaluator's module defines."""
    inner = module.training_module
    for name in names:
        if not isinstance(inner, LightningModule) or not is_overridden(name, inner):
            continue
        hook = getattr(inner, name)
        if name in BATCHES:
            hook = partial(_of_each_batch, hook)
        elif name == "on_before_optimizer_step":
            hook = partial(_of_weights, hook)
        setattr(module, name, hook)


def of_each_batch(datamodule: Any) -> None:
    """Let a data module's hooks of batches get the batches of both groups, one after the other."""
    for name in BATCHES:
        if datamodule is not None and is_overridden(name, datamodule):
            hook = getattr(datamodule, name)
            if not (isinstance(hook, partial) and hook.func is _of_each_batch):
                setattr(datamodule, name, partial(_of_each_batch, hook))


def _of_each_batch(hook: Callable[..., Any], batch: Any, *args: Any, **kwargs: Any) -> Any:
    if isinstance(batch, SearchBatch):
        return SearchBatch(*(None if part is None else hook(part, *args, **kwargs) for part in batch))
    return hook(batch, *args, **kwargs)


def _of_weights(hook: Callable[..., Any], optimizer: Any) -> Any:
    return None if getattr(optimizer, "is_arch_optimizer", False) else hook(optimizer)
