"""The ensemble as one more candidate: weights on validation, one ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.calibration import Calibration
from ..artifacts.exported import ExportRecord
from ..artifacts.preprocessing import Preprocessing
from ..data import splits
from ..evaluation.calibration import calibrated
from ..export.inputs import model_inputs
from ..export.onnx_files import run_onnx
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from ..stages.export import PARITY_SPECIMENS
from ..utils.errors import ExportError
from .attempt import (
    candidate_logits,
    measured,
    scores_of,
    validation_groups,
    validation_target,
    write_fitted,
)
from .choice import resampled_macro_f1
from .ensemble import MIN_PROBABILITY, cross_fitted, mix, promising, weigh
from .ensemble_file import Member, member_fingerprint, write_ensemble, write_member
from .limits import Limits
from .records import Record
from .shared_graph import Fingerprint, saved

ENSEMBLE = "ensemble"
CROSS_FITTED = "cross_fitted.npy"
"""File with its cross-fitted probabilities (M, K) of the validation split."""


def join(
    base: PreparedData, records: Sequence[Record], candidates: Path, limits: Limits
) -> tuple[dict[str, Any] | None, dict[str, float]]:
    """Write the ensemble's folder, and return what was measured of it and the weight of each member.

    Its validation scores are cross-fitted by group (`ensemble.cross_fitted`), so that they compare with those of its
    members; the weights that ship are chosen on the whole validation split. It reads images of the largest size that a
    member reads, and makes them smaller for the others.

    Candidates that are clearly worse than the best are no members.

    Returns:
        None and no weights where a single member is best, or validation has too few groups to tell.
    """
    target, groups = validation_target(base), validation_groups(base)
    members, validation = _promising(records, candidates, target, groups)
    size = max((member.image_size for member in members if member.image_size), default=None)
    costs = Costs([m.record for m in members], [member_fingerprint(m.part(1.0, size)) for m in members])

    def fits(weights: np.ndarray) -> bool:
        return not limits.broken(*costs.of(weights))

    weights = weigh(validation, target, fits)
    unbiased = cross_fitted(validation, target, groups, fits) if (weights > 0).sum() > 1 else None
    if unbiased is None:
        return None, {}
    folder = candidates / ENSEMBLE
    folder.mkdir(exist_ok=True)
    used = np.flatnonzero(weights)
    data = _with_images(base, [members[index].folder for index in used], size)
    parameters, flops, _ = costs.of(weights)
    chosen = [members[index] for index in used]
    _write(folder, data, chosen, weights[used], size, mix(validation, weights), int(parameters), int(flops))
    found = measured(data, folder)
    found["validation"] = scores_of(target, np.log(np.maximum(unbiased, MIN_PROBABILITY)))
    error = resampled_macro_f1(target, unbiased.argmax(1), groups).std(ddof=1)
    found["validation_macro_f1_se"] = float(error)
    np.save(folder / CROSS_FITTED, unbiased)
    return found, {m.record.name: float(weight) for m, weight in zip(members, weights, strict=True)}


def _promising(
    records: Sequence[Record], candidates: Path, target: np.ndarray, groups: np.ndarray | None
) -> tuple[list[_Joining], list[np.ndarray]]:
    """Return the candidates that are not clearly worse than the best, and the validation probabilities of each."""
    members = [_Joining.of(record, candidates) for record in records]
    validation = [calibrated(candidate_logits(m.folder)[0], m.temperature) for m in members]
    kept = promising(validation, target, groups)
    return [members[index] for index in kept], [validation[index] for index in kept]


def _write(
    folder: Path, data: PreparedData, members: Sequence[_Joining], weights: np.ndarray, size: int | None,
    validation: np.ndarray, parameters: int, flops: int,
) -> None:  # fmt: skip
    """Write the ensemble's ONNX file, what it answers on validation and test, and what it costs."""
    parts = [member.part(float(weight), size) for member, weight in zip(members, weights, strict=True)]
    write_ensemble(parts, folder / "model.onnx")
    test = [
        calibrated(_test_logits(member, part, data, folder), part.temperature)
        for member, part in zip(members, parts, strict=True)
    ]
    # Stored features of an encoder are rounded, so that files are compared with files, not with what was scored.
    reference = [calibrated(file_logits(part, data, PARITY_SPECIMENS, folder), part.temperature) for part in parts]
    modalities = {name for member in members for name in member.modalities}
    write_fitted(
        folder, data, validation, mix(test, weights), parameters, flops, tuple(sorted(modalities)),
        folder / "model.onnx", mix(reference, weights),
    )  # fmt: skip


@dataclass(frozen=True)
class _Joining:
    """A candidate that may become a member.

    Attributes:
        image_size: edge of the images that it reads, None without.
    """

    record: Record
    folder: Path
    temperature: float
    modalities: tuple[str, ...]
    image_size: int | None

    @classmethod
    def of(cls, record: Record, candidates: Path) -> _Joining:
        folder = candidates / record.name
        modalities = tuple(ExportRecord.read(folder / "export/export.json").modalities)
        image = Preprocessing.read(folder / "export/preprocessing.json").image
        size = image.edge if "image" in modalities else None
        return cls(
            record, folder, Calibration.read(folder / "evaluation/calibration.json").temperature, modalities, size
        )

    def part(self, weight: float, size: int | None) -> Member:
        """Return it as a member of an ensemble that reads images of `size`."""
        smaller = size if self.image_size not in (None, size) else None
        return Member(self.folder / "export/model.onnx", self.temperature, weight, smaller)


class Costs:
    """What ensembles cost: the sum over their members, without what several of them compute alike.

    Args:
        records: of all candidates.
        fingerprints: see `shared_graph.fingerprint`.
    """

    def __init__(self, records: Sequence[Record], fingerprints: Sequence[Fingerprint]) -> None:
        self.records = records
        self.fingerprints = fingerprints
        self.known: dict[tuple[int, ...], tuple[float, float, float]] = {}

    def of(self, weights: np.ndarray) -> tuple[float, float, float]:
        """Return parameters, FLOPs and, as an upper bound, milliseconds of those with a weight."""
        used = tuple(int(index) for index in np.flatnonzero(weights))
        if used not in self.known:
            less = saved(self.fingerprints[index] for index in used)
            found = [self.records[index] for index in used]
            self.known[used] = (
                sum(record.parameters or 0 for record in found) - less.parameters,
                sum(record.flops or 0 for record in found) - less.flops,
                sum(record.latency_ms or 0.0 for record in found),
            )
        return self.known[used]


def _test_logits(member: _Joining, part: Member, data: PreparedData, folder: Path) -> np.ndarray:
    """Return logits of the test split (N, K): those that were scored, or of its file where images are made smaller."""
    if part.image_size is None:
        return candidate_logits(member.folder)[1]
    return file_logits(part, data, len(data.part), folder)


def file_logits(part: Member, data: PreparedData, most: int, folder: Path) -> np.ndarray:
    """Return logits (N, K) of a member's file for the first specimens of the test split."""
    file = folder / "member.onnx"
    write_member(part, file)
    inputs = {name: value.numpy() for name, value in model_inputs(data, splits.TEST, most).items()}
    found = run_onnx(file, inputs)
    file.unlink()
    return found.astype(np.float64)


def _with_images(base: PreparedData, folders: Sequence[Path], size: int | None) -> PreparedData:
    """Return data with images of the size that the ensemble reads, and all metadata."""
    if size is None or base.image_size == size:
        return base
    for folder in folders:
        if (folder / "experiment.yml").is_file():
            run = RunDirectory.open(folder)
            if (
                PreparedData.load(run).image_size == size
                and run.experiment.data.modalities == base.run.experiment.data.modalities
            ):
                return PreparedData.load(run).as_images()
    raise ExportError(f"{folders[0].parent}: no member of the ensemble has images of {size} pixels and all metadata.")
