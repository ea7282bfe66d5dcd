"""Stage `report`: one self-contained HTML file."""

from __future__ import annotations

from rich.console import Console

from ..atomic import write_text
from ..report.build import build_report
from .prepared import PreparedData
from .run_directory import RunDirectory


def report(run: RunDirectory, console: Console) -> None:
    """Write report.html."""
    run.require("evaluate")
    write_text(run / "report.html", build_report(run, PreparedData.load(run)))
    console.print(f"report: {run / 'report.html'}")
