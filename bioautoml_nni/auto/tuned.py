"""The portfolio as a search space of NNI: candidate, encoder and trunk stage are axes of a tuner and of the web UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from ..compare._base import RunMethod
from ..compare.rows import find_method
from ..config import Experiment, load_experiment
from ..config.load import changed
from ..data import splits
from ..data.load import load_manifest
from ..features.encoder import load_encoder
from ..registry import plugins
from ..utils.errors import BioAutoMLError, ConfigError
from ._base import Candidate, Work
from .plan import missing

CANDIDATE, ENCODER, STAGE = "candidate", "encoder", "stage"
STAGES = (4, 5, "4+5")
"""What cells on a trunk may read."""


def portfolio_axes(experiment: Experiment) -> dict[str, Any]:
    """Return NNI's search space over the candidates that are networks and need no teacher.

    Raises:
        ConfigError: if there is none for these data, or one of them makes no experiment.
    """
    names = [name for name in plugins("candidates") if _is_tunable(name, experiment)]
    if not names:
        raise ConfigError(["--portfolio: no candidate that is a network fits this experiment"], "nni-config")
    axes: dict[str, list[Any]] = {CANDIDATE: [*names], ENCODER: [*_encoders()], STAGE: [*STAGES]}
    axes = {key: values for key, values in axes.items() if values}
    for point in product(*axes.values()):
        tuned_settings(experiment, dict(zip(axes, point, strict=True)))
    return {key: {"_type": "choice", "_value": values} for key, values in axes.items()}


def tuned_settings(experiment: Experiment, drawn: Mapping[str, Any], specimens: int = 0) -> dict[str, Any]:
    """Return the dotted keys that a point of the search space stands for; axes that a candidate has not are left out.

    Args:
        specimens: of the data; they tell a candidate whether the cache has room for what it stores.

    Raises:
        ConfigError: for an unknown candidate, or settings that make no experiment.
    """
    if drawn.get(CANDIDATE) not in plugins("candidates"):
        raise ConfigError([f"{CANDIDATE} = {drawn.get(CANDIDATE)!r}: there is no such candidate"], "trial")
    candidate: Candidate = plugins("candidates")[str(drawn[CANDIDATE])].target()
    method = find_method(candidate.row)
    assert isinstance(method, RunMethod)  # others are no axis
    settings = {**method.settings(experiment.seed), **candidate.settings(_work(experiment, specimens), 1.0)}
    space = dict(settings.get("space", {}))
    if isinstance(space.get("trunk"), Mapping):
        trunk = {**space["trunk"], **_drawn(drawn, ENCODER)}
        if "stage" in trunk:
            trunk |= _drawn(drawn, STAGE)
        settings["space"] = {**space, "trunk": trunk}
    elif "encoder" in space or space.get("name") == "probe":
        settings["space"] = {**space, **_drawn(drawn, ENCODER)}
    settings["evaluation.baselines"] = []
    changed(experiment, settings, " ".join(f"{key}={value}" for key, value in drawn.items()))
    return settings


def drawn_settings(config: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Ask NNI for a point of the search space, and return the dotted keys that it stands for."""
    import nni

    experiment = load_experiment(config, list(overrides))
    specimens = len(load_manifest(experiment).table)
    return tuned_settings(experiment, dict(nni.get_next_parameter() or {}), specimens)


def _drawn(drawn: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {key: drawn[key]} if key in drawn else {}


def _work(experiment: Experiment, specimens: int = 0) -> Work:
    """Return what settings may look at before data are prepared."""
    size = experiment.data.image_size
    columns = int("metadata" in experiment.data.modalities)
    sizes = {**dict.fromkeys(splits.PARTS, 0), splits.WEIGHTS: specimens}
    return Work(experiment, sizes, 0, columns, size if isinstance(size, int) else 0)


def _is_tunable(name: str, experiment: Experiment) -> bool:
    plugin = plugins("candidates")[name]
    needs = plugin.attribute("needs", ())
    if {"teacher", "outgrown"} & set(needs) or missing(needs, plugin.attribute("requires", ()), _work(experiment)):
        return False
    candidate: Candidate = plugin.target()
    return isinstance(find_method(candidate.row), RunMethod) and not _repeats(name, candidate)


def _repeats(name: str, candidate: Candidate) -> bool:
    """Whether it is another seed of a candidate, which a tuner has no use for."""
    parent = type(candidate).__mro__[1]
    return any(other != name and plugin.target is parent for other, plugin in plugins("candidates").items())


def _encoders() -> list[str]:
    """Return encoders whose weights are at hand."""
    found = []
    for name in plugins("encoders"):
        try:
            encoder = load_encoder(name, "encoder")
            _ = encoder.weights_digest
        except BioAutoMLError:
            continue
        found.append(name)
    return found
