"""The settings that a tuner may draw, checked before an experiment starts: each wrong one would cost a whole trial."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..config.load import load_experiment_with
from ..utils.errors import ConfigError

PORTFOLIO = "--portfolio"
"""Option of `bioautoml trial` whose search space has candidates, and no settings."""
ROWS_IN = "--rows-in"
"""Option of `bioautoml trial` whose search space has rows of a comparison, and no settings."""
CANDIDATES_IN = "--candidates-in"
"""Option of `bioautoml trial` whose search space has candidates of a portfolio that waits for them."""
BETWEEN = frozenset({"uniform", "quniform", "loguniform", "qloguniform", "randint"})
"""Types of a search space with a lowest and a highest value."""


def check_settings(config: Path, space: Mapping[str, Any], overrides: Sequence[str] = ()) -> None:
    """Refuse a search space of which a value makes no experiment.

    Every value of a choice, and both ends of a range, are set beside the first values of all other keys, as a trial
    would get them.

    Args:
        config: an experiment.yml.
        space: NNI's search space; keys are dotted keys of the experiment.
        overrides: ``dotted.key=value`` texts that hold for all trials.

    Raises:
        ConfigError: with every setting that no experiment can have, and why.
    """
    values = {str(key): _values(domain) for key, domain in space.items()}
    problems = [f"{key}: is not a search space of NNI's ({space[key]!r})" for key, own in values.items() if not own]
    first = {key: own[0] for key, own in values.items() if own}
    said: set[str] = set()
    for key, own in values.items():
        for value in own:
            try:
                load_experiment_with(config, {**first, key: value}, overrides)
            except ConfigError as error:
                new = [problem for problem in error.problems if problem not in said]
                said.update(new)
                told = [problem.startswith(tuple(values)) for problem in new]  # which names its key and value itself
                problems += [p if own_key else f"{key} = {value!r}: {p}" for p, own_key in zip(new, told, strict=True)]
    if problems:
        raise ConfigError(problems, "search space")


def check_nni_file(config: Path) -> None:
    """Check the search space that an nni.yml names, if its trials are ours; what NNI itself refuses is left to it.

    Raises:
        ConfigError: see `check_settings`.
    """
    try:
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
        words = shlex.split(str(content["trialCommand"]))
        space = content.get("searchSpace")
        if space is None:
            space = yaml.safe_load((config.parent / content["searchSpaceFile"]).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return
    is_ours = words[:2] == ["bioautoml", "trial"] and isinstance(space, Mapping)
    if not is_ours or {PORTFOLIO, ROWS_IN, CANDIDATES_IN} & set(words):
        return
    experiment = _option(words, "--config", "-c")
    if experiment:
        folder = config.parent / str(content.get("trialCodeDirectory", "."))
        check_settings(folder / experiment[-1], space, _option(words, "--set", "-s"))


def _option(words: Sequence[str], *names: str) -> list[str]:
    """Return the values of an option in a command line."""
    found: list[str] = []
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if word in names:
            found += words[position + 1 : position + 2]
        elif equals and name in names and name.startswith("--"):
            found.append(value)
    return found


def _values(domain: Any) -> list[Any]:
    """Return what a tuner can draw at most and at least, or every value of a choice; nothing for other things."""
    if not isinstance(domain, Mapping) or not isinstance(domain.get("_value"), list) or not domain["_value"]:
        return []
    kind, value = domain.get("_type"), domain["_value"]
    if kind == "choice":
        return list(value)
    if kind in BETWEEN and len(value) >= 2:
        highest = value[1] - 1 if kind == "randint" else value[1]  # the end itself is never drawn
        return [value[0], highest]
    return [value[0]] if kind in ("normal", "qnormal", "lognormal", "qlognormal") else []
