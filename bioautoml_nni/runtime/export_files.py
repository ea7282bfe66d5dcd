"""The files of an export: of a format that is known, unchanged since they were written, and run by onnxruntime."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from ..utils.errors import ExportError
from ..utils.own_files import read_json

FORMAT = 1
DESCRIPTIONS = ("classes.csv", "preprocessing.json", "calibration.json")
INFO = {"name": str, "rank": str, "modalities": list, "brand": str, "parameters": int, "sha256": dict}
"""What export.json must state, and as what."""


def export_folder(folder: Path) -> Path:
    """Return the folder with export.json: the one given, or export/ of a run.

    Raises:
        ExportError: if there is none.
    """
    for place in (folder, folder / "export"):
        if (place / "export.json").is_file():
            return place
    raise ExportError(f"{folder}: holds no exported model; write one with `bioautoml export RUN`.")


def read_info(folder: Path) -> dict[str, Any]:
    """Return what export.json says.

    Raises:
        ExportError: if it is of another version, or does not say what it must.
    """
    info = read_description(folder / "export.json")
    if info.get("format") != FORMAT:
        raise ExportError(
            f"{folder}: has export format {info.get('format')!r}, this version reads {FORMAT}; export the run again."
        )
    wrong = [name for name, kind in INFO.items() if not isinstance(info.get(name), kind)]
    if not wrong and not ({"image", "metadata"} >= set(info["modalities"]) != set()):
        wrong = ["modalities"]
    if wrong:
        raise ExportError(f"{folder / 'export.json'}: {', '.join(wrong)} cannot be read; export the run again.")
    return info


def read_description(path: Path) -> dict[str, Any]:
    """Return the content of a file of JSON."""
    content: dict[str, Any] = read_json(path, "export the run again", ExportError)
    return content


def require_unchanged(path: Path, info: dict[str, Any]) -> None:
    """Check a file against its checksum in export.json.

    Raises:
        ExportError: if it is another file.
    """
    if hashlib.sha256(path.read_bytes()).hexdigest() != info["sha256"].get(path.name):
        raise ExportError(f"{path}: is another file than was exported; export the run again.")


def open_session(path: Path, info: dict[str, Any], options: Any) -> Any:
    """Return an onnxruntime session of a file that is unchanged; `options` are a SessionOptions."""
    import onnxruntime

    require_unchanged(path, info)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def outputs_of(session: Any, inputs: dict[str, np.ndarray]) -> Any:
    """Return all outputs; inputs that the file does not have are left out, as those that no answer depends on are."""
    wanted = {entry.name for entry in session.get_inputs()}
    return session.run(None, {name: value for name, value in inputs.items() if name in wanted})
