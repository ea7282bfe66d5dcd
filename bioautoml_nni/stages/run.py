"""The stages in their order, and the running of those that are not done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from rich.console import Console

from ..plugin_faults import plugin_fault
from ..runs.directory import STAGES, RunDirectory
from ..runs.lock import locked
from ..runs.threads import use_threads
from ..utils.atomic import remove_leftovers
from ..utils.errors import BioAutoMLError, outside_cause
from ..utils.memory import return_freed_memory

StageFunction = Callable[[RunDirectory, Console], None]


def stage_function(name: str) -> StageFunction:
    """Return a stage's function; its module is imported now, since some need seconds for torch and NNI."""
    return getattr(import_module(f".{name}", __package__), name)


def run_stages(run: RunDirectory, names: Sequence[str], console: Console, force: str | None = None) -> None:
    """Run stages in order, skipping those that are done.

    Args:
        names: stages to run; all stages before the first must be done, or be named too.
        force: a stage that runs even if it is done.

    Raises:
        RunDirectoryError: if another process works on the run.
    """
    use_threads(run.experiment.threads)
    with locked(run.path):
        remove_leftovers(run.path)
        _run_stages(run, names, console, force)


def _run_stages(run: RunDirectory, names: Sequence[str], console: Console, force: str | None) -> None:
    for name in STAGES:
        if name not in names:
            continue
        if run.done(name) and name != force:
            console.print(f"[dim]{name}: done before, skipped.")
            continue
        if name == "search" and not run.experiment.derivation.searched and name != force:
            console.print(f"[dim]search: not needed for derivation.method={run.experiment.derivation.method}.")
            continue
        _train_teacher(name, run, console)
        console.print(f"[bold]Stage {list(STAGES).index(name) + 1} of {len(STAGES)}:[/] {name}", highlight=False)
        with run.stage(name):
            _do(name, run, console)
        return_freed_memory()  # the next one has a table of its own


def _train_teacher(name: str, run: RunDirectory, console: Console) -> None:
    """Train the network that teaches in a stage, if an experiment file names it and that is not done."""
    if any(getattr(run.experiment, section).distillation for section in ("search", "training")):
        from .taught import train_teacher  # with torch

        train_teacher(name, run, console)


def _do(name: str, run: RunDirectory, console: Console) -> None:
    """Do a stage in this process, or in all that torchrun has started.

    Raises:
        PluginError: for an error that another package's plug-in raises.
    """
    from .together import perform  # with torch, as the stages' own modules

    try:
        if not perform(name, run, console):
            stage_function(name)(run, console)
    except BioAutoMLError:
        raise
    except (Exception, SystemExit) as error:
        fault = None if outside_cause(error) else plugin_fault(error)
        if fault is None:
            raise
        raise fault from error


def begin_training(run: RunDirectory, epochs: int, console: Console) -> None:
    """Run all stages before the final training that are not done, and its first epochs; `run_stages` goes on.

    Raises:
        RunDirectoryError: if another process works on the run.
    """
    names = list(STAGES)
    run_stages(run, names[: names.index("retrain")], console)
    if run.done("retrain"):
        return
    from .retrain import begin

    with locked(run.path):
        _train_teacher("retrain", run, console)
        begin(run, console, epochs)
