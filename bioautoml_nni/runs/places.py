"""Where the data of a run lie: written relative to the experiment, found again when folders move, never other data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from ..config import Experiment
from ..utils.errors import DataError, RunDirectoryError
from ..utils.remote import RemotePath, place

if TYPE_CHECKING:
    from .directory import RunDirectory

ROOT = "data_root"
"""Entry of provenance.json: the folder of the data when the run began, which its stages' keys keep using."""
IMAGES = "images_sha256"
"""Entry of provenance.json: digest of the content of all images of the run."""


def written_root(root: Path, run: Path, base: Path | None) -> str:
    """Return data.root as the run's copy of the experiment says it: relative where experiment, data and run lie below
    one folder, so that the three can move together.

    Args:
        base: the experiment file's folder, None where there is none.
    """
    whole, here = root.resolve(), run.resolve()
    if base is None or not (whole.is_relative_to(base.resolve()) and here.is_relative_to(base.resolve())):
        return str(root)
    return Path(os.path.relpath(whole, here)).as_posix()


def found_root(written: Path | None, provenance: Mapping[str, Any]) -> Path | None:
    """Return where the data lie: where the run's copy says, or, if nothing is there, where they lay when it began."""
    known = provenance.get(ROOT)
    if written is None or isinstance(written, RemotePath) or known is None:
        return written
    first = place(known)
    return first if not written.exists() and first.exists() else written


def same_place(one: Path | None, other: Path | None) -> bool:
    """Whether two roots are one folder."""
    return one == other or (one is not None and other is not None and one.resolve() == other.resolve())


def require_same_data(run: RunDirectory, wanted: Experiment, console: Console) -> None:
    """Check that what lies at another data.root is what the run was prepared from.

    Raises:
        DataError: if it cannot be read.
        RunDirectoryError: if it is something else.
    """
    from ..audit.examine import finish
    from ..data.load import load_manifest

    prepared = run.provenance().get("data_sha256")
    if prepared is None:
        return
    console.print(f"data.root: looks whether the data in {wanted.data.root} are those of {run.path}.", soft_wrap=True)
    data, _ = finish(wanted, load_manifest(wanted), console)
    if data.digest() != prepared:
        raise RunDirectoryError(
            f"data.root: the data in {wanted.data.root} are others than those that {run.path} was prepared from (the "
            "digests of table and images differ); give the folder that holds those, or start a new run with another "
            "--output."
        )


def moved(folder: Path, before: Path | None, now: Path | None) -> Path:
    """Return where a folder lies now that lay below the data's root before; others are where they were."""
    if before is None or now is None or same_place(before, now):
        return folder
    lexical = before if isinstance(before, RemotePath) else Path(os.path.normpath(before))
    for border in (lexical, lexical.resolve()):
        if folder.is_relative_to(border):
            return now / folder.relative_to(border).as_posix()
    return folder


def images_digest(facts: pd.DataFrame) -> str:
    """Return a digest of the content of images, in their order."""
    return hashlib.sha256("".join(facts["digest"]).encode()).hexdigest()


def require_same_images(facts: pd.DataFrame, provenance: Mapping[str, Any], root: Path) -> None:
    """Check that images of a run whose data moved are those that it was prepared from.

    Raises:
        DataError: if they are not.
    """
    known = provenance.get(IMAGES)
    if known is not None and images_digest(facts) != known:
        raise DataError(
            f"{root}: holds other images than those that the run was prepared from; say where they lie with --set "
            "data.root=FOLDER, or start a new run."
        )
