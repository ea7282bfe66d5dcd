"""What both BIOSCAN releases share: reading through bioscan-dataset, with errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role
from ..data.remark import Lost
from ..utils.errors import DataError


def require_table(path: Path, name: str, page: str, layout: str) -> None:
    """Raise `DataError` with what to download, from where, and where to put it, unless the table is there."""
    if not path.is_file():
        raise DataError(
            f"{path}: there is no {name} table. Set data.download: true to fetch it, or download the metadata archive "
            f"and the image package that the project page {page} links to, and unpack them below data.root, so that "
            f"there are {layout}."
        )


@contextmanager
def reading_release(path: Path, key: str) -> Iterator[None]:
    """Turn what bioscan-dataset and its table raise into one sentence.

    Args:
        key: of the configuration, that names what to read.

    Raises:
        DataError: with the file and the reason.
    """
    try:
        yield
    except (ValueError, KeyError, OSError) as error:
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
    frame: pd.DataFrame,
    rank: str,
    split: pd.Series,
    image: pd.Series,
    image_root: Path,
    roles: Mapping[str, Role],
    features: Mapping[str, Role],
) -> Manifest:
    """Turn a metadata table of either release into a manifest.

    Args:
        frame: as bioscan-dataset reads it.
        rank: label column.
        split, image: part and image path of each row.
        roles: roles that the release gives its columns; those in `frame` are kept.
        features: the user's own choice of columns, which goes before.

    Raises:
        DataError: if the identifiers are not unique, no row is labelled at `rank`, or a declared column is not there.
    """
    _require_sound(frame, features)
    labelled = frame[rank].notna().to_numpy()
    if not labelled.any():
        raise DataError(f"data.rank: none of the {len(frame)} specimens is labelled at rank {rank!r}; choose another.")
    own = [name for name in frame if name in {**roles, **features} and name != rank]
    table = pd.DataFrame({name: _plain(frame.loc[labelled, name]) for name in own})
    table.insert(0, SPLIT, _plain(split[labelled]))
    table.insert(0, LABEL, _plain(frame.loc[labelled, rank]))
    table.insert(0, IMAGE, _plain(image[labelled]))
    table.insert(0, ID, _plain(frame.loc[labelled, ID_COLUMN]))
    gone = int((~labelled).sum())
    notes: list[str] = [Lost(f"{gone} specimens without a {rank} left out.")] if gone else []
    given = {name: role for name, role in {**roles, **features}.items() if name in own}
    return Manifest(
        table.reset_index(drop=True),
        image_root,
        given,
        rank=rank,
        declared=frozenset(features),
        infer=False,
        notes=notes,
    )


def _require_sound(frame: pd.DataFrame, features: Mapping[str, Role]) -> None:
    """Raise DataError for identifiers that are missing or come twice, and for columns that are not there."""
    if ID_COLUMN not in frame:
        raise DataError(f"the release's table has no column {ID_COLUMN}; download it again.")
    repeated = frame[ID_COLUMN].duplicated() | frame[ID_COLUMN].isna()
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
