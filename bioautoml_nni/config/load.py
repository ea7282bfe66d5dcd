"""Reading of experiment.yml and of `--set` overrides."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from ..registry import get, plugins, suggestion
from ..utils.encodings import read_text
from ..utils.errors import ConfigError, EncoderError, PluginError
from ..utils.remote import is_url, without_secrets
from ..utils.yaml_files import RepeatedKeys, load_yaml, without_spelling
from .arguments import as_annotated, check_arguments
from .contradictions import contradictions
from .renamed import with_present_names
from .schema import RECIPE_KEYS, DataConfig, Experiment

TEACHERS = (("search", "distillation", "teacher"), ("training", "distillation", "teacher"))
ENCODERS = (*TEACHERS, ("space", "encoder"), ("space", "trunk", "encoder"))
"""Keys that may name an encoder; its file of weights, if it names one, is such a path too."""

TEXTS = (str, int, float)
"""What the schema takes for a text: YAML reads a name such as 7 as a number."""
PATHS = (("data", "root"), *ENCODERS)
"""Keys whose relative paths start at the experiment file's folder, or where a command gives them at its own."""

RECIPE = "training.recipe"
"""A key that sets others; it is set before them."""

PLUGIN_SECTIONS = {"space": "search_spaces", "strategy": "strategies", "loss": "losses"}


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file and apply overrides.

    Relative paths in the file start at the file's own folder; those in overrides at the working directory.

    Args:
        path: the YAML file.
        overrides: ``dotted.key=value`` texts; values are YAML.

    Raises:
        ConfigError: with all mistakes at once.
    """
    return parse_experiment(apply_overrides(read_experiment(path), overrides), str(path))


def load_experiment_with(path: Path, values: Mapping[str, Any], overrides: Sequence[str] = ()) -> Experiment:
    """Read an experiment file and set dotted keys to values, as a tuner gives them.

    Args:
        overrides: ``dotted.key=value`` texts that are applied first.

    Raises:
        ConfigError: with all mistakes at once.
    """
    result = apply_overrides(read_experiment(path), overrides)
    problems = [problem for key, value in _recipe_first(values) if (problem := _assign(result, str(key), value))]
    if problems:
        raise ConfigError(problems, str(path))
    return parse_experiment(result, str(path))


def changed(experiment: Experiment, values: Mapping[str, Any], origin: str) -> Experiment:
    """Return an experiment with dotted keys set to values.

    Raises:
        ConfigError: with all mistakes at once.
    """
    result = experiment.model_dump(mode="json")
    problems = [
        problem for key, value in _recipe_first(values) if (problem := _assign(result, key, copy.deepcopy(value)))
    ]
    if problems:
        raise ConfigError(problems, origin)
    return parse_experiment(result, origin)


def read_experiment(path: Path) -> dict[str, Any]:
    """Return what an experiment file holds, with relative paths starting at its folder.

    Raises:
        ConfigError: if it is none, or a key stands twice in one section.
    """
    try:
        raw = load_yaml(read_text(path))
    except FileNotFoundError:
        raise ConfigError(["there is no such file; `bioautoml init DIR` writes one"], str(path)) from None
    except RepeatedKeys as error:
        raise ConfigError([f"{problem}; remove one of them" for problem in str(error).split("; ")], str(path)) from None
    except (yaml.YAMLError, ValueError, RecursionError, OSError) as error:
        raise ConfigError([f"not readable as YAML: {' '.join(str(error).split())}"], str(path)) from None
    if not isinstance(raw, dict):
        raise ConfigError(["the file must hold keys and values, such as `name: my-experiment`"], str(path))
    _resolve_paths(raw, path.resolve().parent)
    return raw


def apply_overrides(raw: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return `raw` with ``dotted.key=value`` texts applied.

    Raises:
        ConfigError: if a text has no equals sign, or leads through something that is not a section.

    Example:
        >>> apply_overrides({'search': {'epochs': 20}}, ['search.epochs=5', 'seed=1'])
        {'search': {'epochs': 5}, 'seed': 1}
    """
    result = copy.deepcopy(dict(raw))
    problems: list[str] = []
    for text in sorted(overrides, key=lambda text: not text.strip().startswith(f"{RECIPE}=")):
        key, equals, value = text.partition("=")
        if not equals:
            problems.append(f"--set {text}: write it as key.subkey=value")
            continue
        try:
            parsed = load_yaml(value)
        except (yaml.YAMLError, ValueError, RecursionError):
            parsed = value
        problem = _assign(result, key.strip(), parsed)
        if problem:
            problems.append(f"--set {text}: {problem}")
        elif tuple(key.strip().split(".")) in PATHS:
            _resolve_paths(result, Path.cwd())
    if problems:
        raise ConfigError(problems, "command line")
    return result


def _recipe_first(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return sorted(values.items(), key=lambda entry: entry[0] != RECIPE)


def _assign(raw: dict[str, Any], key: str, value: Any) -> str | None:
    """Set a dotted key in place; return what is wrong with the key, or None."""
    parts = key.split(".")
    if not all(parts):
        return f"{key!r} is not a dotted key; write it as key.subkey=value"
    section: Any = raw
    for part in parts[:-1]:
        if isinstance(section, dict) and section.get(part) is None:
            section[part] = {}
        section = section[part] if isinstance(section, dict) else None
    if not isinstance(section, dict):
        return f"{'.'.join(parts[:-1])} is not a section"
    if key == RECIPE and section.get(parts[-1]) != value:
        for name in RECIPE_KEYS:  # what another recipe had set; what is given beside it comes after it
            section.pop(name, None)
    section[parts[-1]] = value
    return None


def parse_experiment(raw: Mapping[str, Any], origin: str = "experiment", begun: bool = False) -> Experiment:
    """Validate a configuration.

    Args:
        begun: whether it is a run's own, which is read as the version that began the run took it: what contradicts
            itself was told then, and what later versions refuse does not make a finished run unreadable.

    Raises:
        ConfigError: with all mistakes at once: the schema's and those of every plug-in's arguments.
    """
    problems: list[str] = []
    raw = _as_annotated(with_present_names(raw, problems))
    experiment: Experiment | None = None
    try:
        experiment = Experiment.model_validate(dict(raw))
    except ValidationError as error:
        problems += [_explain(fault) for fault in error.errors()]
    for section, kind in PLUGIN_SECTIONS.items():
        values = raw.get(section, {})
        default = Experiment.model_fields[section].default.name
        if isinstance(values, dict) and isinstance(values.get("name", default), TEXTS):
            arguments = {key: value for key, value in values.items() if key != "name"}
            problems += check_arguments(kind, str(values.get("name", default)), arguments, section)
    data = raw.get("data")
    if isinstance(data, dict) and isinstance(data.get("source"), TEXTS):
        arguments = {key: value for key, value in data.items() if key not in DataConfig.model_fields}
        problems += check_arguments("sources", str(data["source"]), arguments, "data", "source")
    space = raw.get("space")
    if isinstance(space, Mapping) and space.get("cells") == 0 and space.get("trunk") is None:
        problems.append("space.cells: is 0 only with a space.trunk, whose features the classifier then gets (found 0).")
    if experiment is not None and not begun:
        problems += contradictions(experiment)
    if problems or experiment is None:
        raise ConfigError(problems, origin)
    return experiment


def import_plugins(experiment: Experiment) -> None:
    """Import what an experiment names, so that a broken one shows before hours of work, not after.

    Raises:
        ConfigError: with all that cannot be imported.
    """
    problems = []
    sections = {section: (kind, getattr(experiment, section).name) for section, kind in PLUGIN_SECTIONS.items()}
    for section, (kind, name) in {**sections, "data": ("sources", experiment.data.source)}.items():
        try:
            _ = get(kind, name).target
        except PluginError as error:
            problems.append(f"{section}.{'source' if section == 'data' else 'name'}: {error}")
    problems = problems or _frozen_feature_problems(experiment)
    if problems:
        raise ConfigError(problems, experiment.name)


def _frozen_feature_problems(experiment: Experiment) -> list[str]:
    """Return why the trunk of the search, or of the network that is trained, cannot be what it is to be."""
    ask = getattr(get("search_spaces", experiment.space.name).target, "frozen_features", None)
    if ask is None or "image" not in experiment.data.modalities:
        return []
    searched, trained = experiment.space.arguments, experiment.network_arguments()
    for key, arguments in (("space.trunk", searched), ("retrain.trunk", trained)):
        try:
            ask(**arguments)
        except (EncoderError, ValueError) as error:
            return [str(error).replace("space.trunk", key)]
    return []


def _as_annotated(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration whose plug-ins' arguments have the types that the plug-ins ask for, where they can."""
    result = dict(raw)
    for section, kind in PLUGIN_SECTIONS.items():
        values = raw.get(section)
        if isinstance(values, dict):
            own = {key: value for key, value in values.items() if key != "name"}
            name = values.get("name", Experiment.model_fields[section].default.name)
            result[section] = {**values, **without_spelling(as_annotated(kind, name, own))}
    data = raw.get("data")
    if isinstance(data, dict) and isinstance(data.get("source"), str):
        own = {key: value for key, value in data.items() if key not in DataConfig.model_fields}
        result["data"] = {**data, **without_spelling(as_annotated("sources", data["source"], own))}
    return result


def _resolve_paths(raw: dict[str, Any], base: Path) -> None:
    for *sections, key in PATHS:
        section: Any = raw
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict) and isinstance(section.get(key), str):
            known = (*sections, key)
            section[key] = (
                _with_weights(section[key], base)
                if _names_encoder(section[key], known)
                else section[key]
                if is_url(section[key])
                else str(_from(base, Path(section[key]).expanduser()))
            )


def _from(base: Path, path: Path) -> Path:
    """Return a path that starts at a folder, without ``..``, which would go wrong behind a link."""
    return (base / path).resolve() if ".." in path.parts and not path.is_absolute() else base / path


def _names_encoder(text: str, key: tuple[str, ...]) -> bool:
    """Whether the value of a key is a reference to an encoder and no path."""
    return key in ENCODERS and (key[0] == "space" or text.partition(":")[0] in plugins("encoders"))


def _with_weights(reference: str, base: Path) -> str:
    """Return a reference to an encoder whose file of weights, if it names one, is found from everywhere."""
    name, _, weights = reference.partition("@")
    file = _from(base, Path(weights).expanduser())
    return f"{name}@{file}" if weights and (file.is_file() or "/" in weights) else reference


def _explain(fault: Any) -> str:
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{path}: there is no such key{suggestion(path.rpartition('.')[2], _keys(fault['loc'][:-1]))}."
    if fault["type"] == "missing":
        return f"{path}: this key is required."
    message = fault["msg"].removeprefix("Value error, ")
    given = fault["input"]
    shown = repr(without_secrets(given)) if isinstance(given, str) else without_secrets(repr(given))
    found = "" if isinstance(given, (dict, BaseModel)) else f" (found {shown})"
    return f"{path}: {message}{found}."


def _keys(location: Sequence[Any]) -> list[str]:
    model: Any = Experiment
    for part in location:
        model = model.model_fields[part].annotation
    return list(model.model_fields)
