"""MODEL_CARD.md: what the model is for, how good it is, and where it must not be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from .._version import __version__

SHOWN = 30


def model_card(
    name: str,
    size: int | None,
    metrics: Mapping[str, Any],
    per_class: pd.DataFrame,
    calibration: Mapping[str, Any],
    parity: Mapping[str, Any],
) -> str:
    """Return the card as Markdown.

    Args:
        name: of the experiment.
        size: edge of the pictures in pixels, None without images.
        metrics, per_class: of the evaluation.
        calibration, parity: of the export.
    """
    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["listed"] = _listed
    template = environment.from_string((files(__package__) / "model_card.md.j2").read_text(encoding="utf-8"))
    return template.render(
        name=name,
        size=size,
        metrics=metrics,
        columns=", ".join(f"`{column}`" for column in metrics["metadata_columns"]),
        weak=per_class[(per_class["test"] > 0) & (per_class["f1"] < 0.5)]["class"].tolist(),
        untested=per_class[per_class["test"] == 0]["class"].tolist(),
        few=per_class[per_class["train"] < 20]["class"].tolist(),
        calibration=calibration,
        parity=parity,
        difference=max(parity["largest_difference"].values()),
        version=__version__,
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "none"
