"""`bioautoml trial`, `nni-config`, `nnictl` and `trials`: runs as trials of NNI."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ..utils.errors import BioAutoMLError, ConfigError
from .options import Machines, RemotePython, SshKey
from .shared import NNI, Overrides, app, console

if TYPE_CHECKING:
    from ..config import Experiment


@app.command(rich_help_panel=NNI)
def trial(
    config: Annotated[Path, typer.Option("--config", "-c", help="An experiment.yml.")],
    overrides: Overrides = None,
    portfolio: Annotated[
        bool, typer.Option("--portfolio", help="The tuner draws candidates of `bioautoml auto`, not settings.")
    ] = False,
    rows_in: Annotated[
        Path | None,
        typer.Option("--rows-in", help="The trial is a row of `bioautoml compare`, whose runs lie in this folder."),
    ] = None,
    candidates_in: Annotated[
        Path | None,
        typer.Option("--candidates-in", help="The trial is a candidate of `bioautoml auto`, in whose folder it runs."),
    ] = None,
    beside: Annotated[int, typer.Option("--beside", min=1, help="Of both: trials of a machine at one time.")] = 1,
) -> None:
    """Run an experiment as a trial, with the tuner's settings; NNI calls it by what `bioautoml nni-config` writes.

    Example: bioautoml trial --config my-data/experiment.yml
    """
    import logging

    from ..nni_jobs.trial import run_trial

    try:
        if rows_in is not None:
            return _named(_row, config, overrides or [], rows_in.expanduser(), beside)
        if candidates_in is not None:
            return _named(_candidate, config, overrides or [], candidates_in.expanduser(), beside)
        parameters = None
        if portfolio:
            from ..auto.tuned import drawn_settings

            parameters = drawn_settings(config, overrides or [])
        run_trial(config, console, overrides or [], parameters)
    except BioAutoMLError as error:
        logging.getLogger("nni").error("%s", error)  # the log that the web UI shows
        raise
    except Exception:
        logging.getLogger("nni").exception("The trial has died:")
        raise


def _named(
    action: Callable[[Path, Experiment, Mapping[str, Any], Path, int], Mapping[str, Any]],
    config: Path, overrides: Sequence[str], folder: Path, beside: int,
) -> None:  # fmt: skip
    """Do what NNI names, and report its result, or why there is none."""
    import os

    from ..config import load_experiment
    from ..nni_jobs.named_trials import ERROR
    from ..nni_jobs.trial import Reporter

    reporter = Reporter()
    threads = max(1, (os.cpu_count() or 1) // beside)
    try:
        found = action(config, load_experiment(config, overrides), reporter.parameters, folder, threads)
    except BioAutoMLError as error:
        reporter.final({"default": 0.0, ERROR: str(error)})
        raise
    reporter.final(found)


def _row(config: Path, experiment: Experiment, given: Mapping[str, Any], folder: Path, threads: int) -> dict[str, Any]:
    """Do a row of a comparison, and return its line."""
    import json

    from ..compare.protocol import row_result
    from ..nni_jobs.template import ROW_TRIALS

    found = row_result(experiment, str(given[ROW_TRIALS.key]), folder, threads)
    plain: dict[str, Any] = json.loads(json.dumps(found, default=float))  # without numbers of numpy
    return {"default": plain["macro_f1"], **plain}


def _candidate(
    config: Path, experiment: Experiment, given: Mapping[str, Any], folder: Path, threads: int
) -> dict[str, Any]:
    """Try a candidate of a portfolio, and return its validation score and its seconds."""
    from ..auto.elsewhere import try_there
    from ..nni_jobs.template import CANDIDATE_TRIALS

    return try_there(config, experiment, str(given[CANDIDATE_TRIALS.key]), folder, threads)


@app.command("nni-config", rich_help_panel=NNI)
def nni_config(
    experiment: Annotated[Path, typer.Argument(help="An experiment.yml.", metavar="EXPERIMENT")],
    tuner: Annotated[str, typer.Option(help="TPE, Random, Evolution or GridSearch.")] = "TPE",
    assessor: Annotated[str | None, typer.Option(help="Medianstop or Curvefitting: stop what lags behind.")] = None,
    max_trials: Annotated[int, typer.Option(help="Number of trials.")] = 20,
    concurrency: Annotated[int, typer.Option(help="Trials at the same time.")] = 1,
    gpus_per_trial: Annotated[int, typer.Option(help="GPUs of each trial; 0 is without.")] = 0,
    architectures: Annotated[
        bool, typer.Option("--architectures", help="Search the architecture by trials, without a supernet.")
    ] = False,
    portfolio: Annotated[
        bool, typer.Option("--portfolio", help="Tune the candidate of `bioautoml auto`, its encoder and trunk's stage.")
    ] = False,
    machines: Machines = None,
    ssh_key: SshKey = "~/.ssh/id_ed25519",
    remote_python: RemotePython = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that hold something else.")] = False,
) -> None:
    """Write nni.yml and search_space.json beside an experiment, so that NNI tunes its settings or its architecture.

    With --architectures every trial trains one architecture: classic NAS. With --portfolio every trial is a candidate
    of `bioautoml auto`.

    Example: bioautoml nni-config my-data/experiment.yml --max-trials 30

    On other machines: bioautoml nni-config my-data/experiment.yml --machine ana@lab1 --machine ana@lab2 --concurrency 2
    """
    from ..config import load_experiment
    from ..nni_jobs.template import Remote, write_nni_files

    if portfolio and architectures:
        raise ConfigError(["--portfolio and --architectures: are two search spaces; give one of them"], "nni-config")
    loaded, axes = load_experiment(experiment, []), None
    if portfolio:
        from ..auto.tuned import portfolio_axes

        axes = portfolio_axes(loaded)
    remote = Remote(machines, ssh_key, remote_python) if machines else None
    written = write_nni_files(
        loaded, experiment, tuner=tuner, assessor=assessor, trials=max_trials,
        concurrency=concurrency, gpus=gpus_per_trial, architectures=architectures,
        remote=remote, force=force, portfolio=axes,
    )  # fmt: skip
    for path in written:
        console.print(f"Wrote {path}.", soft_wrap=True)
    console.print(f"Next: bioautoml nnictl create --config {written[0]} --port 8080", soft_wrap=True)


@app.command(
    rich_help_panel=NNI,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
)
def nnictl(context: typer.Context) -> None:
    """NNI's own nnictl, with a web UI that only this machine can reach (BIOAUTOML_NNI_HOST opens it).

    Example: bioautoml nnictl create --config nni.yml --port 8080
    """
    from ..nni_jobs.launcher import listening_host
    from ..nni_jobs.launcher import nnictl as run_nnictl

    raise typer.Exit(run_nnictl(list(context.args), listening_host()))


@app.command(rich_help_panel=NNI)
def ui(
    experiment: Annotated[str, typer.Argument(help="An NNI experiment: its id, folder or name.", metavar="EXPERIMENT")],
    port: Annotated[int, typer.Option(help="Of the web UI of an experiment that has ended.")] = 8080,
) -> None:
    """Show the address of an experiment's web UI; if the experiment has ended, open it again for this machine.

    Example: bioautoml ui my-experiment
    """
    from ..nni_jobs.launcher import listening_host
    from ..nni_jobs.launcher import nnictl as run_nnictl
    from ..nni_jobs.web_ui import find_experiment, open_addresses

    known = find_experiment(experiment)
    if known.gone:
        console.print(
            f"[yellow]warning:[/] the manager of {known.identity} is gone without having been stopped (killed, or the "
            "machine was off): no trial is started or recorded any more. What has been recorded is shown; "
            f"`bioautoml nnictl resume {known.identity}` continues with it.",
            highlight=False,
        )
    if known.port is None:
        code = run_nnictl(["view", known.identity, "--port", str(port)], listening_host())
        if code:
            raise typer.Exit(code)
    shown = known.port or port
    console.print(f"http://127.0.0.1:{shown}   (from elsewhere: ssh -L {shown}:127.0.0.1:{shown} THIS_MACHINE)")
    others = open_addresses(shown)
    if others:
        console.print(
            f"[yellow]warning:[/] it is open to the network at {', '.join(others)}, without a password; "
            f"`bioautoml nnictl stop {known.identity}` and `resume` close it.",
            highlight=False,
        )
    console.print(f"To end it: bioautoml nnictl stop {known.identity}")


@app.command(rich_help_panel=NNI)
def trials(
    experiment: Annotated[str, typer.Argument(help="An NNI experiment: its id or its folder.", metavar="EXPERIMENT")],
) -> None:
    """List the runs of an NNI experiment, best first; each is a run directory for export, report and the rest.

    Example: bioautoml trials a1b2c3d4
    """
    from ..nni_jobs.trial import trial_runs
    from ..nni_jobs.web_ui import manager_is_gone

    folder = Path(experiment)
    if not folder.is_dir():
        folder = Path.home() / "nni-experiments" / experiment
    found = trial_runs(folder)
    if manager_is_gone(folder.name):
        console.print(
            f"[yellow]warning:[/] the manager of {folder.name} is gone without having been stopped; "
            f"`bioautoml nnictl resume {folder.name}` continues with it.",
            highlight=False,
        )
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
