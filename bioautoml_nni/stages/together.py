"""Stages that all processes of a group do together; the first process leads, and does all other work alone.

Only the leading process reads the command line, locks the run directory and writes. The others wait for what it tells
them, open the run, and take part in the training of the stage.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from .._version import __version__
from ..config import Experiment
from ..config.load import import_plugins
from ..data.manifest import IMAGE
from ..registry import get
from ..runs.directory import STAGES, RunDirectory
from ..runs.places import require_same_images
from ..runs.prepared import PreparedData
from ..runs.teacher import shared_teacher
from ..runs.threads import use_threads
from ..training.group import FailedProcessError, Group, OtherProcessError
from ..utils.errors import BioAutoMLError, RunDirectoryError
from ..utils.quiet import quiet
from ..utils.seen import seen_by_all
from ..utils.shard import Shard
from . import launch

COMMANDS = ("run", "search", "derive", "retrain", "evaluate", "report")
"""Commands that torchrun may start."""

COMPARED = ("manifest.parquet", "splits.csv", "preprocessing.json")
"""Files of a run of which all processes must see the same content."""

COMPARED_LATER = {"retrain": ("architecture.json",), "evaluate": ("architecture.json", "retrain/model.pt")}
"""Such files that only some stages read."""

LEAST_SHARE = 2
"""Specimens that each process needs of a step of the search, for its batch norms."""

SEEN = 60.0
"""Seconds after which a network's file system shows what another machine has written."""

SLOWER = 2.0
"""Head start, in seconds, of the leading process with what all would say."""


@contextmanager
def taking_part(arguments: Sequence[str]) -> Iterator[None]:
    """Do the block in the leading process, with the others at hand; in those, help until it ends, and exit.

    Args:
        arguments: of the command line.

    Raises:
        RunDirectoryError: for a command that works in one process only, and in a process that helps if it fails.
    """
    launch.end_with_launcher()
    group = Group.join()
    try:
        with _ends_told(group):
            if not group.leads:
                _help(group)
                sys.exit(0)
            command = next((argument for argument in arguments if not argument.startswith("-")), "")
            if command not in COMMANDS:
                raise RunDirectoryError(
                    f"torchrun: `bioautoml {command}` works in one process; start it without torchrun, which is for "
                    f"{', '.join(COMMANDS)}."
                )
            launch.leader = group
            yield
            group.tell(None)
    finally:
        launch.leader = None


@contextmanager
def _ends_told(group: Group) -> Iterator[None]:
    """Tell the other processes how the block ends, and end so that a failure is said once."""
    try:
        yield
    except SystemExit as ended:  # how commands of typer end, successful ones included
        if group.leads and not ended.code:
            group.tell(None)
        elif ended.code:
            group.fail(f"exit code {ended.code}")
        raise
    except KeyboardInterrupt:
        group.fail("interrupted")
        sys.exit(130)
    except OtherProcessError as error:
        said = isinstance(error, FailedProcessError) and group.machines == 1  # by the process that has failed
        if said or not group.leads:
            time.sleep(SLOWER)
            if said or group.local_rank:
                sys.exit(2)
        raise
    except BioAutoMLError as error:
        if not group.fail(str(error)) and group.machines == 1:  # the first to fail has said why
            time.sleep(SLOWER)
            sys.exit(2)
        if group.leads:
            raise
        raise RunDirectoryError(f"{group.name}: {error}") from error
    except BaseException as error:
        group.fail(" ".join(f"{type(error).__name__}: {error}".split()))
        raise


def perform(name: str, run: RunDirectory, console: Console) -> bool:
    """Do a stage together with the other processes; return whether there are others, and it is such a stage.

    Raises:
        RunDirectoryError: if another process fails, or sees other data, settings or devices.
    """
    group = launch.leader
    if group is None:
        return False
    if (reason := alone(name, run.experiment, group.size)) is not None:
        if reason:
            console.print(f"[dim]{name}: by the first process, since {reason}.", highlight=False)
        return False
    group.tell({"run": str(run.path), "stage": name})
    machines = "1 machine" if group.machines == 1 else f"{group.machines} machines"
    console.print(f"{name}: in {group.size} processes on {machines}, by {group.device}.", highlight=False)
    _take_part(group, name, run, console)
    return True


def alone(name: str, experiment: Experiment, size: int) -> str | None:
    """Return why the first of so many processes does a stage alone; None where all do it.

    The reason is empty where it goes without saying.
    """
    if name == "search":
        settings = experiment.search
        if "processes" not in get("strategies", experiment.strategy.name).capabilities:
            return f"strategy {experiment.strategy.name} searches in one process"
        share, rest = divmod(settings.batch_size * settings.devices, size)
        return None if share >= LEAST_SHARE and not rest else (
            f"search.batch_size x search.devices = {settings.batch_size * settings.devices} cannot be shared by "
            f"{size} processes"
        )  # fmt: skip
    if name == "retrain" and "probe" in get("search_spaces", experiment.space.name).capabilities:
        return "a probe is fitted"
    return None if name in ("retrain", "evaluate") else ""


def _help(group: Group) -> None:
    """Take part in what the leading process tells, until it tells the end."""
    quiet()
    while (told := group.hear()) is not None:
        run = _opened(Path(told["run"]), told["stage"])
        import_plugins(run.experiment)
        use_threads(run.experiment.threads)
        _take_part(group, told["stage"], run, Console(quiet=True))


def _opened(path: Path, stage: str) -> RunDirectory:
    """Return a run of which the stages before one are done, waiting until this machine sees so.

    Raises:
        RunDirectoryError: if it does not see that.
    """
    before = [name for name in list(STAGES)[: list(STAGES).index(stage)] if name != "search"]
    until = time.monotonic() + SEEN
    while True:
        try:
            run = RunDirectory.open(path)
            if all(run.done(name) for name in before):
                return run
        except RunDirectoryError:
            pass
        if time.monotonic() > until:
            raise RunDirectoryError(
                f"{path}: does not hold what the first process has written; all machines must see the same run "
                "directory by the path that the command names."
            )
        time.sleep(1)


def _take_part(group: Group, name: str, run: RunDirectory, console: Console) -> None:
    from .run import stage_function

    if group.device == "cuda":
        torch.cuda.set_device(group.local_rank)
    data = PreparedData.load(run)
    data = data.as_searched() if name == "search" else data
    with group.turns():  # images are decoded once a machine
        if data.pixels is not None:
            facts = data.image_store().verified(data.table[IMAGE].tolist())
            require_same_images(facts, run.provenance(), data.image_root)
    if group.local_size > 1:  # each process of a machine computes its share of the features
        data.fill_features(Shard(group.local_rank + 1, group.local_size))
        group.gather()
    with group.turns():
        _ = data.features
        seen = _seen(group, name, run)
    require_alike(group.gather(seen))
    _require_one_directory(group, run)
    if group.local_size > 1:
        _fill_teacher(group, name, run, data, console)
    with group.together(by_gloo=name == "evaluate"):
        stage_function(name)(run, console)
        group.gather()


def _require_one_directory(group: Group, run: RunDirectory) -> None:
    """Check that all processes see one run directory, not copies of it, since they read what the first one writes.

    Raises:
        RunDirectoryError: in a process that sees another.
    """
    if group.leads:
        with seen_by_all(run.path) as mark:
            group.gather(mark.name)
            group.gather()
        return
    name = group.gather()[0]
    until = time.monotonic() + (SEEN if group.machines > 1 else 0)
    while not (run.path / name).exists():
        if time.monotonic() > until:
            raise RunDirectoryError(
                f"{run.path}: is not the run directory of the first process, but a copy; all processes must see the "
                "same one by the path that the command names."
            )
        time.sleep(1)
    group.gather()


def _fill_teacher(group: Group, name: str, run: RunDirectory, data: PreparedData, console: Console) -> None:
    """Let each process of a machine compute its share of what an encoder that teaches makes of the images."""
    section = {"search": "search", "retrain": "training"}.get(name)
    if section is None:
        return
    teacher = None
    with group.turns():  # its images are decoded once a machine, at its own size
        validation = name == "retrain" and run.experiment.retrain.refit
        if (teacher := shared_teacher(run, data, console, section, validation)) is not None:
            teacher.decode()
    if teacher is not None:
        teacher.fill_features(Shard(group.local_rank + 1, group.local_size))
        group.gather()


def _seen(group: Group, name: str, run: RunDirectory) -> dict[str, Any]:
    """Return what this process sees of a run."""
    files = [*COMPARED, *COMPARED_LATER.get(name, ())]
    return {
        "process": group.name,
        "device": group.device,
        "version": f"{__version__} with torch {torch.__version__}",
        "settings": run.key(name),
        **{file: hashlib.sha256((run / file).read_bytes()).hexdigest() for file in files},
    }


def require_alike(seen: Sequence[Mapping[str, Any]]) -> None:
    """Check that all processes see the same data and settings, by the same software and on alike devices.

    Raises:
        OtherProcessError: if they do not.
    """
    first = seen[0]
    without = [other["process"] for other in seen if other["device"] == "cpu"]
    if 0 < len(without) < len(seen):
        raise OtherProcessError(
            f"{', '.join(without)}: no GPU of its own, where other processes have one; start as many processes on a "
            "machine as it has GPUs, or all without (CUDA_VISIBLE_DEVICES=)."
        )
    for other in seen[1:]:
        differing = [what for what in first if what not in ("process", "device") and first[what] != other.get(what)]
        if differing:
            told = f" ({first['version']}, {other['version']})" if "version" in differing else ""
            raise OtherProcessError(
                f"{other['process']} has other {' and '.join(differing)}{told} than {first['process']}; all processes "
                "need the same run directory, and the same versions."
            )
