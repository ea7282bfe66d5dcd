"""`bioautoml init`: an experiment from data, or a commented one to fill in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from .shared import START, app, console, given_place

if TYPE_CHECKING:
    from ..sources._guessed import Guess


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
    from ..sources.guess import guess
    from ..utils.errors import RunDirectoryError
    from ..utils.remote import RemotePath

    elsewhere = isinstance(target, RemotePath)
    holds_data = elsewhere or target.is_file() or (target.is_dir() and table is None and any(target.iterdir()))
    if not elsewhere and target.is_file() and (there := target.parent / "experiment.yml").exists():
        raise RunDirectoryError(f"{there}: is there already; choose another folder or remove it.")
    found = guess(target, _asked if sys.stdin.isatty() else None) if holds_data else None
    folder = target if found is None else Path() if isinstance(found.root, RemotePath) else found.root
    file = folder / "experiment.yml"
    if file.exists():
        raise RunDirectoryError(f"{file}: is there already; choose another folder or remove it.")
    if found is None:
        _write_template(file, table)
    else:
        _write_guessed(file, found, target)


def _write_template(file: Path, table: Path | None) -> None:
    """Write an experiment.yml to fill in, for a table of a certain length where there is one."""
    from ..config.template import experiment_template
    from ..data.tables import read_table
    from ..utils.atomic import write_text
    from ..utils.places import require_folder

    text = (
        experiment_template()
        if table is None
        else experiment_template(str(table.resolve().parent), table.name, len(read_table(table)))
    )
    require_folder(file.parent, "init")
    write_text(file, text)
    said = escape(str(file))
    console.print(f"Wrote {said}. Edit its data section, then: bioautoml check {said}", soft_wrap=True)


def _write_guessed(file: Path, found: Guess, target: Path) -> None:
    """Write the experiment.yml that was guessed from data, and say what was guessed and why."""
    from ..sources.guessed_experiment import guessed_experiment
    from ..utils.atomic import write_text
    from ..utils.places import require_folder

    require_folder(file.parent, "init")
    write_text(file, guessed_experiment(found, target.resolve().name.partition(".")[0]))
    for key, reason in found.reasons.items():
        value = found.values.get(key, found.values.get("columns", {}).get(key.removeprefix("columns."), ""))
        if isinstance(value, dict):
            value = ", ".join(f"{name} {entry}" for name, entry in value.items())
        console.print(
            f"{escape(key)}: {escape(str(value))} [dim]({escape(reason)})[/]", highlight=False, soft_wrap=True
        )
    said = escape(str(file))
    console.print(f"Wrote {said}. Read its guesses, then: bioautoml check {said}", soft_wrap=True)
