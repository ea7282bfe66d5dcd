"""One architecture as one trial of NNI, for its multi-trial strategies and its tuners."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nni
from rich.console import Console

from ..architecture import topology_of
from ..architecture.weights import as_text, open_choices
from ..config import Experiment
from ..config.load import load_experiment
from ..registry import get
from .trial import run_trial

GIVEN = "derivation.method=given"
CHOICES = "derivation.choices."


def stand_in_arguments(experiment: Experiment) -> dict[str, Any]:
    """Return the arguments of the experiment's search space without its data: with two classes, one metadata column.

    Such a space leaves open what the real one does, which depends on neither.
    """
    numbers = {"numeric_fields": [0], "categories": [], "category_fields": [], "fields": 1}
    return {
        "num_classes": 2,
        "metadata": numbers if "metadata" in experiment.data.modalities else None,
        "modalities": list(experiment.data.modalities),
        **experiment.space.arguments,
    }


def stand_in_space(experiment: Experiment) -> Any:
    """Return the experiment's search space with `stand_in_arguments`."""
    return get("search_spaces", experiment.space.name).target(**stand_in_arguments(experiment))


def choice_keys(experiment: Experiment) -> dict[str, list[str]]:
    """Return the candidates of everything that the experiment's space leaves open, by dotted key of experiment.yml."""
    topology = topology_of(get("search_spaces", experiment.space.name).target, stand_in_arguments(experiment))
    return {CHOICES + label: names for label, names in open_choices(topology).items()}


def train_candidate(model: Any, config: str) -> None:
    """Derive, train and score the architecture that NNI chose for this trial.

    Args:
        model: the network as NNI built it, of the stand-in space; only its choices matter.
        config: the experiment.yml.
    """
    sample = nni.get_current_parameter().sample
    known = choice_keys(load_experiment(Path(config), []))
    chosen = {CHOICES + label: as_text(choice) for label, choice in sample.items()}
    parameters = {key: choice for key, choice in chosen.items() if key in known}
    run_trial(Path(config), Console(), [GIVEN], parameters)
