"""NNI's RandomOneShot: a supernet whose weights are trained on random paths, and score candidates afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from nni.mutable import Constraint
from nni.nas.nn.pytorch import ModelSpace
from nni.nas.oneshot.pytorch.sampling import RandomSamplingLightningModule
from nni.nas.strategy import RandomOneShot
from torch import nn

from bioautoml_nni.utils.seeding import derive_seed, seed_everything

from .agreement import require_agreement
from .data import one_loader
from .hooks import BATCHES, EVENTS, OPTIMISATION, STATE, pass_on
from .initialisation import require_own_parameters, tell_partly_set
from .nasbench101 import SampledNasBench101
from .refusals import named_hook, only_categorical, only_known
from .supermodules import SAMPLING


class RandomPathsModule(RandomSamplingLightningModule):
    """Its Lightning side: every batch trains one path, drawn from the seed, the epoch and the batch.

    Args:
        training_module: the evaluator's module.
        seed: of the paths, and of each epoch's dropout and augmentation.
        choices: of the space, by label.
    """

    def __init__(self, training_module: Any, seed: int, choices: Mapping[str, Any]) -> None:
        super().__init__(training_module)
        self.seed = seed
        self.choices: Mapping[str, Any] | None = choices
        pass_on(self, ("configure_callbacks", *BATCHES, *STATE, *EVENTS, *OPTIMISATION))

    def on_train_epoch_start(self) -> None:
        """Start the epoch from its own seed."""
        seed_everything(derive_seed(self.seed, "epoch", self.trainer.current_epoch))
        super().on_train_epoch_start()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Draw a path and train it; before the first one, paths and frozen networks are compared.

        Raises:
            PluginError: if they differ, naming the choice.
        """
        if self.choices is not None:
            require_agreement(self.training_module, self.model, batch, self.choices, self._decide)
            self.choices = None
        self.resample()
        return self.training_module.training_step(batch, batch_idx)

    def resample(self) -> dict[str, Any]:
        """Draw a path: one value for every label of the space, which all super-modules of that label take."""
        rng = np.random.RandomState(derive_seed(self.seed, "path", self.trainer.global_step) % 2**32)
        drawn: dict[str, Any] = {}
        for module in self.supernet_modules():
            choices = _choices(module)
            if isinstance(module, SampledNasBench101) and not set(choices) <= set(drawn):
                drawn.update(module.drawn(rng))
            for label, choice in choices.items():
                if label not in drawn:
                    drawn[label] = choice.random(random_state=rng)
            module.resample(memo=drawn)
        return drawn

    def _decide(self, sample: dict[str, Any]) -> None:
        for module in self.supernet_modules():
            module.resample(memo=dict(sample))

    def export_probs(self) -> dict[str, dict[Any, float]]:
        """Return uniform architecture weights: this strategy prefers nothing."""
        found: dict[str, dict[Any, float]] = {}
        for module in self.supernet_modules():
            for label, choice in _choices(module).items():
                if not isinstance(choice, Constraint):
                    found[label] = dict.fromkeys(choice.values, 1 / len(choice.values))
        return found


def _choices(module: Any) -> dict[str, Any]:
    """Return a super-module's own choices by label: one of a layer, several of a cell or a convolution."""
    found: dict[str, Any] = {}
    for mutable in module.mutables:
        found.update(mutable.simplify())
    return found


class RandomPaths(RandomOneShot):
    """NNI's RandomOneShot: trains a supernet on random paths; with derivation.method evolution its weights score.

    Guo et al., Single Path One-Shot Neural Architecture Search with Uniform Sampling, arXiv 1904.00420. All training
    data train weights. No validation during the search, since no path stands for the supernet.

    Args:
        seed: of the paths, dropout and augmentation.
    """

    capabilities = ("equal_shares",)
    training_data = "joined"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed
        self._choices: dict[str, Any] = {}

    def configure_oneshot_module(self, training_module: Any) -> RandomPathsModule:
        """Wrap the evaluator's Lightning module."""
        return RandomPathsModule(training_module, self.seed, self._choices)

    def default_mutation_hooks(self) -> list[Any]:
        """Our super-modules first, then NNI's."""
        return [*SAMPLING, *super().default_mutation_hooks()]

    def run_hook(self, hook: Any, name: str, module: nn.Module, memo: dict[str, Any]) -> Any:
        """Run a mutation hook; what cannot be searched is refused by its label."""
        return named_hook(lambda: super(RandomPaths, self).run_hook(hook, name, module, memo), module, name)

    def mutate_model(self, model: ModelSpace) -> ModelSpace:
        """Turn the space into a supernet of paths.

        Raises:
            PluginError: naming the choice that cannot be searched, and why.
        """
        only_categorical(model)
        require_own_parameters(model)
        self._choices = {str(label): choice for label, choice in model.simplify().items()}
        supernet = super().mutate_model(model)
        only_known(supernet, self._choices)
        tell_partly_set(supernet)
        return supernet

    def train_dataloader(self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]) -> Any:
        """Return the evaluator's own loader.

        Raises:
            TypeError: if it is not one loader.
        """
        return one_loader(train_dataloader_fn(), "training")

    def val_dataloader(self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]) -> Any:
        """Validate nothing."""
        return None
