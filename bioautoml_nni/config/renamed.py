"""Keys and values of experiment.yml that had another name before: they are still read, and said."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from typing import Any

from ..utils.renamed import RenamedWarning

KEYS = {
    "strategy.most_skips": "max_skips",
    "strategy.least_entropy": "min_entropy",
    "search.most_restarts": "max_restarts",
}
"""Former dotted key of a setting, until 0.2, and its present name in the same section."""
VALUES = {
    ("derivation.method", "shares"): "strongest",
    ("derivation.proposals", "shares"): "sampled",
    ("evaluation.decision", "natural"): "training_prior",
}
"""The same for the values of a setting."""


def with_present_names(raw: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    """Return a configuration with present names; warn of every former one.

    Args:
        problems: gets a sentence for a setting that stands under both of its names.
    """
    found = copy.deepcopy(dict(raw))
    for key, name in KEYS.items():
        section, former = key.split(".")
        values = found.get(section)
        if not isinstance(values, dict) or former not in values:
            continue
        if name in values:
            problems.append(f"{key}: is the former name of {section}.{name}, which is there too; remove one of them.")
            del values[former]
            continue
        found[section] = {name if own == former else own: value for own, value in values.items()}
        _warn(key, f"{section}.{name}")
    for (key, former), value in VALUES.items():
        section, name = key.split(".")
        values = found.get(section)
        if isinstance(values, dict) and values.get(name) == former:
            values[name] = value
            _warn(f"{key}: {former}", f"{key}: {value}")
    return found


def with_former_names(dumped: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with former names, which the stages of a run are known by for good."""
    found = dict(dumped)
    for key, name in KEYS.items():
        section, former = key.split(".")
        values = found.get(section)
        if isinstance(values, dict) and name in values:
            found[section] = {former if own == name else own: value for own, value in values.items()}
    for (key, former), value in VALUES.items():
        section, name = key.split(".")
        values = found.get(section)
        if isinstance(values, dict) and values.get(name) == value:
            found[section] = {**values, name: former}
    return found


def _warn(former: str, present: str) -> None:
    warnings.warn(f"{former} is now called {present}; the former name is still read.", RenamedWarning, stacklevel=2)
