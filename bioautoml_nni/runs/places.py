"""Where the data of a run lie: written relative to the experiment, found again when folders move, never other data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from ..artifacts.provenance import Provenance
from ..config import Experiment
from ..config.load import ENCODERS
from ..config.references import is_encoder
from ..utils.errors import DataError, RunDirectoryError
from ..utils.remote import RemotePath, is_url, place

if TYPE_CHECKING:
    from .directory import RunDirectory


def written_root(root: Path, run: Path, base: Path | None, before: str | None = None) -> str:
    """Return a path as the run's copy of the experiment says it: relative where experiment, data and run lie below one
    folder, so that the three can move together.

    Args:
        base: the experiment file's folder, None where there is none.
        before: what the copy said until now; it is kept where it is relative and means the same place.
    """
    whole, here = root.resolve(), run.resolve()
    if before and not Path(before).is_absolute() and (here / before).resolve() == whole:
        return before
    if base is None or not (whole.is_relative_to(base.resolve()) and here.is_relative_to(base.resolve())):
        return str(root)
    return Path(os.path.relpath(whole, here)).as_posix()


def encoder_keys(raw: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield dotted keys of a configuration that name a teacher or an encoder, with their section and its own key."""
    for *sections, key in ENCODERS:
        section: Any = raw
        for name in sections:
            section = section.get(name) if isinstance(section, dict) else None
        if isinstance(section, dict) and isinstance(section.get(key), str):
            yield ".".join((*sections, key)), section, key


def with_written_places(dumped: dict[str, Any], run: Path, base: Path | None, before: Mapping[str, Any]) -> None:
    """Write paths of teachers and of encoders' weights as `written_root` has it, in place."""
    known = {name: section[key] for name, section, key in encoder_keys(before)}
    for name, section, key in encoder_keys(dumped):
        encoder, file = split_place(section[key])
        if file is not None and file.is_absolute():
            there = split_place(known[name])[1] if name in known else None
            section[key] = encoder + written_root(file, run, base, None if there is None else str(there))


def with_found_places(raw: dict[str, Any], run: Path, provenance: Provenance) -> None:
    """Let teachers and weights that are not where the run's copy says be where they were when it began, in place."""
    for name, section, key in encoder_keys(raw):
        if (known := provenance.places.get(name)) is None:
            continue
        file, first = split_place(section[key])[1], split_place(known.first)[1]
        if file is not None and first is not None and not file.exists() and first.exists():
            section[key] = known.first


def with_first_places(dumped: dict[str, Any], run: Path, provenance: Provenance) -> None:
    """Write teachers and weights that only moved with the run as they were when it began, in place."""
    for name, section, key in encoder_keys(dumped):
        if (known := provenance.places.get(name)) is None:
            continue
        (encoder, file), (other, there) = split_place(section[key]), split_place(known.written)
        if file is not None and there is not None and encoder == other and same_place(file, run / there):
            section[key] = known.first


def split_place(reference: str) -> tuple[str, Path | None]:
    """Return what stands before the path in the reference to a teacher or an encoder, and the path if it has one."""
    if is_encoder(reference):
        name, at, weights = reference.partition("@")
        return (f"{name}@", Path(weights)) if at and "/" in weights else (reference, None)
    return "", Path(reference) if reference and not is_url(reference) else None


def found_root(written: Path | None, provenance: Provenance) -> Path | None:
    """Return where the data lie: where the run's copy says, or, if nothing is there, where they lay when it began."""
    known = provenance.data_root
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

    prepared = run.provenance().data_sha256
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


def require_same_images(facts: pd.DataFrame, provenance: Provenance, root: Path) -> None:
    """Check that images of a run whose data moved are those that it was prepared from.

    Raises:
        DataError: if they are not.
    """
    known = provenance.images_sha256
    if known is not None and images_digest(facts) != known:
        raise DataError(
            f"{root}: holds other images than those that the run was prepared from; say where they lie with --set "
            "data.root=FOLDER, or start a new run."
        )
