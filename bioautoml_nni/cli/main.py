"""`bioautoml`: commands on experiments and run directories."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .._version import __version__
from ..utils.errors import BioAutoMLError, outside_cause, place_cause
from ..utils.quiet import quiet, substitute_letters
from .estimating import is_long, show_estimate
from .shared import LOOK, STAGES, START, Overrides, RunPath, app, console, errors, given_place, tell_renamed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import Experiment
    from ..data.remark import Answer
    from ..runs.directory import RunDirectory


def _version(value: bool) -> None:
    if value:
        console.print(f"bioautoml-nni {__version__}")
        raise typer.Exit


FIRST_STEPS = """BioAutoML-NNI finds a small classifier for your specimen images and their metadata. Three first steps:

  bioautoml init my-data/table.csv                          guesses what your columns are, and writes experiment.yml
  bioautoml check my-data/experiment.yml                    says what is wrong with the data, before anything is trained
  bioautoml auto my-data/experiment.yml --minutes 30        tries candidates and keeps the best that fits

No data at hand? bioautoml run examples/sample/experiment.yml, or make demo. All commands: bioautoml --help"""


@app.callback()
def root(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Search, train and evaluate small classifiers for specimen images and their metadata."""
    if context.invoked_subcommand is None:
        console.print(FIRST_STEPS, highlight=False, soft_wrap=True)
    if errors.is_terminal and context.invoked_subcommand and not {"-h", "--help"} & set(sys.argv):
        errors.print(f"[dim]bioautoml {context.invoked_subcommand}: starting")  # before seconds of imports


@app.command(rich_help_panel=START)
def run(
    experiment: Annotated[Path, typer.Argument(help="An experiment.yml, or a run to continue.", metavar="EXPERIMENT")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run directory.", show_default="runs/NAME")
    ] = None,
    short: Annotated[
        bool, typer.Option("--quick", help="A few epochs, to see that everything works; scores say little.")
    ] = False,
    overrides: Overrides = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Whether evaluation.baselines are tried.")
    ] = True,
) -> None:
    """Do everything from data to report; a killed run continues when the command is given again.

    Example: bioautoml run examples/sample/experiment.yml --set training.epochs=3
    """
    from ..runs.directory import STAGES as stages

    directory = _opened(experiment, output, short, overrides or [])
    _execute(directory, ["prepare"])
    if is_long(directory):
        show_estimate(directory.experiment)
    _execute(directory, [name for name in list(stages)[1:] if name != "report"])
    news = baselines and _baselines(directory)
    _execute(directory, ["report"], force="report" if news else None)
    _summary(directory)
    console.print(
        f"Report: {directory / 'report.html'}. Next: bioautoml export {directory.path}, or bioautoml doctor "
        f"{directory.path}",
        highlight=False,
        soft_wrap=True,
    )


def _opened(experiment: Path, output: Path | None, short: bool, overrides: Sequence[str]) -> RunDirectory:
    """Return the run directory of an experiment, or of a run that is to go on."""
    from ..config import load_experiment
    from ..config.load import import_plugins
    from ..config.quick import quick
    from ..runs.directory import RunDirectory, is_run

    if experiment.is_dir():
        experiment = experiment / "experiment.yml"
    here = experiment.parent
    if is_run(here) and not short and (output is None or (not overrides and output.resolve() == here.resolve())):
        opened = RunDirectory.open(here, overrides)
        import_plugins(opened.experiment)
        return opened
    loaded = load_experiment(experiment, overrides)
    if short:
        loaded = quick(loaded)
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
    """Say what a run will take in time, memory and disk on this machine, from a dry run on a few specimens.

    Nothing is kept of it. Times err upwards, the more so the smaller the data.

    Example: bioautoml estimate my-data/experiment.yml --set search.batch_size=128
    """
    from ..config import load_experiment

    show_estimate(load_experiment(experiment, overrides or []))


def _stage_command(name: str, text: str, before: tuple[str, ...]) -> None:
    def command(directory: RunPath, overrides: Overrides = None) -> None:
        from ..runs.directory import RunDirectory

        opened = RunDirectory.open(directory, overrides or [])
        for stage in before:
            opened.require(stage)
        _execute(opened, [*(["prepare"] if name == "search" else []), name, *(["derive"] if name == "search" else [])])

    command.__doc__ = text
    app.command(name, rich_help_panel=STAGES)(command)


_stage_command(
    "search",
    "Search an architecture on a run directory (data are prepared if need be).\n\n"
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


@app.command(rich_help_panel=START)
def check(
    experiment: Annotated[Path, typer.Argument(help="An experiment.yml.", metavar="EXPERIMENT")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the audit as JSON.")] = Path("audit.json"),
    overrides: Overrides = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Write the lines that need no judgement into the experiment; a copy is kept.")
    ] = False,
) -> None:
    """Audit the data of an experiment without training: what is wrong, and could a result be trusted?

    Exit code 0: clean, 1: warnings, 2: refused. Nothing but the audit and the image cache is written, unless --fix
    writes lines that answer remarks into the experiment; the exit code is that of the data as they were before.

    Example: bioautoml check my-data/experiment.yml
    """
    from ..audit.examine import examine
    from ..audit.present import present
    from ..config import load_experiment
    from ..utils.atomic import write_json
    from ..utils.places import require_place

    loaded = load_experiment(experiment, overrides or [])
    require_place(output, [experiment, *_files_of(loaded)])
    found = examine(loaded, console)
    write_json(output, found.audit)
    present(found.audit, console)
    console.print(f"[dim]Everything in detail: {output}")
    if fix:
        _write_answers(experiment, found.answers)
    if found.verdict == "refused":
        console.print("Next: mend what is refused above, then check again.")
    else:
        console.print(
            f"Next: bioautoml auto {experiment}, or bioautoml run {experiment}", highlight=False, soft_wrap=True
        )
    raise typer.Exit({"clean": 0, "warnings": 1, "refused": 2}[found.verdict])


def _write_answers(experiment: Path, answers: Sequence[Answer]) -> None:
    """Write the lines that need no judgement into an experiment, and say so."""
    from ..config.amend import amend

    sure = [answer for answer in answers if answer.sure]
    if not sure:
        console.print("--fix: no remark has an answer that needs no judgement; nothing was written.")
        return
    backup = amend(experiment, [(answer.key, answer.value) for answer in sure])
    console.print(f"Wrote into {experiment} (as it was: {backup}):", soft_wrap=True, highlight=False)
    for answer in sure:
        console.print(f"  {escape(answer.line)}", soft_wrap=True, highlight=False)


def _files_of(experiment: Experiment) -> list[Path]:
    """Return the files that an experiment's source names, by default or as it is told."""
    from ..registry import get
    from ..utils.remote import RemotePath

    root = experiment.data.root
    source = get("sources", experiment.data.source).target(root, **experiment.data.arguments)
    named = [
        entry for value in vars(source).values() for entry in (value.values() if isinstance(value, dict) else [value])
    ]
    if root is None or isinstance(root, RemotePath):
        return []
    return [root / name for name in named if isinstance(name, str) and (root / name).is_file()]


@app.command(rich_help_panel=LOOK)
def doctor(directory: RunPath) -> None:
    """Explain a search in plain words: converged, collapsed, too short, and what helps.

    Exit code 0: all ok, 1: at least one warning or error.

    Example: bioautoml doctor runs/moths
    """
    from ..derivation.evolution import scored_candidates
    from ..registry import get, operation_groups
    from ..report.doctor import diagnose
    from ..runs.directory import RunDirectory
    from ..utils.own_files import read_json

    run = RunDirectory.open(directory)
    experiment = run.experiment
    operations = operation_groups()

    sizes = read_json(run / "audit.json").get("split_sizes") if (run / "audit.json").is_file() else None
    trained = (run / "retrain/network.json").is_file()
    warmup = experiment.strategy.arguments.get("warmup_epochs", 0)
    found = diagnose(
        run.history("search"),
        skips=operations["skip"],
        zeros=operations["zero"],
        warmup_epochs=warmup if isinstance(warmup, int) else 0,
        alpha_specimens=sizes["alpha_train"] if isinstance(sizes, dict) else None,
        batch_size=experiment.search.batch_size,
        outcome=run.outcome().record(),
        derived_score=run.network().validation_macro_f1 if trained else None,
        has_preferences="equal_shares" not in getattr(get("strategies", experiment.strategy.name), "capabilities", ()),
        candidate_scores=[line["score"] for line in scored_candidates(run) if line["score"] >= 0],
    )
    colours = {"error": "red", "warning": "yellow", "ok": "green"}
    for finding in found:
        level = f"[{colours[finding.level]}]{finding.level:>5}[/]"
        lines = [f"{level}  [bold]{finding.title}[/]: {escape(finding.seen)}"]
        lines += [f"       [dim]What helps:[/] {escape(finding.remedy)}"] if finding.remedy else []
        console.print("\n".join(lines), highlight=False, soft_wrap=True)
    raise typer.Exit(int(any(finding.level != "ok" for finding in found)))


@app.command("ls", rich_help_panel=LOOK)
def list_plugins(
    kind: Annotated[str | None, typer.Argument(help="one kind, such as sources")] = None,
) -> None:
    """List plug-ins, all or of one kind; one that cannot be used stands there as broken, with the reason.

    Example: bioautoml ls operations
    """
    from ..registry import KINDS, plugins

    for name in [kind] if kind else KINDS:
        found = plugins(name)
        table = Table(
            title=f"{name}: {KINDS[name]}", title_justify="left", title_style="bold", box=None, pad_edge=False
        )
        figures = ENCODER_FIGURES if name == "encoders" else {}
        for column in ("name", "description", *(figures or ["capabilities"])):
            table.add_column(column, overflow="fold")
        for plugin in found.values():
            problem = plugin.problem
            if problem is not None:
                table.add_row(plugin.name, f"[red]{escape(problem)}[/]", "broken")
                continue
            last = [_figure(plugin.target, figure) for figure in figures.values()] or [", ".join(plugin.capabilities)]
            table.add_row(plugin.name, escape(plugin.description), *last)
        console.print(table)
        console.print()


ENCODER_FIGURES = {"parameters": "parameters", "MFLOPs": "mflops", "size": "image_size", "licence": "licence"}
"""Columns of encoders, and the attributes of their classes that hold them."""


def _figure(encoder: object, attribute: str) -> str:
    """Return what an encoder's class declares; a family of networks declares nothing of the kind."""
    families = not isinstance(getattr(encoder, "parameters", None), int)  # which only a name makes a network
    value = None if families else getattr(encoder, attribute, None)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:,.0f}"
    return value if isinstance(value, str) else "by network"


def _asked(key: str, choices: list[str]) -> str:
    """Ask at the terminal which of several is meant; anything else is asked again."""
    from rich.prompt import Prompt

    return str(Prompt.ask(f"data.{escape(key)}", console=console, choices=choices, default=choices[0]))


@app.command(rich_help_panel=START)
def init(
    target: Annotated[
        Path,
        typer.Argument(
            help="Your data: a table, folder of images, archive or COCO file, also as a URL; or a new folder.",
            metavar="DATA_OR_DIR",
            parser=given_place,
        ),
    ],
    table: Annotated[
        Path | None, typer.Option(help="For a new folder: your table, by whose size epochs and batches are chosen.")
    ] = None,
) -> None:
    """Write a commented experiment.yml: beside your data, with guesses at columns and roles, or into a new folder.

    At a terminal it asks where several columns could be meant; what it guessed, and why, stands in the file.

    Example: bioautoml init my-data/table.csv
    """
    from ..config.template import experiment_template
    from ..data.tables import read_table
    from ..sources.guess import guess
    from ..sources.guessed_experiment import guessed_experiment
    from ..utils.atomic import write_text
    from ..utils.errors import RunDirectoryError
    from ..utils.places import require_folder
    from ..utils.remote import RemotePath

    holds_data = target.is_file() or (target.is_dir() and table is None and any(target.iterdir()))
    if isinstance(target, RemotePath):
        holds_data = True
    elif target.is_file() and (there := target.parent / "experiment.yml").exists():
        raise RunDirectoryError(f"{there}: is there already; choose another folder or remove it.")
    found = guess(target, _asked if sys.stdin.isatty() else None) if holds_data else None
    folder = target if found is None else Path() if isinstance(found.root, RemotePath) else found.root
    file = folder / "experiment.yml"
    if file.exists():
        raise RunDirectoryError(f"{file}: is there already; choose another folder or remove it.")
    if found is None:
        text = (
            experiment_template()
            if table is None
            else experiment_template(str(table.resolve().parent), table.name, len(read_table(table)))
        )
        require_folder(folder, "init")
        write_text(file, text)
        console.print(f"Wrote {file}. Edit its data section, then: bioautoml check {file}", soft_wrap=True)
        return
    require_folder(folder, "init")
    write_text(file, guessed_experiment(found, target.resolve().name.partition(".")[0]))
    for key, reason in found.reasons.items():
        value = found.values.get(key, found.values.get("columns", {}).get(key.removeprefix("columns."), ""))
        console.print(
            f"{escape(key)}: {escape(str(value))} [dim]({escape(reason)})[/]", highlight=False, soft_wrap=True
        )
    console.print(f"Wrote {file}. Read its guesses, then: bioautoml check {file}", soft_wrap=True)


from . import comparison, deploy, jobs, media, portfolio  # noqa: E402, F401  (they register their commands, after those above in the help)


def _execute(directory: object, names: list[str], force: str | None = None) -> None:
    from ..runs.directory import RunDirectory
    from ..stages.run import run_stages

    assert isinstance(directory, RunDirectory)
    run_stages(directory, names, console, force)


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
    table = Table(title=f"{directory.experiment.name}: {split.sizes['test']} test specimens", title_justify="left")
    for name in ("", "accuracy", "balanced accuracy", "macro-F1"):
        table.add_column(name, justify="left" if not name else "right")
    for name, scores in {"this network": metrics.headline, "majority answer": metrics.majority_baseline}.items():
        told = (scores.accuracy, scores.balanced_accuracy, scores.macro_f1)
        table.add_row(name, *(f"{value:.3f}" for value in told))
    console.print(table)
    if metrics.brand:
        console.print(f"[bold red]{escape(metrics.brand)}")
    console.print(
        f"Rank: {metrics.rank}, {metrics.classes} classes. Split: {split.method}"
        f"{' by ' + split.group if split.group else ''}. Metadata: {columns}. "
        f"{metrics.parameters:,} parameters.",
        highlight=False,
    )


def main() -> None:
    """Entry point: our errors become one clear message and exit code 2."""
    quiet()
    substitute_letters()
    tell_renamed()
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except BioAutoMLError as error:
        if debug:
            raise
        errors.print(f"[bold red]Error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except Exception as error:
        cause = outside_cause(error) or place_cause(error)
        if debug or cause is None:
            raise
        errors.print(f"[bold red]Error:[/] {escape(cause)}", highlight=False, soft_wrap=True)
        sys.exit(2)
