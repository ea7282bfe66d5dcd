"""Lightning module of the final training: the recipe's parts, epoch-wise seeds, averaged weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..config.schema import TrainingConfig
from ..utils.seeding import derive_seed, isolate_rng, seed_everything
from .augment import FeatureTransform, ImageTransform
from .auxiliary import AuxiliaryHead
from .compiling import compiled_passes
from .mixing import Mix, Mixing
from .module import SpecimenModule


class RetrainModule(SpecimenModule):
    """`SpecimenModule` for a fixed network.

    Args:
        num_classes: number of classes K.
        loss: a `losses` plug-in.
        images: image normalisation and augmentation, or None without images.
        recipe: all settings of the training.
        batches: of an epoch.
        seed: of batch order, dropout, augmentation and mixing, different in every epoch.
    """

    model: Any
    loss: Any

    def __init__(
        self,
        num_classes: int,
        loss: nn.Module,
        images: ImageTransform | FeatureTransform | None,
        recipe: TrainingConfig,
        batches: int,
        seed: int,
    ) -> None:
        self.steps_per_epoch = math.ceil(batches / recipe.accumulate)
        super().__init__(
            num_classes, loss, images, "adamw", recipe.learning_rate, recipe.weight_decay, recipe.warmup_steps,
            self.steps_per_epoch * recipe.epochs, recipe.epochs,
        )  # fmt: skip
        self.num_classes = num_classes
        self.trunk_rate, self.layer_decay = recipe.trunk_rate, recipe.layer_decay
        self.frozen_batch_norm = recipe.frozen_batch_norm
        self.recipe = recipe
        self.max_epochs = recipe.epochs
        self.seed = seed
        self.mixing = Mixing(recipe.mixup, recipe.cutmix) if images and (recipe.mixup or recipe.cutmix) else None
        # Not as a class attribute: that would hide the module that is set later.
        self.auxiliary: AuxiliaryHead | None = None
        self.averaged: Any = None
        self._average: AveragedModel | None = None
        self._averaged_steps = 0
        self._passes: Any = None

    def set_model(self, model: nn.Module) -> None:
        """Set the network; its moving average starts as a copy."""
        # Lightning's EMAWeightAveraging was tried in its place with 2.6, and not taken. The kill tests stay equal, but
        # last.ckpt of an earlier version cannot be resumed (unexpected keys _average.*: it keeps the average as
        # state_dict, the own state beside it), averages differ by 4e-7 from those until now, and it copies
        # and averages all of this module, auxiliary head and loss included, and not the network alone.
        if self.recipe.ema_decay:
            average = get_ema_multi_avg_fn(self.recipe.ema_decay)
            self._average = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
            self._average.requires_grad_(False)
            self.averaged = self._average.module
        super().set_model(model)
        if self.images is not None and self.recipe.auxiliary_weight:  # after the copy, which must not be listened to
            source, channels = self.model.auxiliary_source()
            self.auxiliary = AuxiliaryHead(source, channels, self.num_classes)

    def set_epochs(self, epochs: int) -> None:
        """Let the schedule end after so many epochs."""
        self.epochs, self.total_steps = epochs, self.steps_per_epoch * epochs

    def has_unread_parameters(self, batch: Mapping[str, Tensor]) -> bool:
        """Whether a pass of a batch gives some parameters that are trained no gradient; everything stays as it was."""
        state = {name: value.clone() for name, value in self.state_dict().items()}
        with isolate_rng():
            total = self.model(self.inputs(batch)).float().sum()
            if self.projection is not None:
                total = total + self.projection().float().sum()
            if self.auxiliary is not None:  # whose layers are the network's, too: one pass back for both
                total = total + self.auxiliary().float().sum()
            total.backward()
        heads = [part for part in (self.projection, self.auxiliary) if part is not None]
        trained = chain(self.model.parameters(), *(head.parameters() for head in heads))
        found = any(parameter.requires_grad and parameter.grad is None for parameter in trained)
        self.zero_grad(set_to_none=True)
        self.load_state_dict(state)
        return found

    def on_train_epoch_start(self) -> None:
        """Start the epoch from its own seed, so that a resumed run draws what an uninterrupted one draws.

        Several processes draw the same order of specimens, each the augmentation and dropout of its own share.
        """
        super().on_train_epoch_start()
        epoch = self.trainer.current_epoch
        epoch_seed = derive_seed(self.seed, "retrain", epoch)
        rank = self.trainer.global_rank
        seed_everything(derive_seed(self.seed, "retrain", epoch, "process", rank) if rank else epoch_seed)
        generator = getattr(getattr(self.trainer.train_dataloader, "sampler", None), "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(epoch_seed)
        if self.recipe.drop_path:
            self.model.set_drop_path(self.recipe.drop_path * min(1.0, epoch / self.epochs))
        self._averaged_steps = self.trainer.global_step

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Return the training loss."""
        inputs, mix = self.inputs(batch), None
        if self._passes is None:
            self._passes = compiled_passes(self.model, inputs) if self.recipe.compile else self.model.__call__
        if self.mixing is not None:
            inputs, mix = self.mixing.of_batch(inputs)
        logits = self._passes(inputs)
        loss = self._of_labels(logits, batch["target"], mix)
        if self.distillation is not None:
            loss = self.distillation(loss, logits, inputs, mix, self.projection)
        if self.auxiliary is not None:
            loss = loss + self.recipe.auxiliary_weight * self._of_labels(self.auxiliary(), batch["target"], mix)
        count = len(batch["target"])
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=count, sync_dist=True)
        return loss

    def _of_labels(self, logits: Tensor, target: Tensor, mix: Mix | None) -> Tensor:
        return self.loss(logits, target) if mix is None else mix.blend(lambda own: self.loss(logits, own), target)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Update the moving average after a step, that of batch-norm statistics included."""
        if self._average is not None and self.trainer.global_step > self._averaged_steps:
            self._averaged_steps = self.trainer.global_step
            self._average.update_parameters(self.model)

    def forward(self, batch: Any) -> Tensor:
        """Return logits (N, K); outside of training those of the averaged weights."""
        network = self.model if self.training or self.averaged is None else self.averaged
        return network(self.inputs(batch))
