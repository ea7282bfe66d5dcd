"""Collects a run's results and renders them into one HTML page without outside resources."""

from __future__ import annotations

import shlex
from typing import Any

import pandas as pd
from markupsafe import Markup

from ..architecture import Architecture
from ..architecture.draw import draw
from ..evaluation.metrics import read_per_class
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from .baselines import shown_baselines
from .epochs import evenly_spread
from .examples import gallery, of_cells, read_answers
from .figures import Scored, confusion, learning_curves, reliability_chart, risk_chart, roc_chart
from .page import render
from .tables import class_texts, comparison_table, evolution_table, halving_table
from .words import difference, summary_sentences, trunk_training

PAGE = 100
"""Classes that the table shows at once."""
FRAMES = 40
"""Most drawings of the search's epochs."""


def build_report(
    run: RunDirectory, data: PreparedData, drawings: list[tuple[int, str]], last: Architecture | None = None
) -> str:
    """Return the report as HTML. Whatever came out of a table is escaped.

    Args:
        drawings: epochs of the search with the SVG of their cells.
        last: what the largest architecture weights of the last epoch give.
    """
    metrics = run.metrics().shown()
    architecture = Architecture.load(run / "architecture.json")
    per_class = read_per_class(run / "evaluation/per_class.csv")
    answers, scored = read_answers(run, data), Scored.of(run, data)
    network = run.network()
    return render(
        "report.html.j2",
        experiment=run.experiment,
        path=shlex.quote(str(run.path)),
        metrics=metrics,
        audit=run.audit(),
        provenance=run.provenance(),
        network=network,
        sentences=summary_sentences(metrics, per_class),
        architecture=Markup(draw(architecture)),
        cells=architecture.cells,
        difference="" if last is None else difference(architecture, last, run.experiment.derivation),
        sparsity=architecture.sparsity,
        trunk=architecture.trunk,
        trunk_training=trunk_training(network, architecture.trunk),
        epochs=[(epoch, Markup(drawing)) for epoch, drawing in evenly_spread(drawings, FRAMES)],
        halving=halving_table(run),
        evolution=evolution_table(run),
        comparison=comparison_table(run),
        baselines=shown_baselines(run, metrics),
        trained_epochs=len(run.history("retrain")),
        averaged_epochs=", ".join(str(epoch + 1) for epoch in network.averaged_epochs or []),
        curves={stage: learning_curves(run, stage) for stage in ("search", "retrain")},
        per_class=per_class[:PAGE].astype(object).where(per_class[:PAGE].notna(), None).to_dict("records"),
        more_classes=class_texts(per_class[PAGE:]),
        confusion=confusion(answers["label"].tolist(), answers["predicted"].tolist(), data.classes, data.taxa()),
        wrong=int((~answers["right"]).sum()),
        **_charts(scored, per_class),
        gallery=gallery(run, data, answers),
        cell_examples=of_cells(run, data, answers),
    )


def _charts(scored: Scored | None, per_class: pd.DataFrame) -> dict[str, Any]:
    """Return the charts of probabilities, none where the run kept no scores."""
    if scored is None:
        return {"scored": False, "roc": None, "reliability": None, "risk": None}
    areas = per_class["auc"].to_numpy(dtype=float) if "auc" in per_class else None
    return {
        "scored": True,
        "roc": roc_chart(scored, areas),
        "reliability": reliability_chart(scored),
        "risk": risk_chart(scored),
    }
