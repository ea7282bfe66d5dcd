"""In what two experiments differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..config import Experiment
from ..config.load import ENCODERS
from .places import same_place, split_place


def differing(found: Experiment, wanted: Experiment) -> dict[str, str]:
    """Return by key, for each leaf but data.root in which two experiments differ, what both have, in words."""

    def leaves(value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for key, item in value.items() for k, v in leaves(item, f"{path}.{key}".lstrip(".")).items()}
        return {path: value}

    theirs, ours = (leaves(experiment.model_dump(mode="json"), "") for experiment in (found, wanted))
    return {
        key: f"{key} is {theirs.get(key)!r} there and {ours.get(key)!r} here"
        for key in sorted(set(theirs) | set(ours))
        if theirs.get(key) != ours.get(key) and key != "data.root" and not _are_one_place(key, theirs, ours)
    }


def _are_one_place(key: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Whether two references to a teacher or an encoder name the same path in two ways."""
    if key not in map(".".join, ENCODERS) or not all(isinstance(entry.get(key), str) for entry in (theirs, ours)):
        return False
    (encoder, file), (other, there) = split_place(theirs[key]), split_place(ours[key])
    return encoder == other and file is not None and there is not None and same_place(file, there)
