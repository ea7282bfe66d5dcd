"""`bioautoml doctor` and `bioautoml ls`: a search in plain words, and the plug-ins that there are."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from .shared import LOOK, RunPath, app, console


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

    run = RunDirectory.open(directory)
    experiment = run.experiment
    operations = operation_groups()

    sizes = run.audit().split_sizes if (run / "audit.json").is_file() else {}
    trained = (run / "retrain/network.json").is_file()
    warmup = experiment.strategy.arguments.get("warmup_epochs", 0)
    found = diagnose(
        run.history("search"),
        skips=operations["skip"],
        zeros=operations["zero"],
        warmup_epochs=warmup if isinstance(warmup, int) else 0,
        alpha_specimens=sizes.get("alpha_train"),
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
    """List plug-ins, all or of one kind; broken ones are shown with the reason.

    Example: bioautoml ls operations
    """
    from ..registry import KINDS, plugins

    for name in [kind] if kind else KINDS:
        found = plugins(name)
        table = Table(
            title=f"{name}: {KINDS[name]}", title_justify="left", title_style="bold", box=None, pad_edge=False
        )
        figures = ENCODER_FIGURES if name == "encoders" else {}
        capable = any(plugin.problem or plugin.capabilities for plugin in found.values())
        for column in ("name", "description", *(figures or ["capabilities"] * capable)):
            table.add_column(column, overflow="fold", no_wrap=column == "name")
        for plugin in found.values():
            problem = plugin.problem
            if problem is not None:
                table.add_row(plugin.name, f"[red]{escape(problem)}[/]", "broken")
                continue
            last = [_figure(plugin.target, figure) for figure in figures.values()] or [", ".join(plugin.capabilities)]
            table.add_row(plugin.name, escape(plugin.description), *(last if figures or capable else []))
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
