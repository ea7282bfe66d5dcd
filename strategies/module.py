"""The Lightning side of a search: one optimiser step at a time, for the group that the schedule names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import torch
from nni.nas.oneshot.pytorch.differentiable import DartsLightningModule
from pytorch_lightning import Callback
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from bioautoml_nni.utils.errors import PluginError

from ._callback import SearchCallback
from .agreement import Agreement
from .checkpointing import frozen_batch_norm
from .curvature import CurvatureRecord
from .data import SearchBatch
from .distributed import SharedUpdates, average_gradients
from .finiteness import FiniteLosses
from .graphs import RecordedPasses
from .groups import Group, ParameterGroups
from .guards import GuardedArchitecture, Guards
from .hooks import BATCHES, EVENTS, STATE, of_each_batch, pass_on
from .progress import SearchProgress, SeededEpochs
from .regularisers._base import Regulariser
from .relaxations._base import Relaxation
from .schedules._base import Schedule
from .step_log import StepLog

logger = logging.getLogger(__name__)


class AlternatingModule(DartsLightningModule):
    """The Lightning side of the search: what the schedule asks for, one optimiser step at a time.

    The group that is not updated is frozen, so that its gradients are not even computed. Architecture steps leave the
    running statistics of batch norms alone.

    What is not a step is a callback, which the module brings along: seeds (`SeededEpochs`), how far the search is
    (`SearchProgress`), what has to hold before the first update (`Agreement`), several processes (`SharedUpdates`),
    recording on a GPU (`RecordedPasses`), losses that are not finite (`FiniteLosses`), curvature (`CurvatureRecord`),
    logging (`StepLog`), guards (`GuardedArchitecture`). They come behind the callbacks of the evaluator, such as the
    history of a run, and before what writes checkpoints.
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
        self.alpha_weight_decay = alpha_weight_decay
        self.schedule = schedule
        self.relaxation = relaxation
        self.regularisers = list(regularisers)
        self.guarded, self.losses, self.step_log = GuardedArchitecture(guards), FiniteLosses(), StepLog()
        self.search_callbacks: list[SearchCallback] = [
            SeededEpochs(seed),
            SharedUpdates(),
            *([Agreement(choices)] if choices is not None else []),
            SearchProgress(relaxation, self.regularisers),
            *([RecordedPasses()] if cuda_graphs else []),
            self.losses,
            *([CurvatureRecord()] if log_curvature else []),
            self.step_log,
            self.guarded,
        ]
        pass_on(self, (*BATCHES, *STATE, *EVENTS))

    def configure_callbacks(self) -> list[Callback]:
        """Return the callbacks that the evaluator's module brings along, and those of the search."""
        own = self.training_module.configure_callbacks()
        return [*(own if isinstance(own, Sequence) else [own]), *self.search_callbacks]

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

    def on_train_epoch_start(self) -> None:
        """Pass on; NNI's own would thaw architecture parameters, which `groups` does."""
        self.training_module.on_train_epoch_start()

    def training_step(self, batch: SearchBatch, batch_idx: int) -> Tensor | dict[str, Any] | None:
        """Make the updates that the schedule asks for."""
        return self.schedule.step(self, batch, batch_idx)

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
        self._updated("alpha", loss)
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
        self._updated("alpha", loss)

    def weights_step(self, batch: Any, index: int) -> Tensor:
        """Update the weights by the gradient of one batch, and advance the schedulers."""
        self.groups.only("weights")
        loss = self.loss_of(batch)
        self.advance_optimization(loss, index, self.gradient_clip_val or None)
        self.advance_lr_schedulers(index)
        self._updated("weights", loss)
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
        self._updated("weights", loss)
        self._updated("alpha", loss)
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

    def _updated(self, group: Group, loss: Tensor) -> None:
        self.step_log.record(group, loss, self.groups.of(group))

    def _penalty(self) -> Tensor:
        alphas, progress = self.architecture_parameters(), self.relaxation.progress
        total = torch.zeros((), device=next(iter(alphas.values())).device)
        for regulariser in self.regularisers:
            total = total + regulariser.penalty(self.model, alphas, self.relaxation, progress).to(total)
        return total

    def frozen_batch_norm(self) -> AbstractContextManager[None]:
        """Leave the running statistics of batch norms alone."""
        return frozen_batch_norm(self.model)

    def unfrozen(self) -> AbstractContextManager[None]:
        """Let gradients reach both groups."""
        return self.groups.both()

    def on_train_epoch_end(self) -> None:
        """Pass on, then let the search's own callbacks act (`SearchCallback.on_search_epoch_end`)."""
        super().on_train_epoch_end()
        for callback in self.search_callbacks:
            callback.on_search_epoch_end(self.trainer, self)

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
