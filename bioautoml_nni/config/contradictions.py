"""Settings that are valid each by itself and cannot be together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..registry import Plugin, get, plugins, suggestion
from .arguments import check_arguments, constructor_arguments
from .references import is_encoder
from .schema import DistillationConfig, Experiment


def contradictions(experiment: Experiment) -> list[str]:
    """Return one sentence for each thing that valid settings cannot be together."""
    return [
        *_search_problems(experiment),
        *_space_problems(experiment),
        *_data_problems(experiment),
        *_recipe_problems(experiment),
        *_trunk_problems(experiment),
    ]


def _search_problems(experiment: Experiment) -> list[str]:
    """Return what the search cannot do, its warm-up, image sizes and devices, and batches that devices cannot share."""
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
    equal = strategy in plugins("strategies") and "equal_shares" in get("strategies", strategy).capabilities
    if equal and experiment.derivation.method == "perturbation":
        problems.append(
            f"derivation.method: strategy {strategy!r} gives all candidates the same weight, so that perturbation has "
            "none to remove; choose evolution."
        )
    if experiment.devices != "auto" and experiment.training.batch_size % (experiment.devices * experiment.nodes):
        problems.append(
            f"training.batch_size: {experiment.training.batch_size} specimens cannot be shared by devices x nodes = "
            f"{experiment.devices * experiment.nodes} processes; choose a multiple."
        )
    return problems


def _space_problems(experiment: Experiment) -> list[str]:
    """Return what the space lacks: images, arguments of the trained network, candidates that can be used."""
    problems = []
    if experiment.space.name in plugins("search_spaces"):
        capabilities = get("search_spaces", experiment.space.name).capabilities
        if "needs_image" in capabilities and "image" not in experiment.data.modalities:
            problems.append(f"data.modalities: space {experiment.space.name!r} needs images; add image.")
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
    return problems


def _data_problems(experiment: Experiment) -> list[str]:
    """Return what is missing of the data, and which baselines are not known."""
    problems = []
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
    return problems


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
    except Exception:  # of a plug-in's own code; wrong arguments are reported as such, the rest by the search
        return []
    reason = "is the size of a pretrained encoder, and this space has none here; give pixels, such as 64"
    return [] if known else [f"data.image_size: auto {reason}."]


def _texts(value: Any) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _recipe_problems(experiment: Experiment) -> list[str]:
    """Return which parts of the training's recipe the space cannot have; those for images rest where there are none."""
    recipe, problems = experiment.training, [*_teacher_problems(experiment), *_taught_steps_problems(experiment)]
    if experiment.space.name in plugins("search_spaces"):
        capabilities = get("search_spaces", experiment.space.name).capabilities
        problems += [
            f"training.{key}: space {experiment.space.name!r} cannot be trained with it; remove it."
            for key, capability in (("drop_path", "drop_path"), ("auxiliary_weight", "auxiliary"))
            if getattr(recipe, key) and capability not in capabilities
        ]
    return problems


def _teacher_problems(experiment: Experiment) -> list[str]:
    """Return why a teacher cannot see the view that its student sees, has no folds, or takes another one's place."""
    problems = _namesakes(experiment)
    for section, arguments in (("search", experiment.space.arguments), ("training", experiment.network_arguments())):
        trunk = arguments.get("trunk")
        stored = isinstance(trunk, Mapping) and _stores_features(trunk) and experiment.cache.max_gb > 0
        settings = getattr(experiment, section).distillation
        if settings is None:
            continue
        problems += _fold_problems(f"{section}.distillation.folds", settings, stored)
        if not settings.same_view:
            continue
        key = f"{section}.distillation.same_view"
        if "image" not in experiment.data.modalities:
            problems.append(f"{key}: there are no images; remove it.")
        elif settings.teacher.lower().endswith(".parquet"):
            problems.append(f"{key}: a table knows the plain images only; remove it, or name a run or an encoder.")
        elif stored and isinstance(trunk, Mapping) and not trunk.get("views"):
            problems.append(f"{key}: maps of a frozen trunk are turned themselves; set space.trunk.views, such as 7.")
    return problems


def _fold_problems(key: str, settings: DistillationConfig, stored: bool) -> list[str]:
    """Return why a teacher's answers cannot be cross-fitted."""
    if not settings.folds:
        return []
    if not is_encoder(settings.teacher):
        return [f"{key}: heads are fitted to an encoder, which {settings.teacher} is not; remove it."]
    if settings.same_view and not stored:
        return [f"{key}: a teacher that sees the changed images of its student has one head; remove it, or same_view."]
    return []


def _namesakes(experiment: Experiment) -> list[str]:
    """Return that two experiment files would be trained in the same folder of the run."""
    sections = (experiment.search.distillation, experiment.training.distillation)
    files = {Path(each.teacher) for each in sections if each and each.teacher.lower().endswith((".yml", ".yaml"))}
    if len(files) < 2 or len({file.stem for file in files}) > 1:
        return []
    return [
        f"training.distillation.teacher: is another file than search.distillation.teacher and called "
        f"{sorted(files)[0].stem}, too, by which their runs are told apart; rename one of them."
    ]


def _taught_steps_problems(experiment: Experiment) -> list[str]:
    """Return why a teacher cannot teach in one kind of steps alone: the strategy, as it is set, has no two kinds."""
    settings, strategy = experiment.search.distillation, experiment.strategy
    if settings is None or settings.steps == "both" or strategy.name not in plugins("strategies"):
        return []
    try:
        if has_separate_data(get("strategies", strategy.name), strategy.arguments):
            return []
    except Exception:  # of a plug-in's own code; wrong arguments are reported as such, the rest by the search
        return []
    return [
        f"search.distillation.steps: strategy {strategy.name!r}, as it is set, updates weights and architecture by the "
        "same batches; remove it, so that the teacher teaches in both."
    ]


def has_separate_data(strategy: Plugin, arguments: Mapping[str, Any]) -> bool:
    """Return whether a strategy, as it is set, updates weights and architecture by batches of their own.

    It is built only if its source does not tell, by `separate_where` or a plain `training_data`.
    """
    where = strategy.attribute("separate_where")
    if where is None:
        stated = strategy.attribute("training_data", "separate")
        if not isinstance(stated, str):  # a property
            stated = getattr(strategy.target(**arguments), "training_data", "separate")
        return bool(stated == "separate")
    defaults = constructor_arguments(strategy)
    for key, wanted in where.items():
        name, _, attribute = key.partition(".")
        value = arguments[name] if name in arguments else defaults[name].default
        if attribute:
            part = value if isinstance(value, str) else value["name"]
            value = get(strategy.attribute("parts")[name], part).attribute(attribute)
        if value not in wanted:
            return False
    return True
