"""Alternating bi-level search: odd batches update architecture parameters, even batches weights.

Implements the optimisation of BioAutoML-NAS (arXiv 2510.05888) as an NNI one-shot strategy. First-order DARTS
(arXiv 1806.09055) is the reference for the relaxation and for the default settings of both optimisers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from nni.nas.nn.pytorch import ModelSpace
from nni.nas.oneshot.pytorch.differentiable import DartsLightningModule
from nni.nas.strategy import DARTS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ..seeding import derive_seed, seed_everything
from .data import AlternatingLoader, SearchBatch, disjoint_halves
from .supernet import MixedInput, MixedOperation


class AlternatingDARTS(DARTS):
    """Differentiable search that updates architecture parameters on odd batches and weights on even ones.

    Works in NNI's `NasExperiment` with any Lightning evaluator.

    Args:
        alpha_data: where architecture batches come from. "disjoint": from data that never trains weights; if the
            training loader is a dictionary with the keys ``weights`` and ``alpha`` these two are taken, otherwise
            its data set is halved at random. "shared": odd batches of the one training loader. "validation": from
            the validation loader, as NNI's own DARTS does.
        alpha_learning_rate: Adam's rate for the architecture parameters.
        alpha_weight_decay: Adam's decay for the architecture parameters.
        gradient_clip: largest gradient norm of the weights; 0 switches clipping off.
        warmup_epochs: epochs in which only weights are trained; odd batches are then skipped.
        seed: of batch order, dropout and augmentation, anew each epoch.
    """

    capabilities = ("one_shot", "resume", "validation")

    def __init__(
        self,
        alpha_data: Literal["disjoint", "shared", "validation"] = "disjoint",
        alpha_learning_rate: float = 3e-4,
        alpha_weight_decay: float = 1e-3,
        gradient_clip: float = 5.0,
        warmup_epochs: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            arc_learning_rate=alpha_learning_rate, gradient_clip_val=gradient_clip, warmup_epochs=warmup_epochs
        )
        if alpha_data not in ("disjoint", "shared", "validation"):
            raise ValueError(f"alpha_data must be disjoint, shared or validation, not {alpha_data!r}")
        self.alpha_data = alpha_data
        self.alpha_weight_decay = alpha_weight_decay
        self.seed = seed

    @property
    def training_data(self) -> Literal["separate", "joined"]:
        """Whether weights and architecture get loaders of their own, or one joined training loader is wanted."""
        return "separate" if self.alpha_data == "disjoint" else "joined"

    def default_mutation_hooks(self) -> list[Any]:
        """Our super-modules first, then NNI's."""
        return [MixedOperation.mutate, MixedInput.mutate, *super().default_mutation_hooks()]

    def mutate_model(self, model: ModelSpace) -> ModelSpace:
        """Turn the space into a supernet; initial architecture parameters depend on the seed and the label only."""
        model = super().mutate_model(model)
        for label, parameter in named_architecture_parameters(model).items():
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "alpha", label))
            with torch.no_grad():
                parameter.copy_(1e-3 * torch.randn(parameter.shape, generator=generator))
        return model

    def configure_oneshot_module(self, training_module: Any) -> AlternatingModule:
        """Wrap the evaluator's Lightning module."""
        return AlternatingModule(
            training_module,
            arc_learning_rate=self.arc_learning_rate,
            gradient_clip_val=self.gradient_clip_val,
            warmup_epochs=self.warmup_epochs,
            alpha_weight_decay=self.alpha_weight_decay,
            seed=self.seed,
        )

    def train_dataloader(
        self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]
    ) -> AlternatingLoader:
        """Join weight and architecture batches in turn."""
        train = train_dataloader_fn()
        if self.alpha_data == "validation":
            return AlternatingLoader(train, val_dataloader_fn(), self.seed)
        if isinstance(train, Mapping):
            if set(train) != {"weights", "alpha"}:
                raise ValueError(f"the training loaders must be named weights and alpha, not {', '.join(train)}")
            if self.alpha_data == "shared":
                raise ValueError("alpha_data='shared' takes one training loader, not one for each group")
            return AlternatingLoader(train["weights"], train["alpha"], self.seed)
        if self.alpha_data == "shared":
            return AlternatingLoader(train, train, self.seed)
        if not isinstance(train, DataLoader):
            raise TypeError("alpha_data='disjoint' needs a DataLoader, or loaders named weights and alpha")
        return AlternatingLoader(*disjoint_halves(train, self.seed), self.seed)

    def val_dataloader(self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]) -> Any:
        """Validate during the search, unlike NNI's DARTS; not when validation data trains the architecture."""
        return None if self.alpha_data == "validation" else val_dataloader_fn()


class AlternatingModule(DartsLightningModule):
    """The Lightning side of the search: one optimiser step per batch, for the group the batch is meant for.

    The other group is frozen, so that its gradients are not even computed. Architecture steps leave the running
    statistics of batch norms alone.
    """

    def __init__(self, training_module: Any, *, alpha_weight_decay: float, seed: int, **kwargs: Any) -> None:
        super().__init__(training_module, **kwargs)
        self.alpha_weight_decay = alpha_weight_decay
        self.seed = seed
        self._frozen: bool | None = None

    def architecture_parameters(self) -> dict[str, nn.Parameter]:
        """The live architecture parameters by label, in alphabetical order."""
        return named_architecture_parameters(self.model)

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

    def on_train_epoch_start(self) -> None:
        """Start the epoch from its own seed, so that a resumed search draws what an uninterrupted one draws."""
        epoch = self.trainer.current_epoch
        seed_everything(derive_seed(self.seed, "epoch", epoch))
        loader = self.trainer.train_dataloader
        if isinstance(loader, AlternatingLoader):
            loader.set_epoch(epoch)
        self.training_module.on_train_epoch_start()

    def training_step(self, batch: SearchBatch, batch_idx: int) -> Tensor | dict[str, Any] | None:
        """Update the group that the batch is meant for."""
        trains_architecture, inner = batch
        if trains_architecture:
            if self.trainer.current_epoch < self.warmup_epochs:
                return None
            return self._architecture_step(inner, batch_idx)
        return self._weights_step(inner, batch_idx)

    def _architecture_step(self, batch: Any, batch_idx: int) -> Tensor:
        optimizer: Any = self.architecture_optimizers()
        self._freeze(weights=True)
        momenta = {norm: norm.momentum for norm in self.model.modules() if isinstance(norm, nn.BatchNorm2d)}
        for norm in momenta:
            norm.momentum = 0.0
        try:
            loss = _loss(self.training_module.training_step(batch, batch_idx))
        finally:
            for norm, momentum in momenta.items():
                norm.momentum = momentum
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.log("alpha_loss", loss.detach(), on_step=False, on_epoch=True)
        return loss.detach()

    def _weights_step(self, batch: Any, batch_idx: int) -> Any:
        self._freeze(weights=False)
        result = self.training_module.training_step(batch, batch_idx)
        loss = _loss(result)
        self.advance_optimization(loss, batch_idx, self.gradient_clip_val or None)
        self.advance_lr_schedulers(batch_idx)
        self.log("weights_loss", loss.detach(), on_step=False, on_epoch=True)
        return loss.detach()

    def _freeze(self, *, weights: bool) -> None:
        """Let gradients reach one group only."""
        if self._frozen is weights:
            return
        architecture = {id(parameter) for parameter in self.arch_parameters()}
        for parameter in self.training_module.parameters():
            parameter.requires_grad_((id(parameter) in architecture) == weights)
        self._frozen = weights

    def postprocess_weight_optimizers(self, optimizer: Any) -> Any:
        """Take architecture parameters out of the weight optimiser, by identity."""
        architecture = {id(parameter) for parameter in self.arch_parameters()}

        def clean(value: Any) -> Any:
            if isinstance(value, torch.optim.Optimizer):
                for group in value.param_groups:
                    group["params"] = [parameter for parameter in group["params"] if id(parameter) not in architecture]
                return value
            if isinstance(value, (list, tuple)):
                return type(value)(clean(item) for item in value)
            if isinstance(value, dict):
                return {key: clean(item) for key, item in value.items()}
            return value

        return clean(optimizer)

    # Hooks that NNI's wrapper does not pass on.

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the evaluator's module."""
        return self.training_module(*args, **kwargs)

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        """Validate the supernet with the evaluator's own step."""
        return self.training_module.validation_step(batch, batch_idx)

    def on_validation_epoch_start(self) -> None:
        """Pass on."""
        self.training_module.on_validation_epoch_start()

    def on_validation_epoch_end(self) -> None:
        """Pass on."""
        self.training_module.on_validation_epoch_end()


def named_architecture_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the architecture parameters of a supernet by label, sorted; modules of one label share one parameter."""
    found: dict[str, nn.Parameter] = {}
    for module in model.modules():
        alpha = getattr(module, "_arch_alpha", None)
        if isinstance(alpha, nn.Parameter):
            found[str(module.label)] = alpha
        elif isinstance(alpha, nn.ParameterDict):
            found.update({str(label): parameter for label, parameter in alpha.items()})
    return dict(sorted(found.items()))


def _loss(result: Any) -> Tensor:
    return result["loss"] if isinstance(result, dict) else result
