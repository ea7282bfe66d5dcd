"""A short version of an experiment, to see in minutes that everything works."""

from __future__ import annotations

from typing import Any

from .load import changed
from .schema import Experiment

SEARCH_EPOCHS, TRAINING_EPOCHS, CANDIDATES, EVALUATIONS = 3, 5, 2, 20


def quick(experiment: Experiment) -> Experiment:
    """Return the experiment with few epochs and candidates, and warm-ups that leave room for the rest."""
    search, training, derivation = experiment.search, experiment.training, experiment.derivation
    values: dict[str, Any] = {
        "search.epochs": min(search.epochs, SEARCH_EPOCHS),
        "search.image_sizes": search.image_sizes[-SEARCH_EPOCHS:],
        "search.warmup_steps": min(search.warmup_steps, 10),
        "training.epochs": min(training.epochs, TRAINING_EPOCHS),
        "training.warmup_steps": min(training.warmup_steps, 10),
        "derivation.candidates": min(derivation.candidates, CANDIDATES),
        "derivation.first_epochs": 1,
        "derivation.population": min(derivation.population, EVALUATIONS),
        "derivation.evaluations": min(derivation.evaluations, EVALUATIONS),
    }
    warmup = experiment.strategy.arguments.get("warmup_epochs")
    if isinstance(warmup, int):
        values["strategy.warmup_epochs"] = min(warmup, values["search.epochs"] - 1, 1)
    return changed(experiment, values, "--quick")
