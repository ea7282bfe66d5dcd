"""What both BIOSCAN releases share: reading through bioscan-dataset, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import pandas as pd

from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role, as_strings
from ..data.remark import Lost
from ..data.typed import with_types
from ..utils.errors import DataError


@dataclass(frozen=True)
class Release:
    """The table of a release, and for each row its part and the path of its image."""

    frame: pd.DataFrame
    split: pd.Series
    image: pd.Series
    notes: Sequence[str] = ()


TEXTS = (str, "category")
UNREADABLE = (ValueError, LookupError, OSError, ArithmeticError, TypeError, AttributeError, RuntimeError, Warning)
"""What bioscan-dataset raises of a table that is damaged."""


def require_table(path: Path, name: str, page: str, layout: str) -> None:
    """Raise `DataError` with what to download, from where, and where to put it, unless the table is there."""
    if not path.is_file():
        raise DataError(
            f"{path}: there is no {name} table. Set data.download: true to fetch it, or download the metadata archive "
            f"and the image package that the project page {page} links to, and unpack them below data.root, so that "
            f"there are {layout}."
        )


def read_release(
    read: Callable[..., pd.DataFrame],
    path: Path,
    key: str,
    kinds: Mapping[str, Any],
    missing: Collection[str],
    **arguments: Any,
) -> pd.DataFrame:
    """Return a release's table as bioscan-dataset reads it, with texts as they are written.

    A gap is an empty cell, and what `missing` names. If a number cannot be read, all numbers are texts, of which
    `to_manifest` reads each for itself.

    Args:
        read: the package's function.
        key: of the configuration, that names what to read.
        kinds: the package's own types of the columns.

    Raises:
        DataError: with the file and the reason.
    """
    gaps = {"index_col": False, "keep_default_na": False, "na_values": ["", *missing]}
    texts = {name: kind if kind in TEXTS else str for name, kind in kinds.items()}
    try:
        with catch_warnings():
            simplefilter("error", pd.errors.ParserWarning)  # a first row of more fields than the header has
            with suppress(ValueError, OverflowError):
                return read(path, dtype=dict(kinds), **gaps, **arguments)
            return read(path, dtype=texts, **gaps, **arguments)
    except UNREADABLE as error:
        raise DataError(f"{path}: {' '.join(str(error).split())} Check {key} and the file.") from error


def download(dataset: Any, **arguments: Any) -> None:
    """Let bioscan-dataset download and verify a release.

    Raises:
        DataError: if it cannot: no network, a full disk, an image package that is not offered for download.
    """
    try:
        dataset(download=True, **arguments)
    except NotImplementedError as error:
        raise DataError(f"data.download: {error}") from error
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"data.download: the download failed ({reason}); check the network, or download by hand."
        ) from error


ID_COLUMN = "processid"


def to_manifest(
    release: Release,
    rank: str,
    image_root: Path,
    roles: Mapping[str, Role],
    features: Mapping[str, Role],
    missing: Collection[str],
) -> Manifest:
    """Turn a metadata table of either release into a manifest.

    Args:
        rank: label column.
        roles: roles that the release gives its columns; those that it has are kept.
        features: the user's own choice of columns, which goes before.
        missing: texts that meant a gap.

    Raises:
        DataError: if the identifiers are not unique, no row is labelled at `rank`, or a declared column is not there.
    """
    frame, notes = release.frame, list(release.notes)
    _require_sound(frame, features)
    labels, images = as_strings(frame[rank]), release.image
    if labels.isna().all():
        raise DataError(f"data.rank: none of the {len(frame)} specimens is labelled at rank {rank!r}; choose another.")
    own = [name for name in frame if name in {**roles, **features} and name != rank]
    table = _usable_rows(release, labels, own)
    lacking = ((int(labels.isna().sum()), f"a {rank}"), (int(images.isna().sum()), "what says where their image is"))
    notes += [Lost(f"{count} specimens without {what} left out.") for count, what in lacking if count]
    if absent := [name for name in roles if name not in frame]:
        notes.append(Lost(f"The release's table has no column {', '.join(absent)}."))
    given = {name: role for name, role in {**roles, **features}.items() if name in own}
    if table.empty:
        raise DataError(f"none of the specimens labelled at rank {rank!r} says where its image is; check the table.")
    typed = with_types(table, (LABEL,), {**given, ID: "ignored", IMAGE: "ignored", SPLIT: "ignored"})
    return Manifest(
        typed.table, image_root, given, rank=rank, declared=frozenset(features), infer=False,
        notes=[*notes, *(note.replace(repr(LABEL), repr(rank)) for note in typed.notes)], forms=typed.forms,
        unread=typed.unread, missing=tuple(sorted(missing)),
    )  # fmt: skip


def _usable_rows(release: Release, labels: pd.Series, own: Sequence[str]) -> pd.DataFrame:
    """Return rows with a label and an image, and of the table's own columns these."""
    frame, usable = release.frame, (labels.notna() & release.image.notna()).to_numpy()
    table = pd.DataFrame({name: _plain(frame.loc[usable, name]) for name in own})
    table.insert(0, SPLIT, _plain(release.split[usable]))
    table.insert(0, LABEL, labels[usable])
    table.insert(0, IMAGE, _plain(release.image[usable]))
    table.insert(0, ID, as_strings(frame.loc[usable, ID_COLUMN]))
    return table.reset_index(drop=True)


def only_parts(release: Release, parts: Collection[str], known: Collection[str]) -> Release:
    """Return the rows of some parts; those of a part that the release does not have are counted.

    Args:
        known: all parts that the release has.
    """
    kept, odd = release.split.isin(list(parts)).to_numpy(), ~release.split.isin(list(known))
    notes = list(release.notes)
    if odd.any():
        shown = ", ".join(repr(part) for part in release.split[odd].drop_duplicates()[:3])
        notes.append(Lost(f"{int(odd.sum())} specimens of no part of the release ({shown}) left out."))
    return Release(release.frame[kept], release.split[kept], release.image[kept], notes)


def _require_sound(frame: pd.DataFrame, features: Mapping[str, Role]) -> None:
    """Raise DataError for identifiers that are missing or come twice, and for columns that are not there."""
    if ID_COLUMN not in frame:
        raise DataError(f"the release's table has no column {ID_COLUMN}; download it again.")
    ids = as_strings(frame[ID_COLUMN])
    repeated = ids.duplicated() | ids.isna()
    if repeated.any():
        raise DataError(
            f"{ID_COLUMN} {frame.loc[repeated, ID_COLUMN].iloc[0]!r} is missing or comes twice in the release's table; "
            "download it again."
        )
    missing = [name for name in features if name not in frame]
    if missing:
        raise DataError(f"data.columns: the release has no column {', '.join(missing)}; it has {', '.join(frame)}.")


def _plain(column: pd.Series) -> pd.Series:
    return column if pd.api.types.is_numeric_dtype(column) else column.astype(object).where(column.notna(), None)
