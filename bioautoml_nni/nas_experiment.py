"""`bioautoml_nni.experiment`: an experiment file as NNI's own `NasExperiment`, by supernet or by trials."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from nni.nas.evaluator import FunctionalEvaluator
from nni.nas.strategy import GridSearch, Random, RegularizedEvolution
from nni.nas.strategy.base import Strategy
from rich.console import Console

from .config import Experiment, load_experiment, parse_experiment
from .config.load import apply_overrides
from .nni_engine import HookedExperiment, one_shot_experiment, trial_experiment
from .nni_jobs.candidates import stand_in_space, train_candidate
from .nni_jobs.launcher import listening_host, patch_environment
from .runs.directory import RunDirectory
from .runs.lock import locked
from .runs.prepared import PreparedData
from .stages.run import run_stages
from .stages.search import keep_search, search_parts, write_weights
from .utils.atomic import write_text
from .utils.errors import ConfigError
from .utils.seeding import derive_seed, seed_everything

MULTI_TRIAL = {"random": Random, "evolution": RegularizedEvolution, "grid": GridSearch}
"""NNI's strategies that train every architecture by itself, by the name that `experiment` takes for them."""
UNFIT = ("TPE", "PolicyBasedRL")
"""NNI's own that cannot choose several inputs of a node (`CategoricalMultiple`), unless declared as sets."""


def experiment(
    config: str | Path | Mapping[str, Any],
    output: str | Path | None = None,
    overrides: Sequence[str] = (),
    strategy: str | Strategy | None = None,
    max_trials: int = 20,
    concurrency: int = 1,
) -> HookedExperiment:
    """Return NNI's experiment of a configuration, ready for ``run(port)`` and ``export_top_models(formatter="dict")``.

    Without `strategy` it is the one-shot search that the configuration names; `output` is then a run directory with
    prepared data, and after the search ``bioautoml run CONFIG --output OUTPUT`` continues with the architecture. With
    one of NNI's multi-trial strategies every trial derives, trains and scores one architecture, several at a time, and
    NNI's web UI shows them; ``bioautoml trials OUTPUT/ID`` lists their run directories, best first.

    Args:
        config: an experiment.yml, or what stands in one.
        output: folder of the results, ``runs/NAME`` by default.
        overrides: ``dotted.key=value`` texts.
        strategy: None, "random", "evolution", "grid", or a multi-trial strategy of NNI.
        max_trials: of a multi-trial strategy.
        concurrency: trials at a time.

    Raises:
        ConfigError: for all mistakes in the configuration, or a strategy that does not work with it.
        DataError: if the data cannot be prepared.
    """
    if isinstance(config, Mapping):
        loaded = parse_experiment(apply_overrides(config, overrides))
    else:
        loaded = load_experiment(Path(config), list(overrides))
    folder = Path(output) if output is not None else Path("runs") / loaded.name
    if strategy is None:
        return _one_shot(loaded, folder)
    return _multi_trial(loaded, folder, _chosen(strategy, loaded), max_trials, concurrency)


def _one_shot(loaded: Experiment, folder: Path) -> HookedExperiment:
    console = Console()
    if loaded.search.devices > 1 or not loaded.derivation.searched:
        raise ConfigError(
            [
                "search.devices and derivation.method: from Python the search runs in one process and needs a method "
                "that searches; use `bioautoml run`, or remove them"
            ],
            "experiment",
        )
    run = RunDirectory.create(folder, loaded)
    run_stages(run, ["prepare"], console)
    data = PreparedData.load(run).as_searched()
    if data.topology().empty:
        raise ConfigError([f"space {loaded.space.name!r} leaves nothing open for these modalities"], "experiment")
    seed_everything(derive_seed(loaded.seed, "search"))
    space = data.search_space()
    parts = search_parts(run, data, console)
    made = one_shot_experiment(space, parts.evaluator, parts.strategy, parts.folder, parts.resume_from)
    made.surrounding = partial(_as_stage, run, parts.strategy, console)
    return made


@contextmanager
def _as_stage(run: RunDirectory, strategy: Any, console: Console) -> Iterator[None]:
    """Hold the run's lock while NNI searches, and write what the stage `search` writes."""
    with locked(run.path), run.stage("search"):
        yield
        keep_search(run, strategy, strategy.supernet.state_dict(), 1.0, console)
        write_weights(run, strategy.oneshot_module.export_probs())


def _chosen(strategy: str | Strategy, loaded: Experiment) -> Strategy:
    if not isinstance(strategy, str):
        if type(strategy).__name__ not in UNFIT or loaded.space.arguments.get("node_inputs") == "sets":
            return strategy
        strategy = type(strategy).__name__
    if strategy not in MULTI_TRIAL:
        raise ConfigError(
            [
                f"strategy: {strategy!r} is none of {', '.join(MULTI_TRIAL)}; for tuners such as TPE use "
                "`bioautoml nni-config --architectures`, since NNI's strategies TPE and PolicyBasedRL cannot choose "
                "several inputs of a node; with `space.node_inputs: sets` they are one choice, and both can be given "
                "as objects"
            ],
            "experiment",
        )
    return MULTI_TRIAL[strategy]()


def _multi_trial(
    loaded: Experiment, folder: Path, strategy: Strategy, max_trials: int, concurrency: int
) -> HookedExperiment:
    folder.mkdir(parents=True, exist_ok=True)
    config_file = folder.absolute() / "candidates.yml"
    write_text(config_file, yaml.safe_dump(loaded.model_dump(mode="json", exclude_none=True)))
    code = folder.absolute() / "code"  # NNI copies this folder to every trial
    code.mkdir(exist_ok=True)
    space = stand_in_space(loaded)
    evaluator = FunctionalEvaluator(train_candidate, config=str(config_file))
    made = trial_experiment(space, evaluator, strategy, folder.absolute(), code)
    made.config.experiment_name = loaded.name
    made.config.max_trial_number, made.config.trial_concurrency = max_trials, concurrency
    os.environ.update(patch_environment(str(files(__package__) / "nni_jobs/manager_patch.cjs"), listening_host()))
    return made
