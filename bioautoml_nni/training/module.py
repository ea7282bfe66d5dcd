"""The Lightning module that trains one network, or a supernet, on batches of specimens."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from nni.nas.evaluator.pytorch import LightningModule
from torch import Tensor, nn
from torchmetrics.classification import MulticlassAccuracy

from ..utils.errors import PluginError
from .augment import FeatureTransform, ImageTransform
from .counts import MacroF1
from .distillation import Distillation
from .rates import freeze_batch_norm, rate_scales
from .teacher_features import FeatureProjection


class SpecimenModule(LightningModule):
    """Loss, optimiser and validation metrics for specimen batches; the network itself comes by `set_model`.

    Validation logs ``val_loss``, ``val_accuracy`` and ``val_macro_f1`` (mean over the classes that occur).

    Args:
        num_classes: number of classes K.
        loss: maps logits (N, K) and class indices (N,) to a scalar.
        images: image normalisation and augmentation, or None without images.
        optimizer: "sgd" (momentum 0.9, cosine down to 4 % as in DARTS) or "adamw" (cosine to zero).
        learning_rate: at its peak.
        weight_decay: of all weights with two or more dimensions.
        warmup_steps: steps over which the rate rises linearly.
        total_steps: length of the schedule in optimiser steps.
        epochs: the same in epochs.

    Attributes:
        rate_factor: lowers the whole schedule, after a loss that was not finite.
        trunk_rate, layer_decay: rates of a pretrained trunk that is trained; see `rates.rate_scales`.
        frozen_batch_norm: whether such a trunk keeps the statistics of its batch norms.
        distillation: what a teacher adds to the training loss of batches that have something for it, or None; it has
            to be there when the network is set.
        projection: of the network's features, where the teacher gives some.
    """

    def __init__(
        self,
        num_classes: int,
        loss: nn.Module,
        images: ImageTransform | FeatureTransform | None,
        optimizer: Literal["sgd", "adamw"],
        learning_rate: float,
        weight_decay: float,
        warmup_steps: int,
        total_steps: int,
        epochs: int,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.loss = loss
        self.images = images
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.epochs = epochs
        self.rate_factor = 1.0
        self.trunk_rate = self.layer_decay = 1.0
        self.frozen_batch_norm = False
        self.distillation: Distillation | None = None
        self.projection: FeatureProjection | None = None
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.macro_f1 = MacroF1(num_classes)

    def set_model(self, model: nn.Module) -> None:
        """Set the network, and what projects its features where the teacher gives some."""
        super().set_model(model)
        if self.distillation is not None and self.distillation.feature_width is not None:
            self.projection = FeatureProjection(model, self.distillation.feature_width)

    def inputs(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the network's input: images transformed, everything else as it is."""
        prepared = dict(batch)
        if self.images is not None:
            prepared.update(self.images.of_batch(batch))
        return prepared

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Return logits (N, K)."""
        return self.model(self.inputs(batch))

    @staticmethod
    def require(part: nn.Module, value: Any, shape: tuple[int, ...]) -> Tensor:
        """Return what a network or a loss has given, which an error far from here would not name.

        Raises:
            PluginError: if it is not a tensor of that shape.
        """
        if not isinstance(value, Tensor) or value.shape != shape:
            found = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
            raise PluginError(
                f"{type(part).__name__}.forward() gave {found} where training needs a tensor {shape}; correct it, or "
                "name another part in the experiment."
            )
        return value

    def on_train_epoch_start(self) -> None:
        """Tell the loss how far the training is, and keep a trunk's statistics if they are frozen."""
        if self.frozen_batch_norm:
            freeze_batch_norm(self.model)
        start = getattr(self.loss, "start_epoch", None)
        if callable(start):
            start(min(1.0, self.trainer.current_epoch / self.epochs))

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """Return the training loss."""
        inputs = self.inputs(batch)
        logits = self.require(self.model, self.model(inputs), (len(batch["target"]), self.num_classes))
        loss = self.require(self.loss, self.loss(logits, batch["target"]), ())
        if self.distillation is not None:
            loss = self.distillation(loss, logits, inputs, projected=self.projection)
        count = len(batch["target"])
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=count, sync_dist=True)
        return loss

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Collect validation metrics."""
        logits, target = self(batch), batch["target"]
        self.accuracy.update(logits, target)
        self.macro_f1.update(logits, target)
        # Lightning averages whole numbers of specimens over processes and drops the remainder: multiples leave none.
        specimens = len(target) * self.trainer.world_size
        self.log("val_loss", self.loss(logits, target), on_epoch=True, batch_size=specimens, sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's counts."""
        self.accuracy.reset()
        self.macro_f1.reset()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the whole validation split."""
        self.log("val_accuracy", self.accuracy.compute())
        self.log("val_macro_f1", self.macro_f1.compute())

    def configure_optimizers(self) -> Any:
        """Return optimiser and step-wise schedule."""
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        scales = rate_scales(self.model, self.trunk_rate, self.layer_decay)
        groups: list[dict[str, Any]] = []
        for scale in [1.0, *sorted(set(scales.values()) - {1.0})]:
            own = [parameter for parameter in trained if scales.get(id(parameter), 1.0) == scale]
            rate = {} if scale == 1 else {"lr": scale * self.learning_rate}
            groups += [
                {"params": [p for p in own if p.ndim > 1], "weight_decay": self.weight_decay, **rate},
                {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0, **rate},
            ]
        optimizer: torch.optim.Optimizer
        if self.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, self.learning_rate, momentum=0.9)
        else:
            optimizer = torch.optim.AdamW(groups, self.learning_rate)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def _rate(self, step: int) -> float:
        return self.rate_factor * self._schedule(step)

    def _schedule(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        progress = min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps))
        floor = 0.04 if self.optimizer == "sgd" else 0.0
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
