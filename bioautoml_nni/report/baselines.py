"""Simple baselines beside a run's own network, as its report and its console tell of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..artifacts.baselines import BaselineLine, Baselines
from ..runs.directory import RunDirectory

FILE = "evaluation/baselines.json"


def shown_baselines(run: RunDirectory, metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the lines of a run's baselines and a warning, None where there are none about the data of today.

    Returns:
        ``lines``: name, words, test scores (None where it has none) and note of each; ``warning``: see `beaten_by`.
    """
    file = run / FILE
    if not file.is_file():
        return None
    record = Baselines.read(file)
    if record.prepared != run.key("prepare") or not record.lines:
        return None
    return {"lines": record.lines, "warning": beaten_by(metrics, record.lines)}


def beaten_by(metrics: Mapping[str, Any], lines: Sequence[BaselineLine]) -> str:
    """Return a sentence on the best baseline whose test macro-F1 exceeds the network's, or an empty text."""
    scored = [(line.test["macro_f1"], line.name) for line in lines if line.test is not None]
    score, name = max(scored, key=lambda entry: entry[0], default=(0.0, ""))
    own = metrics["macro"]["f1"]
    if score <= own:
        return ""
    return (
        f"A simple baseline beats this network: {name} reaches a macro-F1 of {score:.3f} on "
        f"the same test specimens, the network {own:.3f}. `bioautoml auto` tries both and others, and chooses by "
        "validation."
    )
