"""NNI's own DARTS under a name of the registry: the reference that ours is compared with."""

from __future__ import annotations

from typing import Any

from nni.nas.oneshot.pytorch.differentiable import DartsLightningModule
from nni.nas.strategy import DARTS
from torch import nn

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.utils.numbers import NonNegative, Positive, WholeNumber

from .supermodules import NATIVE, MixedCell


class NNIDarts(DARTS):
    """NNI's own DARTS; no validation during the search, and what goes on after a kill sees other batches.

    What it computes is NNI's; only the order of its architecture parameters is fixed. NNI takes it from a Python set,
    and since Adam's moments are stored by position, a search that went on in a new process would get those of others.

    Args:
        arc_learning_rate: Adam's rate for the architecture parameters.
        gradient_clip_val: largest gradient norm of the weights.
        warmup_epochs: epochs in which only weights are trained.
    """

    capabilities = ("one_shot",)

    def __init__(
        self, arc_learning_rate: Positive = 3e-4, gradient_clip_val: NonNegative = 5.0, warmup_epochs: WholeNumber = 0
    ) -> None:
        super().__init__(
            arc_learning_rate=arc_learning_rate, gradient_clip_val=gradient_clip_val, warmup_epochs=warmup_epochs
        )

    def default_mutation_hooks(self) -> list[Any]:
        """NNI's, before which its layers and cells get what freezing them needs; what they compute is the same."""
        return [MixedCell.mutate, *NATIVE, *super().default_mutation_hooks()]

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
