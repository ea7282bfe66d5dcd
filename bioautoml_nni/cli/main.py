"""`bioautoml`: commands on experiments and run directories."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .._version import __version__
from ..utils.errors import BioAutoMLError, outside_cause, place_cause
from ..utils.quiet import quiet, substitute_letters
from .estimating import is_long, show_estimate
from .shared import STAGES, START, NewRun, Overrides, RunPath, app, console, errors, tell_renamed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..runs.directory import RunDirectory


def _version(value: bool) -> None:
    if value:
        console.print(f"bioautoml-nni {__version__}")
        raise typer.Exit


FIRST_STEPS = """BioAutoML-NNI finds a small classifier for your specimen images and their
metadata. Three first steps:

  bioautoml init my-data/table.csv
      guesses what your columns are, and writes experiment.yml
  bioautoml check my-data/experiment.yml
      says what is wrong with the data, before anything is trained
  bioautoml auto my-data/experiment.yml --minutes 30
      tries candidates, and keeps the best that fits

No data at hand? Run `make demo` in the checkout.
All commands: bioautoml --help"""


@app.callback()
def root(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Search, train and evaluate small classifiers for specimen images and their metadata."""
    if context.invoked_subcommand is None:
        console.print(FIRST_STEPS, highlight=False, soft_wrap=True)
    if errors.is_terminal and context.invoked_subcommand and not {"-h", "--help"} & set(sys.argv):
        errors.print(f"[dim]bioautoml {context.invoked_subcommand}: starting")  # before seconds of imports


@app.command(rich_help_panel=START)
def run(
    experiment: Annotated[Path, typer.Argument(help="An experiment.yml, or a run to continue.", metavar="EXPERIMENT")],
    output: NewRun = None,
    short: Annotated[
        bool, typer.Option("--quick", help="A few epochs, to see that everything works; scores say little.")
    ] = False,
    overrides: Overrides = None,
    baselines: Annotated[bool, typer.Option("--baselines/--no-baselines", help="Also score the baselines.")] = True,
    first_epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Stop after so many epochs of the final training; the command without it continues."),
    ] = None,
    page: Annotated[bool, typer.Option("--report/--no-report", hidden=True)] = True,
) -> None:
    """Do everything from data to report; repeat the command to continue a run that was killed.

    Example: bioautoml run examples/sample/experiment.yml --set training.epochs=3
    """
    from ..runs.directory import STAGES as stages

    directory = _opened(experiment, output, short, overrides or [])
    _execute(directory, ["prepare"])
    if is_long(directory):
        show_estimate(directory.experiment)
    if first_epochs is not None:
        return _begin(directory, first_epochs)
    _execute(directory, [name for name in list(stages)[1:] if name != "report"])
    return _report(directory, baselines) if page else None


def _report(directory: RunDirectory, baselines: bool) -> None:
    """Score the baselines, if they are wanted, write the report, and show what came out."""
    news = baselines and _baselines(directory)
    _execute(directory, ["report"], force="report" if news else None)
    _summary(directory)
    console.print(
        f"Report: {escape(str(directory / 'report.html'))}. Next: bioautoml export {escape(str(directory.path))}, or "
        f"bioautoml doctor {escape(str(directory.path))}",
        highlight=False,
        soft_wrap=True,
    )


def _begin(directory: RunDirectory, epochs: int) -> None:
    """Do what comes before the final training and its first epochs."""
    from ..stages.run import begin_training

    begin_training(directory, epochs, console)
    console.print(
        f"Stopped after {len(directory.history('retrain'))} epochs of the final training; bioautoml run "
        f"{escape(str(directory.path))} goes on.",
        highlight=False,
        soft_wrap=True,
    )


def _opened(
    experiment: Path, output: Path | None, short: bool, overrides: Sequence[str], spread: bool = True
) -> RunDirectory:
    """Return the run directory of an experiment, or of a run that is to go on.

    Args:
        spread: start the processes that the run is to have, of which this one is the first.
    """
    from ..config import load_experiment
    from ..config.load import import_plugins
    from ..config.quick import quick
    from ..runs.directory import RunDirectory, is_run

    if experiment.is_dir():
        experiment = experiment / "experiment.yml"
    here = experiment.parent
    if is_run(here) and not short and (output is None or (not overrides and output.resolve() == here.resolve())):
        opened = RunDirectory.open(here, overrides)
        if spread:
            _spread(opened.experiment)
        import_plugins(opened.experiment)
        return opened
    loaded = load_experiment(experiment, overrides)
    loaded = quick(loaded) if short else loaded
    if spread:
        _spread(loaded)
    if short:
        console.print(
            f"Quick: {loaded.search.epochs} epochs of search and {loaded.training.epochs} of training, to see that "
            "everything works; the scores say little.", highlight=False,
        )  # fmt: skip
    import_plugins(loaded)
    return RunDirectory.create(output or Path("runs") / loaded.name, loaded, experiment.resolve().parent, console)


@app.command(rich_help_panel=START)
def estimate(
    experiment: Annotated[Path, typer.Argument(help="An experiment.yml.", metavar="EXPERIMENT")],
    overrides: Overrides = None,
) -> None:
    """Estimate the time, memory and disk of a run on this machine, from a dry run on a few specimens.

    Nothing is kept of it. Times err upwards, the more so the smaller the data.

    Example: bioautoml estimate my-data/experiment.yml --set search.batch_size=128
    """
    from ..config import load_experiment

    show_estimate(load_experiment(experiment, overrides or []))


def _stage_command(name: str, text: str, before: tuple[str, ...]) -> None:
    def command(directory: RunPath, overrides: Overrides = None) -> None:
        from ..config.load import import_plugins
        from ..runs.directory import RunDirectory

        opened = RunDirectory.open(directory, overrides or [])
        for stage in before:
            opened.require(stage)
        if name != "derive":
            _spread(opened.experiment)
        import_plugins(opened.experiment)
        _execute(opened, [*(["prepare"] if name == "search" else []), name, *(["derive"] if name == "search" else [])])

    command.__doc__ = text
    app.command(name, rich_help_panel=STAGES)(command)


_stage_command(
    "search",
    "Search the architecture of a run, after preparing the data if necessary.\n\n"
    "Example: bioautoml search runs/moths --set search.epochs=30",
    (),
)
_stage_command(
    "derive",
    "Re-derive the architecture of a finished search by another method.\n\n"
    "Example: bioautoml derive runs/moths --set derivation.method=perturbation",
    ("search",),
)
_stage_command(
    "retrain",
    "Train the derived network of a run.\n\nExample: bioautoml retrain runs/moths --set training.epochs=80",
    ("derive",),
)
_stage_command(
    "evaluate",
    "Score the trained network of a run on its test split.\n\nExample: bioautoml evaluate runs/moths",
    ("derive", "retrain"),
)


@app.command(rich_help_panel=STAGES)
def report(
    directory: RunPath,
    compared: Annotated[
        Path | None,
        typer.Option("--comparison", help="Folder of `bioautoml compare` on the same data; the run keeps its table."),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Write report.html of a run.

    Example: bioautoml report runs/moths --comparison comparisons/moths
    """
    from ..runs.directory import RunDirectory

    opened = RunDirectory.open(directory, overrides or [])
    opened.require("evaluate")
    if compared is None:
        _execute(opened, ["report"], force="report")
    else:
        from ..compare.in_reports import show_comparison

        show_comparison(opened, compared, console)


from . import checking, comparison, deploy, jobs, looking, media, portfolio, preparing, starting  # noqa: E402, F401  (they register their commands)


def _execute(directory: object, names: list[str], force: str | None = None) -> None:
    from ..runs.directory import RunDirectory
    from ..stages.run import run_stages

    assert isinstance(directory, RunDirectory)
    run_stages(directory, names, console, force)


def _spread(experiment: object) -> None:
    """Do the rest in several processes where the experiment asks for them, and exit."""
    from ..config import Experiment
    from ..stages.launch import spread

    assert isinstance(experiment, Experiment)
    spread(experiment, _command_line, console)


def _baselines(directory: object) -> bool:
    from ..auto.baselines import add_baselines
    from ..runs.directory import RunDirectory

    assert isinstance(directory, RunDirectory)
    return add_baselines(directory, console)


def _summary(directory: object) -> None:
    from ..runs.directory import RunDirectory

    assert isinstance(directory, RunDirectory)
    metrics = directory.metrics()
    columns, split = ", ".join(metrics.metadata_columns) or "none", metrics.split
    table = Table(
        title=f"{escape(directory.experiment.name)}: {split.sizes['test']} test specimens", title_justify="left"
    )
    for name in ("", "accuracy", "balanced accuracy", "macro-F1"):
        table.add_column(name, justify="left" if not name else "right")
    for name, scores in {"this network": metrics.headline, "majority answer": metrics.majority_baseline}.items():
        told = (scores.accuracy, scores.balanced_accuracy, scores.macro_f1)
        table.add_row(name, *(f"{value:.3f}" for value in told))
    console.print(table)
    if metrics.brand:
        console.print(f"[bold red]{escape(metrics.brand)}")
    console.print(
        f"Rank: {escape(metrics.rank)}, {metrics.classes} classes. Split: {split.method}"
        f"{' by ' + escape(split.group) if split.group else ''}. Metadata: {escape(columns)}. "
        f"{metrics.parameters:,} parameters.",
        highlight=False,
    )


_command_line: list[str] | None = None
"""Arguments that this process was started with, None where a command is called from Python."""


def _processes() -> AbstractContextManager[None]:
    """Return what brings several processes together where torchrun has started this one; else nothing happens."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return nullcontext()
    from ..stages.together import taking_part

    return taking_part(sys.argv[1:])


def main() -> None:
    """Entry point: our errors become one clear message and exit code 2."""
    quiet()
    substitute_letters()
    tell_renamed()
    global _command_line
    _command_line = sys.argv[1:]
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        with _processes():
            app()
    except BioAutoMLError as error:
        from .postmortem import with_suites

        if debug:
            raise
        errors.print(f"[bold red]Error:[/] {escape(with_suites(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except Exception as error:
        from .postmortem import plugin_cause

        cause = outside_cause(error) or plugin_cause(error) or place_cause(error)
        if debug or cause is None:
            raise
        errors.print(f"[bold red]Error:[/] {escape(cause)}", highlight=False, soft_wrap=True)
        sys.exit(2)
