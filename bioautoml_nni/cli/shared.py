"""What all commands share: the application, both consoles, common arguments."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from ..utils.remote import place
from ..utils.renamed import RenamedWarning

START, STAGES, DEPLOY, NNI, LOOK = "Start here", "One stage at a time", "Deploy", "NNI", "Look and compare"
"""Panels of the help, in this order."""
ORDER = (
    "init", "media", "check", "auto", "run", "estimate", "prepare", "search", "derive", "retrain", "evaluate", "report",
    "export", "predict", "serve", "nni-config", "nnictl", "trials", "ui", "trial", "doctor", "compare", "ls",
)  # fmt: skip
"""Commands as the help lists them; one that is not here comes last."""


class Commands(TyperGroup):
    """The commands, listed in the order in which people need them; one that is interrupted says how to go on."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            errors.print("Interrupted; give the same command again to continue.")
            raise typer.Exit(130) from None

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted(super().list_commands(ctx), key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))


app = typer.Typer(
    name="bioautoml",
    cls=Commands,
    help="Search, train and evaluate small classifiers for specimen images and their metadata.",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
console = Console()
errors = Console(stderr=True)


def given_place(text: str | Path) -> Path:
    """Return the path or URL that a user gave.

    Raises:
        typer.BadParameter: for a URL that cannot be read.
    """
    try:
        return place(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


NewRun = Annotated[Path | None, typer.Option("--output", "-o", help="Run directory.", show_default="runs/NAME")]
RunPath = Annotated[Path, typer.Argument(help="A run directory.", metavar="RUN")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a dotted key; may be repeated.")
]


def require_apart(cluster: str | None, shards: int | None, alone: dict[str, bool]) -> None:
    """Check the options of a cluster, beside those that share work by hand.

    Raises:
        DataError: if they contradict each other.
    """
    from ..utils.errors import DataError

    for option in [option for option, given in alone.items() if given and cluster is not None]:
        raise DataError(f"--cluster: makes all shards and puts them together; give it without {option}.")
    if shards is not None and cluster is None:
        raise DataError("--shards: is the number of shards of --cluster; give both, or one share by --shard.")


def new_specimens(export: Path) -> str:
    """Return what the model of an export takes, as the next command names it."""
    from ..artifacts.exported import ExportRecord

    modalities = ExportRecord.read(export / "export.json").modalities
    return "TABLE" if "image" not in modalities else "FOLDER" if modalities == ["image"] else "TABLE_OR_FOLDER"


def tell_renamed() -> None:
    """Print what was renamed as a sentence, without the place in our source that other warnings name."""
    otherwise = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
        if issubclass(category, RenamedWarning):
            errors.print(f"note: {message}", markup=False, highlight=False, soft_wrap=True)
        else:
            otherwise(message, category, *place)

    warnings.showwarning = show  # type: ignore[assignment]
