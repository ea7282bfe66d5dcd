"""`bioautoml compare`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .on_nni import Gpus, On, workers_on
from .options import Machines, RemotePython, SshKey
from .shared import LOOK, Overrides, app, console

if TYPE_CHECKING:
    from ..compare.protocol import Sender
    from ..nni_jobs.template import Workers

WIDE = 150
"""Columns of a terminal that all of the table needs; below it, `NARROW_COLUMNS` are shown."""
NARROW_COLUMNS = ("row", "seeds", "macro_f1", "against", "parameters")
BETWEEN_ROWS = re.compile(r",(?![^\[{]*[\]}])")
"""Commas, but not those within the lists and sections of with:KEY=[1, 2]."""
DEFAULT_ROWS = "as_configured,random,majority"


@app.command(rich_help_panel=LOOK)
def compare(
    experiment: Annotated[Path, typer.Argument(help="An experiment.yml.", metavar="EXPERIMENT")],
    rows: Annotated[
        str, typer.Option("--rows", help="Methods, with commas; `bioautoml ls methods` lists them.")
    ] = DEFAULT_ROWS,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="How many seeds.")] = 3,
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="How many runs at a time.")] = 1,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder.", show_default="comparisons/NAME")
    ] = None,
    on: On = None,
    gpus_per_trial: Gpus = 0,
    machines: Machines = None,
    ssh_key: SshKey = "~/.ssh/id_ed25519",
    remote_python: RemotePython = None,
    overrides: Overrides = None,
) -> None:
    """Compare the experiment with other searches and baselines under one protocol; resumes where it stopped.

    Example: bioautoml compare my-data/experiment.yml --rows as_configured,random,nni_darts,timm:resnet18 --seeds 3

    On other machines: bioautoml compare my-data/experiment.yml --on nni --machine ana@lab1 --machine ana@lab2 --jobs 2
    """
    from ..compare.protocol import compare as run_comparison
    from ..compare.tables import HEADINGS, summary_lines
    from ..config import load_experiment

    loaded = load_experiment(experiment, overrides or [])
    wanted = list(dict.fromkeys(part.strip() for part in BETWEEN_ROWS.split(rows) if part.strip()))
    folder = output or Path("comparisons") / loaded.name
    workers = workers_on(on, "compare", jobs, gpus_per_trial, machines, ssh_key, remote_python)
    send = None if workers is None else _sender(folder, workers)
    runs = run_comparison(loaded, wanted, seeds, folder, jobs, console, send)
    shown = [name for name in HEADINGS if console.width >= WIDE or name in NARROW_COLUMNS]
    table = Table(title=f"{loaded.name}: comparison", title_justify="left")
    for name in shown:
        table.add_column(HEADINGS[name], justify="left" if name == "row" else "right", no_wrap=True)
    for line in summary_lines(runs):
        table.add_row(*(escape(text) for name, text in zip(HEADINGS, line, strict=True) if name in shown))
    console.print(table)
    console.print(f"[dim]Written: {escape(str(folder))}/compare.csv, compare.md, compare.html")


def _sender(output: Path, workers: Workers) -> Sender:
    """Return what has the rows done by NNI."""
    from ..nni_jobs.named_trials import NamedTrials
    from ..nni_jobs.template import ROW_TRIALS

    return NamedTrials(ROW_TRIALS, output, workers, console)
