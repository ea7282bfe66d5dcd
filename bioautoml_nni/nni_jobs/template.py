"""`bioautoml nni-config`: nni.yml and search_space.json for an experiment."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config.arguments import constructor_arguments
from ..config.schema import Experiment, PluginSection
from ..registry import get
from ..utils.atomic import write_text
from ..utils.errors import ConfigError
from .candidates import GIVEN, choice_keys
from .settings import CANDIDATES_IN, PORTFOLIO, ROWS_IN, check_settings

TUNERS = {"TPE": True, "Random": False, "Evolution": True, "GridSearch": False}
"""Tuners that work here, and whether they take optimize_mode."""
ASSESSORS = {"Medianstop": "optimize_mode: maximize", "Curvefitting": "epoch_num: {epochs}"}
"""Assessors that work here, and what they have to be told; Curvefitting always maximises."""
BROKEN = {
    "PPO": "it needs the package gym",
    "SMAC": "it needs the package smac",
    "TPE_legacy": "it needs the package hyperopt; TPE is the same idea without it",
    "Anneal": "it needs the package hyperopt",
    "DNGO": "it needs the package pybnn",
    "BOHB": "it needs the package ConfigSpace, and an experiment with it does not end",
    "Hyperband": "an experiment with it does not end",
    "NetworkMorphism": "it fails with today's numpy",
    "Metis": "it takes no logarithmic ranges, such as those of learning rates",
    "GP": "it fails with today's scipy at its eleventh trial",
    "PBT": "its trials have to load the checkpoints of others, which whole runs cannot",
    "Batch": "it takes a list of settings; write search_space.json for it by hand",
    "RegularizedEvolutionTuner": "it is for NNI's own architecture search",
}

MACHINE = re.compile(r"(?P<user>[^@:\s]+)@(?P<host>\[[0-9a-fA-F:.]+\]|[^@:\s]+)(:(?P<port>\d{1,5}))?")


@dataclass(frozen=True)
class Remote:
    """Machines on which trials run, reached by SSH.

    Attributes:
        machines: each ``USER@HOST`` or ``USER@HOST:PORT``.
        key: file of the private SSH key.
        python: folder of the python on those machines that has bioautoml-nni; None is the one that SSH finds.
    """

    machines: Sequence[str]
    key: str = "~/.ssh/id_ed25519"
    python: str | None = None


@dataclass(frozen=True)
class Workers:
    """Who does the trials.

    Attributes:
        concurrency: trials at the same time.
        gpus: of each trial.
        remote: machines for the trials; None is this one.
    """

    concurrency: int = 1
    gpus: int = 0
    remote: Remote | None = None

    @property
    def beside(self) -> int:
        """Return how many trials a machine does at one time."""
        return -(-self.concurrency // (len(self.remote.machines) if self.remote else 1))


@dataclass(frozen=True)
class TrialKind:
    """What trials with names are.

    Attributes:
        command: whose trials they are.
        key: of the search space whose values are their names.
        option: of `bioautoml trial`, for the folder of their runs.
        runs: the folder of other machines that has such folders.
    """

    command: str
    key: str
    option: str
    runs: str


ROW_TRIALS = TrialKind("compare", "row", ROWS_IN, "comparisons")
CANDIDATE_TRIALS = TrialKind("auto", "candidate", CANDIDATES_IN, "portfolios")


def nni_files(
    experiment: Experiment,
    config_name: str,
    tuner: str = "TPE",
    assessor: str | None = None,
    trials: int = 20,
    concurrency: int = 1,
    gpus: int = 0,
    architectures: bool = False,
    remote: Remote | None = None,
    portfolio: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Return the texts of nni.yml and search_space.json.

    Args:
        config_name: name of the experiment's file in the same folder.
        architectures: whether the tuner chooses operations, inputs and fusion, and not settings.
        remote: machines for the trials; None is this one.
        portfolio: search space whose points are candidates of `bioautoml auto`.

    Raises:
        ConfigError: for a tuner or assessor that does not work or is unknown, machines that are not written as
            USER@HOST, and numbers below one.
    """
    space = architecture_search_space(experiment) if architectures else default_search_space(experiment)
    space = dict(portfolio) if portfolio is not None else space
    problems = _mistakes(tuner, assessor, trials, concurrency, gpus, remote)
    if not space:
        problems.append("--architectures: this space leaves nothing open; use a space with cells, such as multimodal")
    if problems:
        raise ConfigError(problems, "nni-config")
    mode = "\n  classArgs:\n    optimize_mode: maximize" if TUNERS[tuner] else ""
    searched = 0 if architectures or portfolio is not None else experiment.search.epochs
    judge = _assessor(assessor, searched, experiment.training.epochs) if assessor else ""
    devices = f"\ntrialGpuNumber: {gpus}"
    what = "Architectures for" if architectures else "Settings of" if portfolio is None else "Candidates for"
    given = f" --set {GIVEN}" if architectures else "" if portfolio is None else f" {PORTFOLIO}"
    yaml = f"""# {what} {config_name} tuned by NNI; every trial is a whole run.
{_header(remote)}
experimentName: {experiment.name}
searchSpaceFile: search_space.json
trialCommand: bioautoml trial --config {config_name}{given}
trialCodeDirectory: .
trialConcurrency: {concurrency}
maxTrialNumber: {trials}{devices}
tuner:
  name: {tuner}{mode}
{judge}{_training_service(remote, gpus)}"""
    return {"nni.yml": yaml, "search_space.json": json.dumps(space, indent=2) + "\n"}


def named_files(
    kind: TrialKind, experiment: Experiment, config_name: str, names: Sequence[str], place: str, workers: Workers
) -> dict[str, str]:
    """Return the texts of nni.yml and search_space.json whose trials have names, each one once.

    Args:
        config_name: name of the experiment's file in the same folder.
        place: folder in which their machine keeps their runs.

    Raises:
        ConfigError: see `nni_files`.
    """
    concurrency, gpus, remote = workers.concurrency, workers.gpus, workers.remote
    problems = _mistakes("GridSearch", None, len(names), concurrency, gpus, remote)
    if problems:
        raise ConfigError(problems, kind.command)
    yaml = f"""# Each {kind.key} of {experiment.name} as a trial of NNI, written by bioautoml {kind.command}.
experimentName: {experiment.name}-{kind.command}
searchSpaceFile: search_space.json
trialCommand: bioautoml trial --config {config_name} {kind.option} {shlex.quote(place)} --beside {workers.beside}
trialCodeDirectory: .
trialConcurrency: {concurrency}
maxTrialNumber: {len(names)}
trialGpuNumber: {gpus}
tuner:
  name: GridSearch
{_training_service(remote, gpus)}"""
    space = {kind.key: {"_type": "choice", "_value": list(names)}}
    return {"nni.yml": yaml, "search_space.json": json.dumps(space, indent=2) + "\n"}


def _mistakes(
    tuner: str, assessor: str | None, trials: int, concurrency: int, gpus: int, remote: Remote | None
) -> list[str]:
    """Return what stands against these options, a sentence each."""
    problems = []
    if tuner in BROKEN:
        problems.append(f"--tuner {tuner}: {BROKEN[tuner]}; choose {', '.join(TUNERS)}")
    elif tuner not in TUNERS:
        problems.append(f"--tuner {tuner}: is unknown; choose {', '.join(TUNERS)}")
    if assessor is not None and assessor not in ASSESSORS:
        problems.append(f"--assessor {assessor}: is unknown; choose {', '.join(ASSESSORS)}")
    if trials < 1 or concurrency < 1 or gpus < 0:
        problems.append("--max-trials and --concurrency: must be at least 1, --gpus-per-trial at least 0")
    for machine in remote.machines if remote else ():
        if not MACHINE.fullmatch(machine):
            problems.append(f"--machine {machine}: write it as USER@HOST or USER@HOST:PORT")
    return problems


def _assessor(name: str, searched: int, trained: int) -> str:
    """Return the section for an assessor, which judges a trial by its `trained` epochs, not by those of its search."""
    told = ASSESSORS[name].format(epochs=searched + trained)
    return (
        f"\nassessor:\n  name: {name}\n  classArgs:\n    {told}\n"
        f"    start_step: {searched + 1}{'          # only training, not search' if searched else ''}\n"
    )


def _header(remote: Remote | None) -> str:
    """Return the comment that says how to start the experiment."""
    if remote is None:
        return (
            "#   bioautoml nnictl create --config nni.yml --port 8080     (NNI's web UI on this machine only)\n"
            "#   nnictl create --config nni.yml                           "
            "(NNI's own; its web UI is open to the network)"
        )
    return (
        "#   bioautoml nnictl create --config nni.yml --port 8080\n"
        "# The trials run on the machines below, which have this package too, and whose keys stand in\n"
        "# ~/.ssh/known_hosts. This folder is sent to each of them; let data.root be an absolute path of theirs.\n"
        "# Their runs stay there, in ~/nni-experiments/ID/runs; export there, and scp -r brings one back."
    )


def _training_service(remote: Remote | None, gpus: int) -> str:
    active = "true" if gpus else "false"
    if remote is None:
        return f"trainingService:\n  platform: local\n  useActiveGpu: {active}\n"
    lines = ["nniManagerIp: 127.0.0.1  # workers come back through the SSH connection", "trainingService:"]
    lines += ["  platform: remote", "  machineList:"]
    for machine in remote.machines:
        parts = MACHINE.fullmatch(machine)
        assert parts is not None  # the caller has looked
        lines += [
            f"  - host: {parts['host'].strip('[]')}",
            f"    port: {parts['port'] or 22}",
            f"    user: {parts['user']}",
            f"    sshKeyFile: {remote.key}",
            f"    useActiveGpu: {active}",
        ]
        if remote.python:
            lines.append(f"    pythonPath: {remote.python}")
    return "\n".join(lines) + "\n"


def default_search_space(experiment: Experiment) -> dict[str, Any]:
    """Return a search space around the experiment's own settings; its keys are dotted keys of experiment.yml."""

    def around(value: float) -> dict[str, Any]:
        return {"_type": "loguniform", "_value": [float(f"{value / 5:.3g}"), float(f"{value * 5:.3g}")]}

    space: dict[str, Any] = {
        "training.learning_rate": around(experiment.training.learning_rate),
        "training.weight_decay": around(max(experiment.training.weight_decay, 1e-3)),
    }
    if "image" in experiment.data.modalities:
        arguments = _arguments("search_spaces", experiment.space)
        if "cells" in arguments:
            space["space.cells"] = {"_type": "choice", "_value": _steps(arguments["cells"], 2)}
        channels = experiment.retrain.channels or arguments.get("channels")
        if channels:
            space["retrain.channels"] = {"_type": "choice", "_value": _steps(channels, max(4, channels // 4))}
        rate = _arguments("strategies", experiment.strategy).get("alpha_learning_rate")
        if rate is not None:
            space["strategy.alpha_learning_rate"] = around(float(rate))
    if "tau" in _arguments("losses", experiment.loss):
        space["loss.tau"] = {"_type": "choice", "_value": [0.0, 0.5, 1.0]}
    return space


def architecture_search_space(experiment: Experiment) -> dict[str, Any]:
    """Return a choice for everything that the experiment's space leaves open; empty if that is nothing.

    The keys are ``derivation.choices.LABEL``.
    """
    return {key: {"_type": "choice", "_value": names} for key, names in choice_keys(experiment).items()}


def _arguments(kind: str, section: PluginSection) -> dict[str, Any]:
    """Return the arguments of a plug-in: the experiment's own and, for the others, the constructor's defaults."""
    parameters = constructor_arguments(get(kind, section.name))
    defaults = {name: each.default for name, each in parameters.items() if each.default is not each.empty}
    return {**defaults, **section.arguments}


def _steps(middle: int, step: int) -> list[int]:
    return sorted({max(step, middle - step), middle, middle + step})


def write_nni_files(experiment: Experiment, config: Path, *, force: bool = False, **options: Any) -> list[Path]:
    """Write both files beside the experiment's own, which the trials read, and return their paths.

    Args:
        force: whether files that hold something else, such as what somebody has written, are replaced.

    Raises:
        ConfigError: for files that hold something else, and for settings that no experiment can have; nothing is
            written then.
    """
    texts = nni_files(experiment, config.name, **options)
    given = [GIVEN] if options.get("architectures") else []
    if options.get("portfolio") is None:  # whose axes are no settings, and were checked as what they stand for
        check_settings(config, json.loads(texts["search_space.json"]), given)
    paths = {config.parent / name: text for name, text in texts.items()}
    other = [] if force else [path for path, text in paths.items() if path.is_file() and _differs(path, text)]
    if other:
        raise ConfigError(
            [f"{path}: holds something else; move it, or replace it with --force" for path in other], "nni-config"
        )
    for path, text in paths.items():
        write_text(path, text)
    return list(paths)


def _differs(path: Path, text: str) -> bool:
    return path.read_text(encoding="utf-8", errors="replace") != text
