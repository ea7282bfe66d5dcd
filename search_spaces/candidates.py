"""Candidates that start from a pretrained encoder, for `bioautoml auto`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from bioautoml_nni.auto._base import Candidate, Work, scaled_epochs

ENCODER = "efficientnet_lite0"
ENCODER_PARAMETERS, ENCODER_FLOPS = 3.37e6, 0.39e9
"""Of the whole encoder without classifier; FLOPs at `SIZE` pixels."""
TRUNK_PARAMETERS, TRUNK_FLOPS = 2.36e6, 0.34e9
"""Of its stages up to the fifth."""
SMALLER = ((5, TRUNK_PARAMETERS, TRUNK_FLOPS), (4, 0.70e6, 0.25e9), (3, 0.25e6, 0.16e9))
"""Stages that a fine-tuned encoder may end with on devices without room for all of it, with parameters and FLOPs."""
SIZE = 160
"""Edge of the images, as in examples/pitfall/probe.yml."""
LOOKING = 0.01
"""Seconds in which the encoder looks at one image, on two cores."""
SEARCHING, TRAINING, TUNING, TUNING_LATE = 1.5e-3, 1e-3, 0.04, 0.013
"""Seconds of one specimen and epoch: cells on stored maps, searched and trained; the encoder itself, trained; the
encoder after `FROZEN_STAGES`, from stored maps."""
FROZEN_STAGES, VIEWS = 2, 3
"""Of a fine-tuned encoder: the last stage that stays, and views of every image whose maps are kept."""
MAP_BYTES = 40 * 20 * 20 * 2
"""Of the map of that stage in half precision, at `SIZE` pixels."""
REFITTED = 2.2
"""Times that a training takes which is repeated with the validation split."""


class _OnEncoder(Candidate):
    """What candidates on the encoder share."""

    needs: ClassVar[tuple[str, ...]] = ("image",)

    def cost(self, work: Work) -> tuple[float, float] | None:
        return ENCODER_PARAMETERS, ENCODER_FLOPS * (image_size(work) / SIZE) ** 2

    def _whole(self, work: Work) -> bool:
        """Whether the device has room for the whole encoder, with its embedding."""
        return _fits(work, ENCODER_PARAMETERS, ENCODER_FLOPS)


def _fits(work: Work, parameters: float, flops: float) -> bool:
    """Whether a network of that size, with FLOPs at `SIZE` pixels, is within the budget."""
    budget = work.experiment.derivation.budget
    return budget is None or not budget.overrun(parameters, flops * (image_size(work) / SIZE) ** 2)


def _maps_fit(work: Work) -> bool:
    """Whether the maps of the stages that stay, of all views, fit into half of the cache."""
    needed = MAP_BYTES * (image_size(work) / SIZE) ** 2 * work.total * (1 + VIEWS)
    return needed <= work.experiment.cache.max_gb * 1e9 / 2


def image_size(work: Work) -> int:
    """Return the edge of the images that the encoder gets: what the experiment says, if that is enough."""
    return max(SIZE, work.image_size)


class ProbeCandidate(_OnEncoder):
    """A logistic regression on a frozen encoder's features and the metadata."""

    row = "probe"
    needs: ClassVar[tuple[str, ...]] = ("image",)
    requires = ("encoders:efficientnet_lite0", "search_spaces:probe")

    def seconds(self, work: Work) -> float:
        pixels = (image_size(work) / SIZE) ** 2
        return LOOKING * work.total * pixels + 5 + 2e-4 * work.trained * work.classes

    def settings(self, work: Work, share: float) -> Mapping[str, Any]:
        loss = {"name": "logit_adjusted", "tau": 0.25}
        return {"data.image_size": image_size(work), "loss": loss, "training.recipe": "probe"}


class _CellsOnEncoder(_OnEncoder):
    """What candidates of searched cells on the encoder's feature maps share: the search."""

    search_epochs = 8
    number = 0

    def cost(self, work: Work) -> tuple[float, float] | None:
        if self._whole(work):
            return super().cost(work)
        return TRUNK_PARAMETERS, TRUNK_FLOPS * (image_size(work) / SIZE) ** 2

    def _searching(self, work: Work, share: float) -> dict[str, Any]:
        """Return the settings of the search, and of the training whatever becomes of the trunk."""
        search = scaled_epochs(self.search_epochs, share, 4)
        return {
            **self._seeds(work),
            "data.image_size": image_size(work),
            "space": {
                "name": "multimodal", "channels": 32, "cells": 2,
                "trunk": {"encoder": ENCODER, "stage": [5, "4+5"], "embedding": self._whole(work)},
            },
            "strategy": {
                "name": "alternating_darts", "alpha_learning_rate": 0.02, "warmup_epochs": min(2, search - 1),
                "regularisers": [{"name": "expected_cost", "unit": "flops", "budget": 0.3, "weight": 1.0}],
            },
            "loss": {"name": "logit_adjusted", "tau": 0.5},
            "search.epochs": search, "search.batch_size": 64, "search.learning_rate": 0.05,
            "search.score_derived": False, "search.image_sizes": [],
            "retrain.cells": None, "retrain.trunk": {}, "retrain.initial_weights": "scratch", "retrain.refit": True,
            "training.distillation": None, "training.mixup": 0.2, "training.cutmix": 0.0,
            "training.drop_path": 0.0, "training.auxiliary_weight": 0.0, "training.patience": None,
        }  # fmt: skip

    def _seeds(self, work: Work) -> dict[str, Any]:
        """Return another seed of search and training for a repetition, with the same splits."""
        if not self.number:
            return {}
        seed, split = work.experiment.seed, work.experiment.data.split.seed
        return {"seed": seed + self.number, "data.split.seed": seed if split is None else split}


class TrunkCandidate(_CellsOnEncoder):
    """Searched cells and fusion on a frozen encoder's feature maps, beside its embedding where the device has room."""

    row = "as_configured"
    needs: ClassVar[tuple[str, ...]] = ("image",)
    requires = ("encoders:efficientnet_lite0",)
    least = 0.4
    training_share, refit_share = 0.3, 0.35  # it is trained twice, the second time with the validation split
    kind = "cells on the encoder"

    training_epochs = 15

    def seconds(self, work: Work) -> float:
        pixels = (image_size(work) / SIZE) ** 2
        epochs = SEARCHING * self.search_epochs + REFITTED * TRAINING * self.training_epochs
        return pixels * (LOOKING * work.total + epochs * work.trained) + self.number  # after those with smaller numbers

    def settings(self, work: Work, share: float) -> Mapping[str, Any]:
        return {
            **self._searching(work, share),
            "retrain.channels": 64, "training.batch_size": 128,
            "training.epochs": scaled_epochs(self.training_epochs, share, 6),
            "training.learning_rate": 0.003, "training.weight_decay": 0.05, "training.warmup_steps": 30,
            "training.ema_decay": 0.97, "training.keep": "last",
        }  # fmt: skip


class SecondTrunkCandidate(TrunkCandidate):
    """Searched cells on a frozen encoder once more with another seed: together they are better than each."""

    number = 1
    priority = 1


class ThirdTrunkCandidate(TrunkCandidate):
    """Searched cells on a frozen encoder with a third seed."""

    number = 2
    priority = 1


class TunedTrunkCandidate(_CellsOnEncoder):
    """Searched cells on an encoder's feature maps; the network that is found is trained with its encoder."""

    row = "as_configured"
    needs: ClassVar[tuple[str, ...]] = ("image",)
    requires = ("encoders:efficientnet_lite0",)
    least = 0.3
    training_share, refit_share = 0.4, 0.45
    priority = 1

    training_epochs = 10

    def seconds(self, work: Work) -> float:
        pixels = (image_size(work) / SIZE) ** 2
        stored = _maps_fit(work)
        looking = LOOKING * work.total * (1 + (1 + VIEWS if stored else 0))
        training = REFITTED * (TUNING_LATE if stored else TUNING) * self.training_epochs
        return pixels * (looking + (SEARCHING * self.search_epochs + training) * work.trained)

    def settings(self, work: Work, share: float) -> Mapping[str, Any]:
        stored = {"frozen_stages": FROZEN_STAGES, "views": VIEWS} if _maps_fit(work) else {}
        return {
            **self._searching(work, share),
            "retrain.channels": 64, "retrain.trunk": {"frozen": False, "path_dropout": 0, **stored},
            "training.recipe": "finetune", "training.epochs": scaled_epochs(self.training_epochs, share, 5),
        }  # fmt: skip


class StudentCandidate(TrunkCandidate):
    """Searched cells on a frozen encoder's early maps that learn from all networks together, for a small device."""

    needs: ClassVar[tuple[str, ...]] = ("image", "teacher", "outgrown")
    training_share, refit_share = 0.6, 0.0
    kind = ""
    training_epochs = 25

    def cost(self, work: Work) -> tuple[float, float] | None:
        return TRUNK_PARAMETERS, TRUNK_FLOPS * (image_size(work) / SIZE) ** 2

    def settings(self, work: Work, share: float) -> Mapping[str, Any]:
        taught = {"teacher": str(work.teacher), "weight": 0.5, "temperature": 2.0}
        values = {**super().settings(work, share), "retrain.refit": False, "training.distillation": taught}
        values["space"]["trunk"]["embedding"] = False
        return values


class FineTunedCandidate(_OnEncoder):
    """A pretrained encoder, as many of its stages as fit, trained along with a linear classifier and the metadata."""

    row = "as_configured"
    needs: ClassVar[tuple[str, ...]] = ("image",)
    requires = ("encoders:efficientnet_lite0",)
    least = 0.3

    training_share, refit_share = 0.4, 0.45  # it is trained twice, the second time with the validation split
    kind = "fine-tuned encoder"
    epochs = 10

    def cost(self, work: Work) -> tuple[float, float] | None:
        if self._whole(work):
            return super().cost(work)
        _, parameters, flops = self._smaller(work)
        return parameters, flops * (image_size(work) / SIZE) ** 2

    def seconds(self, work: Work) -> float:
        pixels = (image_size(work) / SIZE) ** 2
        stored = _maps_fit(work)
        looking = LOOKING * work.total * (1 + VIEWS) if stored else 0.0
        share = 1.0 if self._whole(work) else self._smaller(work)[2] / ENCODER_FLOPS
        step = share * (TUNING_LATE if stored else TUNING)
        return pixels * (looking + REFITTED * step * work.trained * self.epochs)

    def settings(self, work: Work, share: float) -> Mapping[str, Any]:
        whole = self._whole(work)
        return {
            "data.image_size": image_size(work),
            "space": {
                "name": "multimodal", "cells": 0,
                "trunk": {
                    "encoder": ENCODER, "embedding": whole, "frozen": False,
                    **({} if whole else {"stage": self._smaller(work)[0]}),
                    **({"frozen_stages": FROZEN_STAGES, "views": VIEWS} if _maps_fit(work) else {}),
                },
            },
            "loss": {"name": "logit_adjusted", "tau": 0.5},
            "search.image_sizes": [], "retrain.cells": None, "retrain.channels": None, "retrain.trunk": {},
            "retrain.initial_weights": "scratch", "retrain.refit": True, "training.recipe": "finetune",
            "training.mixup": 0.2, "training.cutmix": 0.0, "training.epochs": scaled_epochs(self.epochs, share, 5),
            "training.drop_path": 0.0, "training.auxiliary_weight": 0.0, "training.patience": None,
        }  # fmt: skip

    @staticmethod
    def _smaller(work: Work) -> tuple[int, float, float]:
        """Return the last stage that the device has room for, with what it costs; the first of them if it has none."""
        return next((stage for stage in SMALLER if _fits(work, *stage[1:])), SMALLER[-1])
