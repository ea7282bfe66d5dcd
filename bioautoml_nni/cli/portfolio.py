"""`bioautoml auto`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from ..utils.command_line import command_line
from ..utils.errors import ConfigError
from .on_nni import Gpus, Jobs, On, workers_on
from .options import (
    Data,
    Folder,
    Group,
    ImagePaths,
    Label,
    Machines,
    MaxLatency,
    MaxMflops,
    MaxParameters,
    Minutes,
    Rank,
    RemotePython,
    Seed,
    SshKey,
    Target,
)
from .shared import START, Overrides, app, console, new_specimens

if TYPE_CHECKING:
    import pandas as pd

SHOWN = {
    "candidate": "candidate", "status": "status", "validation_macro_f1": "macro-F1, validation",
    "test_macro_f1": "macro-F1, test", "parameters": "parameters", "latency_ms": "ms",
}  # fmt: skip
"""Columns of the leaderboard on a terminal, with their headings."""


@app.command(rich_help_panel=START)
def auto(
    source: Data,
    image: ImagePaths = None,
    label: Label = None,
    group: Group = None,
    rank: Rank = None,
    target: Target = None,
    max_parameters: MaxParameters = None,
    max_mflops: MaxMflops = None,
    max_latency_ms: MaxLatency = None,
    minutes: Minutes = None,
    output: Folder = None,
    seed: Seed = None,
    on: On = None,
    jobs: Jobs = None,
    gpus_per_trial: Gpus = 0,
    machines: Machines = None,
    ssh_key: SshKey = "~/.ssh/id_ed25519",
    remote_python: RemotePython = None,
    overrides: Overrides = None,
) -> None:
    """From a table to the best model for its device: try candidates, choose one, export it; resumes where it stopped.

    Example: bioautoml auto specimens.csv --label species --target pi --minutes 30

    On other machines: bioautoml auto my-data/experiment.yml --on nni --machine ana@lab1 --machine ana@lab2
    """
    from ..auto.launch import launch

    if jobs is not None and on is None:
        raise ConfigError(["--jobs: is of --on nni; add it"], "auto")
    finished = launch(
        source, console, image=image, label=label, group=group, rank=rank, target=target,
        max_parameters=max_parameters, max_mflops=max_mflops, max_latency_ms=max_latency_ms, minutes=minutes,
        output=output, seed=seed, overrides=overrides or [],
        command=command_line(),
        workers=workers_on(on, "auto", jobs, gpus_per_trial, machines, ssh_key, remote_python),
    )  # fmt: skip
    console.print(_leaderboard(finished.folder.name, finished.leaderboard))
    console.print(f"{escape(finished.choice.reason)}", highlight=False, soft_wrap=True)
    folder, specimens = escape(str(finished.folder)), new_specimens(finished.folder / "export")
    console.print(
        f"Wrote {folder}: leaderboard.csv, export, and report.html, which shows how far to trust it. Next: "
        f"bioautoml predict {folder} {specimens} --output predictions.csv, or bioautoml serve {folder}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def _leaderboard(name: str, lines: pd.DataFrame) -> Table:
    table = Table(box=None, pad_edge=False, title=f"{name}: leaderboard", title_justify="left")
    for column, heading in SHOWN.items():
        text = column in ("candidate", "status")
        table.add_column(heading, justify="left" if text else "right", no_wrap=text)
    for line in lines.to_dict("records"):
        texts = [_text(column, line[column]) for column in SHOWN]
        table.add_row(*texts, style="bold" if line["status"] == "winner" else None)
    return table


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return escape(value)
    if value is None or value != value:  # NaN
        return "–"
    assert isinstance(value, float | int)
    return f"{value:,.0f}" if name == "parameters" else f"{value:.2f}" if name == "latency_ms" else f"{value:.3f}"
