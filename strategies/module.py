"""The Lightning side of a search: one optimiser step at a time, for the group that the schedule names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import torch
from nni.nas.oneshot.pytorch.differentiable import DartsLightningModule
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import ReduceLROnPlateau

from bioautoml_nni.architecture.topology import only_edges
from bioautoml_nni.utils.errors import PluginError
from bioautoml_nni.utils.seeding import derive_seed, seed_everything

from .agreement import require_agreement
from .checkpointing import frozen_batch_norm
from .curvature import CurvatureRecord
from .data import SearchBatch, SearchLoader
from .distributed import average, average_gradients
from .finiteness import FiniteLosses
from .graphs import RecordedPasses
from .groups import Group, ParameterGroups
from .guards import GuardedArchitecture, Guards
from .hooks import BATCHES, EVENTS, of_each_batch, pass_on
from .regularisers._base import Regulariser
from .relaxations._base import Relaxation
from .schedules._base import Schedule
from .supernet import MixedOperation, skips_of

logger = logging.getLogger(__name__)


class AlternatingModule(DartsLightningModule):
    """The Lightning side of the search: what the schedule asks for, one optimiser step at a time.

    The group that is not updated is frozen, so that its gradients are not even computed. Architecture steps leave the
    running statistics of batch norms alone.

    What is not a step has a place of its own: `ParameterGroups` freezes, `GuardedArchitecture` judges an epoch,
    `FiniteLosses` watches losses, `CurvatureRecord` measures, `RecordedPasses` records on a GPU. They are no callbacks:
    those belong to the trainer, which is the evaluator's and not ours, and guards have to judge after the history has
    its line and before the checkpoint is written.
    """

    def __init__(
        self,
        training_module: Any,
        *,
        alpha_weight_decay: float,
        schedule: Schedule,
        relaxation: Relaxation,
        regularisers: Sequence[Regulariser],
        guards: Guards,
        log_curvature: bool,
        cuda_graphs: bool,
        seed: int,
        choices: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(training_module, **kwargs)
        self.choices = choices
        self.alpha_weight_decay = alpha_weight_decay
        self.schedule = schedule
        self.relaxation = relaxation
        self.regularisers = list(regularisers)
        self.seed = seed
        self.guarded = GuardedArchitecture(guards)
        self.losses = FiniteLosses()
        self.curvature = CurvatureRecord() if log_curvature else None
        self.passes = RecordedPasses(cuda_graphs)
        pass_on(self, (*BATCHES, *EVENTS))

    def setup(self, stage: str = "") -> None:
        """Let the hooks of a data module get batches, and not pairs of them."""
        of_each_batch(getattr(self.trainer, "datamodule", None))
        super().setup(stage)

    @cached_property
    def groups(self) -> ParameterGroups:
        """Architecture parameters and weights."""
        return ParameterGroups(self.training_module, self.model)

    def architecture_parameters(self) -> dict[str, nn.Parameter]:
        """The live architecture parameters by label, in alphabetical order."""
        return self.groups.architecture

    def arch_parameters(self) -> list[nn.Parameter]:
        """The same as a list; NNI's own list comes from a set, so that its order differs between processes."""
        return list(self.architecture_parameters().values())

    def configure_architecture_optimizers(self) -> torch.optim.Optimizer:
        """Adam with the settings of DARTS, over the parameters in the order of their names."""
        parameters = self.arch_parameters()
        if not parameters:
            raise ValueError("The space has no open choice; there is nothing to search.")
        return torch.optim.Adam(
            parameters, self.arc_learning_rate, betas=(0.5, 0.999), weight_decay=self.alpha_weight_decay
        )

    @property
    def searching(self) -> bool:
        """Whether warm-up is over, so that architecture parameters are updated."""
        return self.trainer.current_epoch >= self.warmup_epochs

    def on_fit_start(self) -> None:
        """Do not go on with a search that a guard had stopped before it was killed."""
        super().on_fit_start()
        if self.stopped is not None:
            self.trainer.should_stop = True

    def on_train_start(self) -> None:
        """Refuse what no step can do.

        Raises:
            PluginError: if the evaluator's learning rate waits for a metric.
        """
        if any(isinstance(config.scheduler, ReduceLROnPlateau) for config in self.trainer.lr_scheduler_configs):
            raise PluginError(
                "the evaluator's ReduceLROnPlateau waits for a metric, which a search has none of for it; take a "
                "scheduler of steps or epochs, such as CosineAnnealingLR."
            )
        super().on_train_start()

    @property
    def stopped(self) -> str | None:
        """When and why a guard stopped the search, None if none did."""
        return self.guarded.stopped

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> int | None:
        """Keep DDP from waiting for gradients of both groups; `manual_backward` averages those of the one at work."""
        wrapper = self.trainer.strategy.model
        if isinstance(wrapper, DistributedDataParallel):
            wrapper.require_backward_grad_sync = False  # Lightning switches it on again after every step
        answer: int | None = super().on_train_batch_start(batch, batch_idx)
        return answer

    def on_train_epoch_start(self) -> None:
        """Start the epoch from its own seed, so that a resumed search draws what an uninterrupted one draws."""
        epoch, rank = self.trainer.current_epoch, self.trainer.global_rank
        seed_everything(derive_seed(self.seed, "epoch", epoch, *([rank] if rank else [])))
        loader = self.trainer.train_dataloader
        if isinstance(loader, SearchLoader):
            loader.set_epoch(epoch)
        self.passes.start_epoch()
        self.training_module.on_train_epoch_start()

    def training_step(self, batch: SearchBatch, batch_idx: int) -> Tensor | dict[str, Any] | None:
        """Make the updates that the schedule asks for; before the first one, supernet and frozen networks are compared.

        Raises:
            PluginError: if they differ, naming the choice.
        """
        if self.choices is not None:
            first = batch.weights if batch.weights is not None else batch.alpha
            require_agreement(self.training_module, self.model, first, self.choices, None)
            self.choices = None
        progress = self._progress(batch_idx)
        self.relaxation.start_step(progress)
        for regulariser in self.regularisers:
            regulariser.start_step(self.model, progress)
        if self.curvature is not None:
            self.curvature.take(batch)
        self.passes.start_step(self.device, self.model, self.relaxation, lambda: self.groups.active)
        result = self.schedule.step(self, batch, batch_idx)
        if self.trainer.is_last_batch:
            self.losses.check()
            if self.curvature is not None and self.searching:
                self._log_curvature(self.curvature, batch.weights)
        return result

    def _log_curvature(self, curvature: CurvatureRecord, batch: Any) -> None:
        with self.frozen_batch_norm():
            self.groups.only("alpha")
            found = curvature.value(batch, self.loss_of, self.arch_parameters())
        self.log("alpha_hessian_eigenvalue", found, batch_size=1)

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Compute gradients; those of several processes are averaged, so that all make the same update."""
        super().manual_backward(loss, *args, **kwargs)
        average_gradients([parameter for parameter in self.training_module.parameters() if parameter.requires_grad])

    def architecture_step(self, batch: Any) -> Tensor:
        """Update the architecture parameters by the gradient of one batch."""
        self.groups.only("alpha")
        with self.frozen_batch_norm():
            loss = self.loss_of(batch)
        penalised = loss + self._penalty().to(loss) if self.regularisers else loss
        optimizer: Any = self.architecture_optimizers()
        optimizer.zero_grad()
        self.manual_backward(penalised)
        optimizer.step()
        self._log_step("alpha", loss)
        return loss.detach()

    def apply_architecture_gradients(self, gradients: Sequence[Tensor], loss: Tensor) -> None:
        """Update the architecture parameters by gradients that were computed elsewhere, those of penalties added.

        The gradients must be the same in all processes (see `distributed.average`).
        """
        self.losses.record(loss)
        parameters = self.arch_parameters()
        optimizer: Any = self.architecture_optimizers()
        optimizer.zero_grad()
        if self.regularisers:
            self.groups.only("alpha")
            self.manual_backward(self._penalty())
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
        optimizer.step()
        self._log_step("alpha", loss)

    def weights_step(self, batch: Any, index: int) -> Tensor:
        """Update the weights by the gradient of one batch, and advance the schedulers."""
        self.groups.only("weights")
        loss = self.loss_of(batch)
        self.advance_optimization(loss, index, self.gradient_clip_val or None)
        self.advance_lr_schedulers(index)
        self._log_step("weights", loss)
        return loss.detach()

    def joint_step(self, batch: Any, index: int) -> Tensor:
        """Update both groups by the gradient of one loss."""
        if not self.searching:
            return self.weights_step(batch, index)
        with self.unfrozen():
            loss = self.loss_of(batch)
            optimizer: Any = self.architecture_optimizers()
            optimizer.zero_grad()
            if self.regularisers:
                self.manual_backward(self._penalty())
            self.advance_optimization(loss, index, self.gradient_clip_val or None)
            optimizer.step()
        self.advance_lr_schedulers(index)
        self._log_step("weights", loss)
        self._log_step("alpha", loss)
        return loss.detach()

    def loss_of(self, batch: Any) -> Tensor:
        """Return the evaluator's own training loss of a batch.

        Raises:
            DivergenceError: if it is not finite; on a GPU at the end of the epoch, since asking waits for the step.
        """
        result = self.training_module.training_step(batch, 0)
        loss = result["loss"] if isinstance(result, dict) else result
        self.losses.record(loss)
        return loss

    def weight_optimizer(self) -> torch.optim.Optimizer:
        """Return the evaluator's own optimiser."""
        found: Any = self.optimizers()
        weights = [optimizer for optimizer in found if not getattr(optimizer, "is_arch_optimizer", False)]
        inner: torch.optim.Optimizer = getattr(weights[0], "optimizer", weights[0])
        return inner

    def _log_step(self, group: Group, loss: Tensor) -> None:
        """Log the loss and the gradient norm of the group that was just updated (after clipping)."""
        gradients = [parameter.grad.detach() for parameter in self.groups.of(group) if parameter.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        values = {f"{group}_loss": loss.detach(), f"{group}_gradient_norm": norm}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=1)  # every batch counts the same

    def _penalty(self) -> Tensor:
        alphas, progress = self.architecture_parameters(), self.relaxation.progress
        total = torch.zeros((), device=next(iter(alphas.values())).device)
        for regulariser in self.regularisers:
            total = total + regulariser.penalty(self.model, alphas, self.relaxation, progress).to(total)
        return total

    def _progress(self, batch_idx: int) -> float:
        known = self.trainer.num_training_batches != float("inf")  # unlike that of iterable data
        batches = max(1, int(self.trainer.num_training_batches)) if known else batch_idx + 1
        epochs = max(1, int(self.trainer.max_epochs or 1))
        return min(1.0, (self.trainer.current_epoch + batch_idx / batches) / epochs)

    def frozen_batch_norm(self) -> AbstractContextManager[None]:
        """Leave the running statistics of batch norms alone."""
        return frozen_batch_norm(self.model)

    def unfrozen(self) -> AbstractContextManager[None]:
        """Let gradients reach both groups."""
        return self.groups.both()

    def operation_weights(self) -> dict[str, dict[str, float]]:
        """Return the present architecture weights of all choices of operations, by label."""
        memo: dict[str, Any] = {}
        for module in self.model.modules():
            if isinstance(module, MixedOperation):
                memo.update(module.export_probs(memo))
        return {str(label): dict(values) for label, values in memo.items()}

    def guarded_weights(self) -> dict[str, dict[str, float]]:
        """Return the weights that guards judge, by label.

        In a space made of cells these are the edges; another choice beside them, such as a fusion, is not meant. In any
        other space it is every choice.
        """
        edges = only_edges(self.operation_weights())
        return edges or {str(label): dict(own) for label, own in self.export_probs().items()}

    def on_train_epoch_end(self) -> None:
        """Ask the guards; an unsound architecture gives way to the last sound one."""
        self.training_module.on_train_epoch_end()
        average([buffer for buffer in self.model.buffers() if buffer.is_floating_point()])  # of batch norms
        if not self.searching:
            return
        epoch, parameters = self.trainer.current_epoch, self.architecture_parameters()
        if not self.guarded.end_epoch(epoch, self.guarded_weights(), skips_of(self.model), parameters):
            self.trainer.should_stop = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the guards know."""
        self.training_module.on_save_checkpoint(checkpoint)
        checkpoint["search_guards"] = self.guarded.state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what the guards know."""
        self.training_module.on_load_checkpoint(checkpoint)
        self.guarded.restore(checkpoint.get("search_guards", {}))

    def postprocess_weight_optimizers(self, optimizer: Any) -> Any:
        """Take architecture parameters out of the weight optimiser, by identity."""
        return self.groups.without_architecture(optimizer)

    # Hooks that NNI's wrapper does not pass on.

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the evaluator's module."""
        return self.training_module(*args, **kwargs)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        """Validate the supernet with the evaluator's own step."""
        return self.training_module.validation_step(batch, batch_idx)

    def on_fit_end(self) -> None:
        """Pass on; NNI's evaluators report what the last validation found, also where none came before the end."""
        try:
            super().on_fit_end()
        except KeyError as error:
            if not str(error.args[0]).startswith("val_"):
                raise
            logger.warning("the search ended before its first validation: %s is not reported", error.args[0])

    def on_validation_model_zero_grad(self) -> None:
        """Keep the last gradients, as without validation; each step clears its own."""

    def on_validation_epoch_start(self) -> None:
        """Pass on."""
        self.training_module.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        """Pass on."""
        self.training_module.on_validation_epoch_end()
