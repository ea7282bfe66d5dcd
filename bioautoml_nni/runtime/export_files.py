"""The files of an export: of a format that is known, unchanged since they were written, and run by onnxruntime."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.exported import ExportRecord
from ..utils.errors import ExportError

DESCRIPTIONS = ("classes.csv", "preprocessing.json", "calibration.json")
WAY_OUT = "export the run again"


def export_folder(folder: Path) -> Path:
    """Return the folder with export.json: the one given, or export/ of a run.

    Raises:
        ExportError: if there is none.
    """
    for place in (folder, folder / "export"):
        if (place / "export.json").is_file():
            return place
    raise ExportError(f"{folder}: holds no exported model; write one with `bioautoml export RUN`.")


def read_info(folder: Path) -> ExportRecord:
    """Return what export.json says.

    Raises:
        ExportError: if it is of a format that is not known, or does not say what it must.
    """
    return ExportRecord.read(folder / "export.json", WAY_OUT, ExportError)


def require_unchanged(path: Path, info: ExportRecord) -> None:
    """Check a file against its checksum in export.json.

    Raises:
        ExportError: if it is another file.
    """
    if hashlib.sha256(path.read_bytes()).hexdigest() != info.sha256.get(path.name):
        raise ExportError(f"{path}: is another file than was exported; export the run again.")


def open_session(path: Path, info: ExportRecord, options: Any) -> Any:
    """Return an onnxruntime session of a file that is unchanged; `options` are a SessionOptions."""
    import onnxruntime

    require_unchanged(path, info)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs_of(session: Any, inputs: dict[str, np.ndarray]) -> Any:
    """Return all outputs; inputs that the file does not have are left out, as those that no answer depends on are."""
    wanted = {entry.name for entry in session.get_inputs()}
    return session.run(None, {name: value for name, value in inputs.items() if name in wanted})
