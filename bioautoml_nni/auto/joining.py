"""The ensemble as one more candidate: weights on validation, one ONNX file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.calibration import calibrated
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from ..utils.errors import ExportError
from .attempt import candidate_logits, measured, scores_of, validation_groups, validation_target, write_fitted
from .choice import resampled_macro_f1
from .ensemble import cross_fitted, mix, select
from .ensemble_file import write_ensemble
from .limits import Limits
from .records import Record

ENSEMBLE = "ensemble"
CROSS_FITTED = "cross_fitted.npy"
"""File with its cross-fitted probabilities (M, K) of the validation part."""


def join(
    base: PreparedData, members: Sequence[Record], candidates: Path, limits: Limits
) -> tuple[dict[str, Any] | None, dict[str, float]]:
    """Write the ensemble's folder, and return what was measured of it and the weight of each member.

    Its validation scores are cross-fitted by group (`ensemble.cross_fitted`), so that they compare with those of its
    members; the weights that ship are chosen on the whole validation part.

    Returns:
        None and no weights where a single member is best, or where images of several sizes would be needed.
    """
    members = _of_one_size(members, candidates)
    if len(members) < 2:
        return None, {}
    folders = [candidates / member.name for member in members]
    temperatures = [_temperature(folder) for folder in folders]
    answers = [candidate_logits(folder) for folder in folders]
    validation = [calibrated(found[0], t) for found, t in zip(answers, temperatures, strict=True)]
    test = [calibrated(found[1], t) for found, t in zip(answers, temperatures, strict=True)]
    target, groups = validation_target(base), validation_groups(base)

    def fits(weights: np.ndarray) -> bool:
        return not limits.broken(*(_sum(members, weights, name) for name in ("parameters", "flops", "latency_ms")))

    weights = select(validation, target, fits)
    if (weights > 0).sum() < 2:
        return None, {}
    unbiased = cross_fitted(validation, target, groups, fits)
    if unbiased is None:
        return None, {}
    used = [index for index, weight in enumerate(weights) if weight > 0]
    folder = candidates / ENSEMBLE
    folder.mkdir(exist_ok=True)
    models = [folders[index] / "export/model.onnx" for index in used]
    write_ensemble(models, [temperatures[index] for index in used], weights[used], folder / "model.onnx")
    modalities = {name for index in used for name in _modalities(folders[index])}
    data = _with_images(base, [folders[index] for index in used]) if "image" in modalities else base
    write_fitted(
        folder, data, mix(validation, weights), mix(test, weights), int(_sum(members, weights, "parameters")),
        int(_sum(members, weights, "flops")), tuple(sorted(modalities)), folder / "model.onnx",
    )  # fmt: skip
    found = measured(data, folder)
    found["validation"] = scores_of(target, np.log(np.maximum(unbiased, 1e-12)))
    error = resampled_macro_f1(target, unbiased.argmax(1), groups).std(ddof=1)
    found["validation_macro_f1_se"] = float(error)
    np.save(folder / CROSS_FITTED, unbiased)
    return found, {member.name: float(weight) for member, weight in zip(members, weights, strict=True)}


def _sum(members: Sequence[Record], weights: np.ndarray, name: str) -> float:
    return sum(float(getattr(member, name) or 0) for member, weight in zip(members, weights, strict=True) if weight > 0)


def _info(folder: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = json.loads((folder / "export/export.json").read_text(encoding="utf-8"))
    return found


def _modalities(folder: Path) -> list[str]:
    return list(_info(folder)["modalities"])


def _temperature(folder: Path) -> float:
    return float(json.loads((folder / "evaluation/calibration.json").read_text(encoding="utf-8"))["temperature"])


def _image_size(folder: Path) -> int | None:
    if "image" not in _modalities(folder):
        return None
    text = (folder / "export/preprocessing.json").read_text(encoding="utf-8")
    return int(json.loads(text)["image"]["size"])


def _of_one_size(members: Sequence[Record], candidates: Path) -> list[Record]:
    """Return the members that can read the same images: those of the size that the best of them has, and of none."""
    sizes = {member.name: _image_size(candidates / member.name) for member in members}
    best = max(
        (member for member in members if sizes[member.name] is not None),
        key=lambda member: member.validation["macro_f1"], default=None,
    )  # fmt: skip
    size = None if best is None else sizes[best.name]
    return [member for member in members if sizes[member.name] in (None, size)]


def _with_images(base: PreparedData, folders: Sequence[Path]) -> PreparedData:
    """Return data with images of the size that the members read."""
    size = next(size for size in map(_image_size, folders) if size is not None)
    if base.image_size == size:
        return base
    for folder in folders:
        if (folder / "experiment.yml").is_file():
            run = RunDirectory.open(folder)
            if PreparedData.load(run).image_size == size and "metadata" in run.experiment.data.modalities:
                return PreparedData.load(run)
    raise ExportError(f"{folders[0].parent}: no member of the ensemble has images of {size} pixels and all metadata.")
