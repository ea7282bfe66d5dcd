"""`bioautoml auto`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .shared import START, Overrides, app, console, given_place

SHOWN = {
    "candidate": "candidate", "status": "status", "validation_macro_f1": "macro-F1, validation",
    "test_macro_f1": "macro-F1, test", "parameters": "parameters", "latency_ms": "ms",
}  # fmt: skip
"""Columns of the leaderboard on a terminal, with their headings."""


@app.command(rich_help_panel=START)
def auto(
    source: Annotated[
        Path,
        typer.Argument(
            help="A table, a folder, an archive, or an experiment.yml; data also as a URL.",
            metavar="TABLE_OR_FOLDER",
            parser=given_place,
        ),
    ],
    image: Annotated[str | None, typer.Option("--image", help="Column of image paths.", show_default="guessed")] = None,
    label: Annotated[str | None, typer.Option("--label", help="Column to learn.", show_default="guessed")] = None,
    group: Annotated[
        str | None, typer.Option("--group", help="Column whose rows stay together, or none.", show_default="guessed")
    ] = None,
    rank: Annotated[str | None, typer.Option("--rank", help="Rank to learn, of an archive or a column.")] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="Where the model will run: trap, pi or station.", show_default="station"),
    ] = None,
    max_parameters: Annotated[int | None, typer.Option(min=1, help="Hard limit of the model.")] = None,
    max_mflops: Annotated[float | None, typer.Option(help="Hard limit, of one specimen.")] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Hard limit, of one specimen in onnxruntime on one thread of this machine.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="For everything.", show_default="what the plan says")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder.", show_default="runs/NAME")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of split and training.", show_default="0")] = None,
    overrides: Overrides = None,
) -> None:
    """From a table to the best model for its device: try candidates, choose one, export it; resumes where it stopped.

    Example: bioautoml auto specimens.csv --label species --target pi --minutes 30
    """
    from ..auto.launch import launch

    finished = launch(
        source, console, image=image, label=label, group=group, rank=rank, target=target,
        max_parameters=max_parameters, max_mflops=max_mflops, max_latency_ms=max_latency_ms, minutes=minutes,
        output=output, seed=seed, overrides=overrides or [],
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )  # fmt: skip
    table = Table(title=f"{finished.folder.name}: leaderboard", title_justify="left")
    for name, heading in SHOWN.items():
        text = name in ("candidate", "status")
        table.add_column(heading, justify="left" if text else "right", no_wrap=text)
    for row in finished.leaderboard.to_dict("records"):
        texts = [_text(name, row[name]) for name in SHOWN]
        table.add_row(*texts, style="bold" if row["status"] == "winner" else None)
    console.print(table)
    console.print(f"{escape(finished.choice.reason)}", highlight=False, soft_wrap=True)
    console.print(
        f"Wrote {finished.folder}: leaderboard.csv, report.html, export. Next: bioautoml predict {finished.folder} "
        "TABLE_OR_FOLDER --output predictions.csv",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def _text(name: str, value: object) -> str:
    if isinstance(value, str):
        return escape(value)
    if value is None or value != value:  # NaN
        return "–"
    assert isinstance(value, float | int)
    return f"{value:,.0f}" if name == "parameters" else f"{value:.2f}" if name == "latency_ms" else f"{value:.3f}"
