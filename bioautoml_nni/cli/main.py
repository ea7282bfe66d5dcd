"""`bioautoml`: commands on experiments and run directories."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .._version import __version__
from ..errors import BioAutoMLError
from ..quiet import quiet

app = typer.Typer(
    name="bioautoml",
    help="Search, train and evaluate small classifiers for specimen images and their metadata.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()
errors = Console(stderr=True)

RunPath = Annotated[Path, typer.Argument(help="A run directory.", metavar="RUN")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a dotted key; may be repeated.")
]


def _version(value: bool) -> None:
    if value:
        console.print(f"bioautoml-nni {__version__}")
        raise typer.Exit


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Search, train and evaluate small classifiers for specimen images and their metadata."""


@app.command()
def run(
    experiment: Annotated[Path, typer.Argument(help="An experiment.yml.", metavar="EXPERIMENT")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Run directory [runs/NAME].")] = None,
    overrides: Overrides = None,
) -> None:
    """Do everything from data to report; a killed run continues when the command is given again.

    Example: bioautoml run examples/sample/experiment.yml --set training.epochs=3
    """
    from ..config import load_experiment
    from ..pipeline.run_directory import STAGES, RunDirectory

    if experiment.is_dir():
        experiment = experiment / "experiment.yml"
    loaded = load_experiment(experiment, overrides or [])
    directory = RunDirectory.create(output or Path("runs") / loaded.name, loaded)
    _execute(directory, list(STAGES))
    _summary(directory)


def _stage_command(name: str, text: str, before: tuple[str, ...]) -> None:
    def command(directory: RunPath, overrides: Overrides = None) -> None:
        from ..pipeline.run_directory import RunDirectory

        opened = RunDirectory.open(directory, overrides or [])
        for stage in before:
            opened.require(stage)
        _execute(opened, [*(["prepare"] if name == "search" else []), name, *(["derive"] if name == "search" else [])])

    command.__doc__ = text
    app.command(name)(command)


_stage_command("search", "Search an architecture on a run directory (data are prepared if need be).", ())
_stage_command(
    "derive",
    "Choose the architecture of a finished search anew, such as --set derivation.method=perturbation.",
    ("search",),
)
_stage_command("retrain", "Train the derived network of a run.", ("derive",))
_stage_command("evaluate", "Score the trained network of a run on its test part.", ("derive", "retrain"))
_stage_command("report", "Write report.html of a run.", ("evaluate",))


@app.command()
def export(
    directory: RunPath,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the files [RUN/export].")] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Refuse what does not fit: trap, pi or station.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Also write a model of eight bits.")] = False,
) -> None:
    """Write the trained network of a run as files that predict anywhere: ONNX, preprocessing, classes, model card.

    Example: bioautoml export runs/sample --target trap
    """
    import json

    from ..pipeline.export import export as write_export
    from ..pipeline.run_directory import RunDirectory

    folder = output or directory / "export"
    write_export(RunDirectory.open(directory), folder, console, target, int8)
    parity = json.loads((folder / "parity.json").read_text(encoding="utf-8"))
    for name, difference in parity["largest_difference"].items():
        size = (folder / name).stat().st_size / 1e6
        console.print(f"{name:<18} {size:6.2f} MB, logits within {difference:.1e} of the network's", highlight=False)
    quantised = json.loads((folder / "export.json").read_text(encoding="utf-8"))["int8"]
    if quantised:
        scores = quantised["test_macro_f1"]
        console.print(
            f"{'model_int8.onnx':<18} {quantised['bytes']['model_int8.onnx'] / 1e6:6.2f} MB, test macro-F1 "
            f"{scores['model_int8.onnx']:.3f} ({scores['model.onnx']:.3f} in single precision)",
            highlight=False,
        )
    console.print(
        f"Wrote {folder}. Next: bioautoml predict {folder} TABLE_OR_FOLDER --output predictions.csv", soft_wrap=True
    )


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="An export, or a run that has one.", metavar="MODEL")],
    source: Annotated[Path, typer.Argument(help="A table, or a folder of images.", metavar="TABLE_OR_FOLDER")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File: .csv or .parquet.")],
    image_column: Annotated[str | None, typer.Option(help="Column with image paths [as in training].")] = None,
    image_root: Annotated[Path | None, typer.Option(help="Folder below which images lie [the table's].")] = None,
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Below this confidence: a coarser taxon, or no answer.")
    ] = 0.0,
    coverage: Annotated[float | None, typer.Option(help="Add sets that hold the truth with this probability.")] = None,
    species_list: Annotated[Path | None, typer.Option(help="File with the names that can occur, one a line.")] = None,
    group: Annotated[str | None, typer.Option(help="Column: one more table with an answer for each value.")] = None,
    logits: Annotated[bool, typer.Option("--logits", help="Add the logits of all classes.")] = False,
    sort_into: Annotated[Path | None, typer.Option(help="Copy images into folders by answer.")] = None,
    link: Annotated[bool, typer.Option("--link", help="Link instead of copying.")] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Use the model of eight bits.")] = False,
) -> None:
    """Name the specimens of a table or a folder with an exported model; the same command continues a stopped one.

    Example: bioautoml predict runs/sample/export trap-images/ --output predictions.csv --threshold 0.8
    """
    from ..errors import DataError
    from ..progress import make_progress
    from ..runtime import Model
    from ..runtime.predict import Request
    from ..runtime.predict import predict as predict_all

    if species_list is not None and not species_list.is_file():
        raise DataError(f"{species_list}: there is no such species list.")
    names = None
    if species_list is not None:
        lines = species_list.read_text(encoding="utf-8-sig").splitlines()
        names = tuple(line.strip() for line in lines if line.strip())
    request = Request(
        source, output, image_column, image_root, group, logits, sort_into, link, names, threshold, coverage
    )
    loaded = Model.load(model, "model_int8.onnx" if int8 else "model.onnx")
    if loaded.brand:
        console.print(f"[bold red]{escape(loaded.brand)}")
    with make_progress(console) as progress:
        task = progress.add_task("predict", total=None, note="")
        outcome = predict_all(loaded, request, lambda count: progress.advance(task, count))
    if outcome.missing_columns:
        columns = ", ".join(outcome.missing_columns)
        console.print(f"[yellow]warning:[/] answered without these metadata columns: {escape(columns)}.")
    parts = [f"{outcome.rows} rows"]
    parts += [f"{outcome.failed} unreadable (see column error)"] if outcome.failed else []
    parts += [f"{outcome.unsure} unsure"] if outcome.unsure else []
    console.print(f"Wrote {output}: {', '.join(parts)}.", highlight=False, soft_wrap=True)


@app.command()
def check(
    experiment: Annotated[Path, typer.Argument(help="An experiment.yml.", metavar="EXPERIMENT")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the audit as JSON.")] = Path("audit.json"),
    overrides: Overrides = None,
) -> None:
    """Audit the data of an experiment without training: what is wrong, and could a result be trusted?

    Exit code 0: clean, 1: warnings, 2: refused. Nothing but the audit and the image cache is written.

    Example: bioautoml check my-data/experiment.yml
    """
    from ..atomic import write_json
    from ..audit.examine import examine
    from ..audit.present import present
    from ..config import load_experiment

    found = examine(load_experiment(experiment, overrides or []), console)
    write_json(output, found.audit)
    present(found.audit, console)
    console.print(f"[dim]Everything in detail: {output}")
    raise typer.Exit({"clean": 0, "warnings": 1, "refused": 2}[found.verdict])


@app.command()
def doctor(directory: RunPath) -> None:
    """Explain a search in plain words: converged, collapsed, too short, and what helps.

    Exit code 0: well, 1: something to watch or ill.
    """
    import json

    from ..doctor import diagnose
    from ..pipeline.run_directory import RunDirectory
    from ..registry import plugins
    from ..training.history import read_history

    run = RunDirectory.open(directory)
    experiment = run.experiment
    operations = plugins("operations")

    def load(name: str) -> dict[str, object]:
        return json.loads((run / name).read_text(encoding="utf-8")) if (run / name).is_file() else {}

    audit, network = load("audit.json"), load("retrain/network.json")
    sizes = audit.get("split_sizes")
    score = network.get("validation_macro_f1")
    warmup = experiment.strategy.arguments.get("warmup_epochs", 0)
    found = diagnose(
        read_history(run / "search/history.jsonl"),
        skips=frozenset(name for name in operations if "skip" in operations[name].capabilities),
        zeros=frozenset(name for name in operations if "zero" in operations[name].capabilities),
        warmup_epochs=warmup if isinstance(warmup, int) else 0,
        alpha_specimens=sizes["alpha_train"] if isinstance(sizes, dict) else None,
        batch_size=experiment.search.batch_size,
        outcome=load("search/outcome.json"),
        derived_score=float(score) if isinstance(score, float) else None,
    )
    colours = {"ill": "red", "watch": "yellow", "well": "green"}
    for finding in found:
        level = f"[{colours[finding.level]}]{finding.level:>5}[/]"
        lines = [f"{level}  [bold]{finding.title}[/]: {escape(finding.seen)}"]
        lines += [f"       [dim]What helps:[/] {escape(finding.remedy)}"] if finding.remedy else []
        console.print("\n".join(lines), highlight=False, soft_wrap=True)
    raise typer.Exit(int(any(finding.level != "well" for finding in found)))


@app.command()
def trial(
    config: Annotated[Path, typer.Option("--config", "-c", help="An experiment.yml.")],
) -> None:
    """Run an experiment as a trial of NNI, with the tuner's settings; `bioautoml nni-config` writes who calls this."""
    import logging

    from ..nni_jobs.trial import run_trial

    try:
        run_trial(config, console)
    except BioAutoMLError as error:
        logging.getLogger("nni").error("%s", error)  # the log that the web UI shows
        raise


@app.command("nni-config")
def nni_config(
    experiment: Annotated[Path, typer.Argument(help="An experiment.yml.", metavar="EXPERIMENT")],
    tuner: Annotated[str, typer.Option(help="TPE, Random, Evolution or GridSearch.")] = "TPE",
    assessor: Annotated[str | None, typer.Option(help="Medianstop or Curvefitting: stop what lags behind.")] = None,
    max_trials: Annotated[int, typer.Option(help="Number of trials.")] = 20,
    concurrency: Annotated[int, typer.Option(help="Trials at the same time.")] = 1,
    gpus_per_trial: Annotated[int, typer.Option(help="GPUs of each trial; 0 is without.")] = 0,
) -> None:
    """Write nni.yml and search_space.json beside an experiment, so that NNI tunes its settings.

    Example: bioautoml nni-config my-data/experiment.yml --max-trials 30
    """
    from ..config import load_experiment
    from ..nni_jobs.template import write_nni_files

    written = write_nni_files(
        load_experiment(experiment, []), experiment, tuner=tuner, assessor=assessor, trials=max_trials,
        concurrency=concurrency, gpus=gpus_per_trial,
    )  # fmt: skip
    for path in written:
        console.print(f"Wrote {path}.", soft_wrap=True)
    console.print(f"Next: bioautoml nnictl create --config {written[0]} --port 8080", soft_wrap=True)


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []})
def nnictl(context: typer.Context) -> None:
    """NNI's own nnictl, with a web UI that only this machine can reach (BIOAUTOML_NNI_HOST opens it).

    Example: bioautoml nnictl create --config nni.yml --port 8080
    """
    import os

    from ..nni_jobs.launcher import HOST_VARIABLE, LOCAL
    from ..nni_jobs.launcher import nnictl as run_nnictl

    raise typer.Exit(run_nnictl(list(context.args), os.environ.get(HOST_VARIABLE, LOCAL)))


@app.command()
def trials(
    experiment: Annotated[str, typer.Argument(help="An NNI experiment: its id or its folder.", metavar="EXPERIMENT")],
) -> None:
    """List the runs of an NNI experiment, best first; each is a run directory for export, report and the rest."""
    from ..nni_jobs.trial import trial_runs

    folder = Path(experiment)
    if not folder.is_dir():
        folder = Path.home() / "nni-experiments" / experiment
    found = trial_runs(folder)
    table = Table(box=None, pad_edge=False, title=escape(str(folder / "runs")), title_justify="left")
    for column in ("run", "validation macro-F1", "parameters", "settings"):
        table.add_column(column, overflow="fold")
    for entry in found:
        result = entry.get("result")
        values = {key: f"{v:.3g}" if isinstance(v, float) else str(v) for key, v in entry["parameters"].items()}
        settings = "\n".join(f"{key}={value}" for key, value in values.items())
        score, size = (f"{result['default']:.3f}", f"{result['parameters']:,.0f}") if result else ("not finished", "")
        table.add_row(entry["path"].name, score, size, escape(settings))
    console.print(table)


@app.command("ls")
def list_plugins(
    kind: Annotated[str | None, typer.Argument(help="one kind, such as sources")] = None,
) -> None:
    """List plug-ins, all or of one kind."""
    from ..registry import KINDS, plugins

    for name in [kind] if kind else KINDS:
        found = plugins(name)
        table = Table(
            title=f"{name}: {KINDS[name]}", title_justify="left", title_style="bold", box=None, pad_edge=False
        )
        for column in ("name", "description", "capabilities"):
            table.add_column(column, overflow="fold")
        for plugin in found.values():
            table.add_row(plugin.name, escape(plugin.description), ", ".join(plugin.capabilities))
        console.print(table)
        console.print()


@app.command()
def init(directory: Annotated[Path, typer.Argument(help="Folder for the new experiment.", metavar="DIR")]) -> None:
    """Write a commented experiment.yml for your own table."""
    from ..atomic import write_text
    from ..config.template import TEMPLATE
    from ..errors import RunDirectoryError

    target = directory / "experiment.yml"
    if target.exists():
        raise RunDirectoryError(f"{target}: is there already; choose another folder or remove it.")
    write_text(target, TEMPLATE)
    console.print(f"Wrote {target}. Edit its data section, then: bioautoml check {target}")


def _execute(directory: object, names: list[str]) -> None:
    from ..pipeline.run_directory import RunDirectory
    from ..pipeline.stages import run_stages

    assert isinstance(directory, RunDirectory)
    run_stages(directory, names, console)


def _summary(directory: object) -> None:
    import json

    from ..pipeline.run_directory import RunDirectory

    assert isinstance(directory, RunDirectory)
    metrics = json.loads((directory / "evaluation/metrics.json").read_text(encoding="utf-8"))
    majority = metrics["majority_baseline"]
    columns = ", ".join(metrics["metadata_columns"]) or "none"
    sizes = metrics["split"]["sizes"]
    table = Table(title=f"{directory.experiment.name}: {sizes['test']} test specimens", title_justify="left")
    for name in ("", "accuracy", "balanced accuracy", "macro-F1"):
        table.add_column(name, justify="left" if not name else "right")
    ours = (metrics["accuracy"], metrics["balanced_accuracy"], metrics["macro"]["f1"])
    theirs = (majority["accuracy"], majority["balanced_accuracy"], majority["macro_f1"])
    table.add_row("this network", *(f"{value:.3f}" for value in ours))
    table.add_row("majority answer", *(f"{value:.3f}" for value in theirs))
    console.print(table)
    if metrics["brand"]:
        console.print(f"[bold red]{escape(metrics['brand'])}")
    console.print(
        f"Rank: {metrics['rank']}, {metrics['classes']} classes. Split: {metrics['split']['method']}"
        f"{' by ' + metrics['split']['group'] if metrics['split']['group'] else ''}. Metadata: {columns}. "
        f"{metrics['parameters']:,} parameters.",
        highlight=False,
    )


def main() -> None:
    """Entry point: our errors become one clear message and exit code 2."""
    quiet()
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
    except KeyboardInterrupt:
        errors.print("Interrupted; give the same command again to continue.")
        sys.exit(130)
