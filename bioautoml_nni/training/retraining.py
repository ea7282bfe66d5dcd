"""Lightning module of the final training: gradient clipping by the trainer, epoch-wise seeds, averaged weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..seeding import derive_seed, seed_everything
from .module import SpecimenModule


class RetrainModule(SpecimenModule):
    """`SpecimenModule` for a fixed network.

    Args:
        seed: of batch order, dropout and augmentation, anew each epoch.
        ema_decay: decay of the exponential moving average of the weights that is validated and kept; 0 is off.
        kwargs: arguments of `SpecimenModule`.
    """

    averaged: torch.nn.Module | None = None

    def __init__(self, *, seed: int, ema_decay: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.ema_decay = ema_decay
        self._average: AveragedModel | None = None

    def set_model(self, model: torch.nn.Module) -> None:
        """Set the network; its moving average starts as a copy."""
        super().set_model(model)
        if self.ema_decay:
            self._average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(self.ema_decay), use_buffers=True)
            self._average.requires_grad_(False)
            self.averaged = self._average.module

    def on_train_epoch_start(self) -> None:
        """Start the epoch from its own seed, so that a resumed run draws what an uninterrupted one draws."""
        super().on_train_epoch_start()
        epoch_seed = derive_seed(self.seed, "retrain", self.trainer.current_epoch)
        seed_everything(epoch_seed)
        generator = getattr(getattr(self.trainer.train_dataloader, "sampler", None), "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(epoch_seed)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the moving average, that of batch-norm statistics included."""
        if self._average is not None:
            self._average.update_parameters(self.model)

    def forward(self, batch: Any) -> Tensor:
        """Return logits (N, K); outside of training those of the averaged weights."""
        network = self.model if self.training or self.averaged is None else self.averaged
        return network(self.inputs(batch))
