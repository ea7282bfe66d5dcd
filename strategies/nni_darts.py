"""NNI's own strategies: DARTS, the reference that ours is compared with, and ENAS as it runs with today's Lightning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from nni.nas.oneshot.pytorch.differentiable import DartsLightningModule
from nni.nas.strategy import DARTS, ENAS
from torch import nn

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.utils.numbers import NonNegative, Positive, WholeNumber

from .data import one_loader
from .supermodules import NATIVE, MixedCell


class NNIDarts(DARTS):
    """NNI's own DARTS; no validation during the search, and what resumes after a kill sees other batches.

    What it computes is NNI's; only the order of its architecture parameters is fixed. NNI takes it from a Python set,
    and since Adam's moments are stored by position, a search that went on in a new process would get those of others.

    Args:
        arc_learning_rate: Adam's rate for the architecture parameters.
        gradient_clip_val: largest gradient norm of the weights.
        warmup_epochs: epochs in which only weights are trained.
    """

    def __init__(
        self, arc_learning_rate: Positive = 3e-4, gradient_clip_val: NonNegative = 5.0, warmup_epochs: WholeNumber = 0
    ) -> None:
        super().__init__(
            arc_learning_rate=arc_learning_rate, gradient_clip_val=gradient_clip_val, warmup_epochs=warmup_epochs
        )

    def default_mutation_hooks(self) -> list[Any]:
        """NNI's, before which its layers and cells get what freezing them needs; what they compute is the same."""
        return [MixedCell.mutate, *NATIVE, *super().default_mutation_hooks()]

    def train_dataloader(self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]) -> Any:
        """Join training and validation batches, as NNI does.

        Raises:
            TypeError: if one of them is not one loader.
        """
        train = one_loader(train_dataloader_fn(), "training")
        validation = one_loader(val_dataloader_fn(), "validation")
        return super().train_dataloader(lambda: train, lambda: validation)

    def configure_oneshot_module(self, training_module: Any) -> DartsLightningModule:
        """Wrap the evaluator's Lightning module."""
        return _InOrder(
            training_module=training_module,
            arc_learning_rate=self.arc_learning_rate,
            gradient_clip_val=self.gradient_clip_val,
            log_prob_every_n_step=self.log_prob_every_n_step,
            warmup_epochs=self.warmup_epochs,
            penalty=self.penalty,
        )


class _InOrder(DartsLightningModule):
    def arch_parameters(self) -> list[nn.Parameter]:
        """Return the architecture parameters in the order of their labels."""
        return list(named_architecture_parameters(self.model).values())


class NNIEnas(ENAS):
    """NNI's ENAS, which under Lightning 2.6 takes images for a batch and their classes for its source, and fails.

    Only the loader differs: it says with every batch whether it is of training or validation data, as NNI expects.
    Needs tianshou 0.4.11 and gym 0.26.2, and takes NNI's arguments. Choices of several inputs are refused by NNI;
    `MultimodalSpace(node_inputs="sets")` has none.
    """

    def train_dataloader(self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]) -> Any:
        """Return training and then validation batches, each with the name of its source."""
        return Sourced({"train": train_dataloader_fn(), "val": val_dataloader_fn()})


class Sourced:
    """The batches of several loaders, one loader after the other, each batch with the loader's name."""

    def __init__(self, loaders: dict[str, Any]) -> None:
        self.loaders = loaders

    def __len__(self) -> int:
        return sum(len(loader) for loader in self.loaders.values())

    def __iter__(self) -> Iterator[tuple[Any, str]]:
        return ((batch, name) for name, loader in self.loaders.items() for batch in loader)
