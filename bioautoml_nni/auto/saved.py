"""What a saved classifier is: an export with the classifier's parameters and its leaderboard beside it."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.own_csv import csv_text, read_own
from ..utils.atomic import replacing_folder, write_json, write_text
from ..utils.errors import ExportError
from ..utils.own_files import read_json
from .records import NUMBERS

PARAMETERS, LEADERBOARD = "classifier.json", "leaderboard.csv"


def write_saved(
    target: Path, export: Path, params: Mapping[str, Any], label: str, leaderboard: pd.DataFrame | None
) -> None:
    """Write a classifier to a folder, which is whole or as it was.

    Args:
        export: folder of its model.
        params: its constructor arguments.

    Raises:
        ExportError: if the folder holds something else.
    """
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / "export.json").is_file())):
        raise ExportError(f"{target}: is not empty and holds no export; choose another folder.")
    with replacing_folder(target) as temporary:
        shutil.copytree(export, temporary, dirs_exist_ok=True)
        if leaderboard is not None:
            write_text(temporary / LEADERBOARD, csv_text(leaderboard))
        texts = {key: str(value) if isinstance(value, Path) else value for key, value in params.items()}
        write_json(temporary / PARAMETERS, {"params": {**texts, "output": None}, "label": label})


def read_saved(export: Path, known: Collection[str], label: str) -> tuple[dict[str, Any], str, pd.DataFrame | None]:
    """Return parameters, label column and leaderboard, as far as they lie beside an export.

    Args:
        known: names of the classifier's parameters.
        label: of an export without a classifier's.

    Raises:
        ExportError: if the parameters are damaged or of another version.
    """
    file = export / PARAMETERS
    record: Mapping[str, Any] = read_json(file) if file.is_file() else {}
    params = record.get("params", {})
    if not isinstance(params, dict) or (unknown := sorted(set(params) - set(known))):
        what = f"parameters that are unknown ({', '.join(unknown)})" if isinstance(params, dict) else "no parameters"
        raise ExportError(f"{file}: has {what}; it is damaged or of another version, save the classifier again.")
    board = export / LEADERBOARD
    return params, record.get("label", label), read_own(board, NUMBERS) if board.is_file() else None
