"""A comparison's table in the report of a run."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from ..artifacts.comparison import Comparison
from ..runs.directory import RunDirectory
from ..stages.run import run_stages
from ..utils.errors import RunDirectoryError

OWN_ROW = "as_configured"
"""The row whose runs are the experiment itself; their reports show the comparison without being asked to."""


def show_comparison(run: RunDirectory, comparison: Path, console: Console) -> None:
    """Show the table of `comparison` in the run (evaluation/comparison.json) and, if new, in its report.

    Raises:
        RunDirectoryError: if `comparison` holds no finished table, or one of other data.
    """
    file = comparison / "compare.json"
    if not file.is_file():
        raise RunDirectoryError(f"{file} is missing: `bioautoml compare EXPERIMENT --output {comparison}` writes it.")
    run.require("evaluate")
    table = Comparison.read(file)
    if table.data_sha256 != run.provenance().data_sha256:
        raise RunDirectoryError(
            f"{comparison} compares on other data than those of {run.path}, so that its rows say nothing about this "
            "run; run `bioautoml compare` on the run's own experiment.yml."
        )
    kept = run / "evaluation/comparison.json"
    new = not kept.is_file() or Comparison.read(kept) != table
    if new:
        table.write(kept)
    run_stages(run, ["report"], console, force="report" if new else None)
