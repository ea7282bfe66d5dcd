"""BIOSCAN-1M (Gharaee et al., arXiv 2307.10455), read through the bioscan-dataset package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..data.manifest import Manifest, Role
from ..utils.errors import DataError
from ._bioscan import Release, download, only_parts, read_release, require_table, to_manifest

METADATA = Path("bioscan1m/BIOSCAN_Insect_Dataset_metadata.tsv")
IMAGES = Path("bioscan1m/images")
PLACE = ("chunk_number", "image_file")
"""Columns that say where the image of a specimen is."""
PAGE = "https://github.com/bioscan-ml/BIOSCAN-1M"
Partitioning = Literal[
    "large_insect_order", "medium_insect_order", "small_insect_order",
    "large_diptera_family", "medium_diptera_family", "small_diptera_family", "clibd",
]  # fmt: skip
RANKS = ("phylum", "class", "order", "family", "subfamily", "tribe", "genus", "species")
ROLES: dict[str, Role] = dict.fromkeys((*RANKS, "subspecies", "name"), "taxonomy")


class Bioscan1MSource:
    """BIOSCAN-1M in its own folder layout. Beside taxonomy and DNA it has no metadata: set data.modalities to [image].

    Args:
        root: folder that holds ``bioscan1m/``.
        rank: label column.
        partitioning: which of the release's splits is the official one. "clibd" needs its own partition files.
        subset: parts in the package's own notation, such as "train+validation+test", or "all".
        image_package: folder below ``bioscan1m/images``.
        columns: roles to change or add; DNA columns are features only if they are named here and allowed by the audit.
        download: let bioscan-dataset fetch and verify what is missing.
        missing: texts that mean that a value is missing, such as NA; an empty cell always does.
    """

    capabilities = ("official_split", "download")

    def __init__(
        self,
        root: Path,
        rank: Literal["phylum", "class", "order", "family", "subfamily", "tribe", "genus", "species"] = "order",
        partitioning: Partitioning = "large_insect_order",
        subset: str = "train+validation+test",
        image_package: Literal["cropped_256", "original_256", "cropped", "original_full"] = "cropped_256",
        columns: dict[str, Role] | None = None,
        download: bool = False,
        missing: list[str] | None = None,
    ) -> None:
        self.root = root
        self.rank = rank
        self.partitioning = partitioning
        self.subset = subset
        self.image_package = image_package
        self.columns = dict(columns or {})
        self.download = download
        self.missing = frozenset(missing or [])

    def load(self) -> Manifest:
        """Read the table; see `Source.load`."""
        from bioscan_dataset import BIOSCAN1M, load_bioscan1m_metadata  # imports torch
        from bioscan_dataset.bioscan1m import CLIBD_VALID_SPLITS, COLUMN_DTYPES, VALID_SPLITS

        if self.download:
            arguments = {"root": str(self.root), "split": "train", "image_package": self.image_package}
            download(BIOSCAN1M, modality=("image",), partitioning_version=self.partitioning, **arguments)
        path = self.root / METADATA
        layout = f"{METADATA} and {IMAGES / self.image_package}/partN/..."
        require_table(path, "BIOSCAN-1M", PAGE, layout)
        clibd = self.partitioning == "clibd"
        frame = read_release(
            load_bioscan1m_metadata, path, "data.partitioning", COLUMN_DTYPES, self.missing,
            partitioning_version=self.partitioning, split="all",
        )  # fmt: skip
        name = "clibd_split" if clibd else self.partitioning
        if absent := [needed for needed in (name, *PLACE) if needed not in frame]:
            raise DataError(f"{path}: has no column {', '.join(absent)}; check data.partitioning and the file.")
        known = frame[list(PLACE)].notna().all(axis=1)
        image = "part" + frame["chunk_number"].astype(str) + "/" + frame["image_file"].astype(str)
        release = Release(frame, frame[name], image.where(known))
        if self.subset != "all":
            parts = [part.strip() for part in self.subset.split("+")]
            if not release.split.isin(parts).any():
                found = ", ".join(sorted(map(str, release.split.dropna().unique())))
                raise DataError(f"{path}: no specimen belongs to data.subset {self.subset!r}; there are {found}.")
            release = only_parts(release, parts, CLIBD_VALID_SPLITS if clibd else VALID_SPLITS)
        image_root = self.root / IMAGES / self.image_package
        return to_manifest(release, self.rank, image_root, ROLES, self.columns, self.missing)
