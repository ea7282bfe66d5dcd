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
from ..utils.errors import BioAutoMLError, ConfigError, EncoderError, PluginError
from ..utils.remote import is_url, without_password
from ..utils.yaml_files import RepeatedKeys, load_yaml, without_spelling
from .arguments import as_annotated, check_arguments, constructor_arguments
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


def parse_experiment(raw: Mapping[str, Any], origin: str = "experiment") -> Experiment:
    """Validate a configuration.

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
    if experiment is not None:
        problems += _contradictions(experiment)
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


def _contradictions(experiment: Experiment) -> list[str]:
    problems = []
    warmup = experiment.strategy.arguments.get("warmup_epochs", 0)
    if isinstance(warmup, int) and warmup >= experiment.search.epochs:
        problems.append(
            f"strategy.warmup_epochs: {warmup} epochs of warm-up leave nothing of search.epochs="
            f"{experiment.search.epochs} for the architecture; lower it."
        )
    sizes, size = experiment.search.image_sizes, experiment.data.image_size
    if sizes and size != "auto" and sizes[-1] > size:
        problems.append(f"search.image_sizes: {sizes[-1]} is more than data.image_size={size}; lower it.")
    problems += _auto_size_problems(experiment)
    strategy = experiment.strategy.name
    several = experiment.search.devices > 1 and strategy in plugins("strategies")
    if several and "processes" not in get("strategies", strategy).capabilities:
        problems.append(f"search.devices: strategy {strategy!r} searches in one process only; remove it.")
    if experiment.space.name in plugins("search_spaces"):
        known = constructor_arguments(get("search_spaces", experiment.space.name))
        problems += [
            f"retrain.{key}: space {experiment.space.name!r} has no {key} to change; remove it."
            for key in ("cells", "channels")
            if getattr(experiment.retrain, key) and key not in known
        ]
    problems += [
        f"space.{kind}: {problem}"
        for kind in ("operations", "fusions")
        for name in _texts(experiment.space.arguments.get(kind))
        if name in plugins(kind) and (problem := plugins(kind)[name].problem)
    ]
    source = plugins("sources").get(experiment.data.source)
    if source is not None and experiment.data.root is None and not source.attribute("root_is_optional", False):
        problems.append("data.root: this source needs the folder of its data, such as `root: ../my-data`.")
    if len(set(experiment.data.modalities)) < len(experiment.data.modalities):
        problems.append("data.modalities: each modality may stand once only.")
    known_candidates = plugins("candidates")
    problems += [
        f"evaluation.baselines: there is no candidate {name!r}{suggestion(name, known_candidates)}; choose among "
        f"{', '.join(known_candidates)}."
        for name in _texts(experiment.evaluation.baselines)
        if name not in known_candidates
    ]
    return problems + _recipe_problems(experiment) + _trunk_problems(experiment)


def _trunk_problems(experiment: Experiment) -> list[str]:
    """Return what cannot be done where stored features of a frozen trunk stand in place of images."""
    trunk = experiment.space.arguments.get("trunk")
    own = experiment.retrain.trunk.model_dump(exclude_none=True)
    if not isinstance(trunk, Mapping):
        return ["retrain.trunk: there is no space.trunk that it could change; remove it."] if own else []
    trained = experiment.network_arguments()["trunk"]
    reason = "the features of a frozen trunk are computed once; remove it, or {}"
    problems = []
    if _stores_features(trained) and experiment.training.cutmix:
        key = "retrain" if own else "space"
        problems.append(f"training.cutmix: {reason.format(_way_to_train(trained, key))}.")
    if _stores_features(trunk) and experiment.search.image_sizes:
        problems.append(f"search.image_sizes: {reason.format(_way_to_train(trunk, 'space'))}.")
    for key, settings in (("space", trunk), ("retrain", {**trained, "views": own.get("views")})):
        if settings.get("views") and not _stores_features(settings):
            problems.append(f"{key}.trunk.views: a trunk that is trained sees every image again; remove it.")
    problems += _retrain_trunk_problems(experiment) if own else []
    if not experiment.space.arguments.get("cells", 6):
        reason = "space.cells is 0, so that there are no cells; remove it"
        problems += [f"retrain.cells: {reason}."] if experiment.retrain.cells else []
        problems += [f"training.auxiliary_weight: {reason}."] if experiment.training.auxiliary_weight else []
    return problems


def _way_to_train(trunk: Mapping[str, Any], section: str) -> str:
    frozen = trunk.get("frozen", True)
    return f"set {section}.trunk.frozen: false" if frozen else f"remove {section}.trunk.frozen_stages"


def _retrain_trunk_problems(experiment: Experiment) -> list[str]:
    """Return what is wrong with the arguments of the network that is trained, if the search's are right."""
    name = experiment.space.name
    if check_arguments("search_spaces", name, experiment.space.arguments, "space"):
        return []
    return check_arguments("search_spaces", name, experiment.network_arguments(), "retrain")


def _stores_features(trunk: Mapping[str, Any]) -> bool:
    """`TrunkSettings.stores_features` of settings that need not be valid."""
    return bool(trunk.get("frozen", True)) or trunk.get("frozen_stages") is not None


def _auto_size_problems(experiment: Experiment) -> list[str]:
    """Return why there is no encoder whose size an image size of "auto" could be."""
    if experiment.data.image_size != "auto" or experiment.space.name not in plugins("search_spaces"):
        return []
    native = getattr(get("search_spaces", experiment.space.name).target, "native_size", None)
    try:
        known = native is not None and native(**experiment.space.arguments) is not None
    except (BioAutoMLError, TypeError, ValueError):  # wrong arguments are reported as such
        return []
    reason = "is the size of a pretrained encoder, and this space has none here; give pixels, such as 64"
    return [] if known else [f"data.image_size: auto {reason}."]


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _recipe_problems(experiment: Experiment) -> list[str]:
    """Return which parts of the training's recipe the space cannot have; those for images rest where there are none."""
    recipe, problems = experiment.training, []
    problems += _teacher_problems(experiment)
    if experiment.space.name in plugins("search_spaces"):
        capabilities = get("search_spaces", experiment.space.name).capabilities
        problems += [
            f"training.{key}: space {experiment.space.name!r} cannot be trained with it; remove it."
            for key, capability in (("drop_path", "drop_path"), ("auxiliary_weight", "auxiliary"))
            if getattr(recipe, key) and capability not in capabilities
        ]
    return problems


def _teacher_problems(experiment: Experiment) -> list[str]:
    """Return why a teacher cannot see the view that its student sees."""
    problems = []
    for section, arguments in (("search", experiment.space.arguments), ("training", experiment.network_arguments())):
        trunk = arguments.get("trunk")
        stored = isinstance(trunk, Mapping) and _stores_features(trunk) and experiment.cache.max_gb > 0
        settings = getattr(experiment, section).distillation
        if settings is None or not settings.same_view:
            continue
        key = f"{section}.distillation.same_view"
        if "image" not in experiment.data.modalities:
            problems.append(f"{key}: there are no images; remove it.")
        elif settings.teacher.lower().endswith(".parquet"):
            problems.append(f"{key}: a table knows the plain images only; remove it, or name a run or an encoder.")
        elif stored and isinstance(trunk, Mapping) and not trunk.get("views"):
            problems.append(f"{key}: maps of a frozen trunk are turned themselves; set space.trunk.views, such as 7.")
    return problems


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
    file = base / Path(weights).expanduser()
    return f"{name}@{file}" if weights and (file.is_file() or "/" in weights) else reference


def _explain(fault: Any) -> str:
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{path}: there is no such key{suggestion(path.rpartition('.')[2], _keys(fault['loc'][:-1]))}."
    if fault["type"] == "missing":
        return f"{path}: this key is required."
    message = fault["msg"].removeprefix("Value error, ")
    found = (
        "" if isinstance(fault["input"], (dict, BaseModel)) else f" (found {without_password(repr(fault['input']))})"
    )
    return f"{path}: {message}{found}."


def _keys(location: Sequence[Any]) -> list[str]:
    model: Any = Experiment
    for part in location:
        model = model.model_fields[part].annotation
    return list(model.model_fields)
