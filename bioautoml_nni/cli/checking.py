"""`bioautoml check`: what is wrong with the data, and the answers that can be written into the experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from .shared import START, Overrides, app, console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config import Experiment
    from ..data.remark import Answer


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
    from ..utils.places import require_place

    loaded = load_experiment(experiment, overrides or [])
    require_place(output, [experiment, *_files_of(loaded)])
    found = examine(loaded, console)
    found.audit.write(output)
    present(found.audit, console)
    console.print(f"[dim]Everything in detail: {escape(str(output))}")
    if fix:
        _write_answers(experiment, found.answers)
    if found.verdict == "refused":
        console.print("Next: mend what is refused above, then check again.")
    else:
        console.print(
            f"Next: bioautoml auto {escape(str(experiment))}, or bioautoml run {escape(str(experiment))}",
            highlight=False,
            soft_wrap=True,
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
    console.print(
        f"Wrote into {escape(str(experiment))} (as it was: {escape(str(backup))}):", soft_wrap=True, highlight=False
    )
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
