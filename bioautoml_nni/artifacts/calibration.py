"""evaluation/calibration.json: what validation specimens teach about trust, in a run and in its export.

A plain dataclass: prediction from an export reads it, and needs neither torch nor pydantic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..utils.atomic import write_json
from ..utils.errors import BioAutoMLError, RunDirectoryError
from ..utils.own_files import WAY_OUT, read_json, reading
from .versions import KEY, require_known_version


@dataclass(frozen=True)
class Calibration:
    """The file.

    Attributes:
        temperature: divides logits before they become probabilities.
        fitted_on: the split, and how many specimens of it.
        nll, ece: negative log-likelihood and expected calibration error, before and after.
        thresholds: the least confidence for each wanted accuracy, and the share of specimens above it.
        prediction_sets: for each coverage the least probability with which a class belongs to the set.
    """

    temperature: float
    fitted_on: Mapping[str, Any] = field(default_factory=dict)
    nll: Mapping[str, float] = field(default_factory=dict)
    ece: Mapping[str, float] = field(default_factory=dict)
    thresholds: Sequence[Mapping[str, float | None]] = ()
    prediction_sets: Mapping[str, float] = field(default_factory=dict)

    VERSION: ClassVar[int] = 1

    @classmethod
    def read(cls, path: Path, way_out: str = WAY_OUT, kind: type[BioAutoMLError] = RunDirectoryError) -> Calibration:
        """Return what a file says.

        Raises:
            BioAutoMLError: of the kind given, if it is missing, damaged or has a version that is not known.
        """
        record = read_json(path, way_out, kind)
        require_known_version(record, path, cls.VERSION, kind)
        with reading(path, way_out, kind):
            if "temperature" not in record:
                raise ValueError("it has no temperature")
            named = {name: value for name in cls.__dataclass_fields__ if (value := record.get(name)) is not None}
            return cls(**{**named, "temperature": float(record["temperature"])})

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        names = ("fitted_on", "temperature", "nll", "ece", "thresholds", "prediction_sets")
        write_json(path, {KEY: self.VERSION, **{name: getattr(self, name) for name in names}})
