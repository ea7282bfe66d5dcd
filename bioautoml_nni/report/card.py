"""MODEL_CARD.md: what the model is for, how good it is, and where it must not be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from .._version import __version__
from ..architecture import Architecture
from ..artifacts.calibration import Calibration
from ..artifacts.metrics import Metrics
from ..artifacts.network import NetworkRecord
from ..evaluation.metrics import read_per_class
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from .baselines import shown_baselines
from .words import trunk_training

SHOWN = 30


def model_card(
    run: RunDirectory,
    data: PreparedData,
    parity: Mapping[str, Any] | None = None,
    quantised: Mapping[str, Any] | None = None,
    evaluation: Path | None = None,
) -> str:
    """Return the card of an evaluated run as Markdown.

    Args:
        parity: of its export, whose files the card then describes; None is for the run itself.
        quantised: what its model of eight bits costs, if there is one.
        evaluation: folder of the evaluation, by default the run's own.
    """
    evaluation = evaluation or run / "evaluation"
    architecture = evaluation.parent / "architecture.json"  # what is not a network has none
    network = evaluation.parent / "retrain/network.json"  # nor that
    metrics, calibration = Metrics.read(evaluation / "metrics.json"), Calibration.read(evaluation / "calibration.json")
    per_class = read_per_class(evaluation / "per_class.csv")
    trunk = Architecture.load(architecture).trunk if architecture.is_file() else None
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["listed"] = _listed
    return environment.get_template("model_card.md.j2").render(
        name=run.experiment.name,
        size=data.image_size,
        baselines=shown_baselines(run, metrics.shown()) or {"lines": [], "warning": ""},
        trunk=trunk,
        trunk_training=trunk_training(NetworkRecord.read(network), trunk) if network.is_file() else "",
        metrics=metrics.shown(),
        columns=", ".join(f"`{column}`" for column in metrics.metadata_columns),
        weak=per_class[(per_class["test"] > 0) & (per_class["f1"] < 0.5)]["class"].tolist(),
        untested=per_class[per_class["test"] == 0]["class"].tolist(),
        few=per_class[per_class["train"] < 20]["class"].tolist(),
        calibration=calibration,
        origin=run.provenance().origin,
        parity=parity,
        quantised=quantised or None,
        difference=max(parity["largest_difference"].values()) if parity else None,
        version=__version__,
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "none"
