"""Stage `report`: one self-contained HTML file, and a model card."""

from __future__ import annotations

import shutil

from rich.console import Console
from rich.markup import escape

from ..report.build import build_report
from ..report.card import model_card
from ..report.epochs import architectures_of_epochs, drawings_of_epochs
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from ..utils.atomic import write_text


def report(run: RunDirectory, console: Console) -> None:
    """Write report.html, MODEL_CARD.md, and a drawing of the cells after each epoch of the search to search/cells/."""
    run.require("evaluate")
    data = PreparedData.load(run)
    shutil.rmtree(run / "search/cells", ignore_errors=True)  # those of an earlier search
    found = architectures_of_epochs(run, data)
    drawings = drawings_of_epochs(found)
    for epoch, drawing in drawings:
        write_text(run / f"search/cells/epoch-{epoch:03d}.svg", drawing)
    write_text(run / "report.html", build_report(run, data, drawings, found[-1][1] if found else None))
    write_text(run / "MODEL_CARD.md", model_card(run, data))
    console.print(f"report: {escape(str(run / 'report.html'))}")
