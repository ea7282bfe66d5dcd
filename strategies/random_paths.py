"""NNI's RandomOneShot: a supernet whose weights are trained on random paths, and score candidates afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from nni.nas.oneshot.pytorch.sampling import RandomSamplingLightningModule
from nni.nas.strategy import RandomOneShot

from bioautoml_nni.utils.seeding import derive_seed, seed_everything


class RandomPathsModule(RandomSamplingLightningModule):
    """Its Lightning side: every batch trains one path, drawn from the seed, the epoch and the batch.

    Args:
        training_module: the evaluator's module.
        seed: of the paths, and of each epoch's dropout and augmentation.
    """

    def __init__(self, training_module: Any, seed: int) -> None:
        super().__init__(training_module)
        self.seed = seed

    def on_train_epoch_start(self) -> None:
        """Start the epoch from its own seed."""
        seed_everything(derive_seed(self.seed, "epoch", self.trainer.current_epoch))
        super().on_train_epoch_start()

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        """Draw a path and train it."""
        rng = np.random.RandomState(derive_seed(self.seed, "path", self.trainer.global_step) % 2**32)
        drawn: dict[str, Any] = {}
        for module in self.supernet_modules():
            if module.label not in drawn:
                drawn[module.label] = module.choice.random(random_state=rng)
            module.resample(memo=drawn)
        return self.training_module.training_step(batch, batch_idx)

    def export_probs(self) -> dict[str, dict[Any, float]]:
        """Return equal shares: this strategy prefers nothing."""
        found: dict[str, dict[Any, float]] = {}
        for module in self.supernet_modules():
            names = getattr(module, "names", None) or range(module.n_candidates)
            found[module.label] = dict.fromkeys(names, 1 / len(names))
        return found


class RandomPaths(RandomOneShot):
    """NNI's RandomOneShot: trains a supernet on random paths; with derivation.method evolution its weights score.

    Guo et al., Single Path One-Shot Neural Architecture Search with Uniform Sampling, arXiv 1904.00420. All training
    data train weights. No validation during the search, since no path stands for the supernet.

    Args:
        seed: of the paths, dropout and augmentation.
    """

    capabilities = ("one_shot", "equal_shares")
    training_data = "joined"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = seed

    def configure_oneshot_module(self, training_module: Any) -> RandomPathsModule:
        """Wrap the evaluator's Lightning module."""
        return RandomPathsModule(training_module, self.seed)

    def val_dataloader(self, train_dataloader_fn: Callable[[], Any], val_dataloader_fn: Callable[[], Any]) -> Any:
        """Validate nothing."""
        return None
