"""BIOSCAN-5M (Gharaee et al., arXiv 2406.12723), read through the bioscan-dataset package."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..data.manifest import Manifest, Role
from ..utils.errors import DataError
from ._bioscan import Release, download, only_parts, read_release, require_table, to_manifest

METADATA = Path("bioscan5m/metadata/csv/BIOSCAN_5M_Insect_Dataset_metadata.csv")
IMAGES = Path("bioscan5m/images")
PAGE = "https://github.com/bioscan-ml/BIOSCAN-5M"
Rank = Literal["phylum", "class", "order", "family", "subfamily", "genus", "species"]
ROLES: dict[str, Role] = {
    **dict.fromkeys(("phylum", "class", "order", "family", "subfamily", "genus", "species"), "taxonomy"),
    "taxon": "taxonomy",
    "country": "categorical",
    "province_state": "categorical",
    "coord-lat": "latitude",
    "coord-lon": "longitude",
    "image_measurement_value": "size",
    "area_fraction": "fraction",
    "scale_factor": "numeric",
}
"""Taxa, and the seven columns that neither state, determine nor follow from the identification."""


class Bioscan5MSource:
    """BIOSCAN-5M in its own folder layout, whole or a subset, with its official splits.

    Args:
        root: folder that holds ``bioscan5m/``.
        rank: label column.
        subset: official partitions, in the package's own notation: "train", "pretrain+train", "seen" (train, val and
            test), "unseen" (key_unseen, val_unseen, test_unseen) or "all". Name the partitions of each part under
            `data.split` with ``method: official``.
        image_package: folder below ``bioscan5m/images``.
        columns: roles to change or add; DNA columns are features only if they are named here and allowed by the audit.
        download: let bioscan-dataset fetch and verify what is missing (cropped_256 only).
        missing: texts that mean that a value is missing, such as NA; an empty cell always does.
    """

    capabilities = ("official_split", "download")

    def __init__(
        self,
        root: Path,
        rank: Rank = "species",
        subset: str = "seen",
        image_package: Literal["cropped_256", "original_256", "cropped", "original_full"] = "cropped_256",
        columns: dict[str, Role] | None = None,
        download: bool = False,
        missing: list[str] | None = None,
    ) -> None:
        self.root = root
        self.rank = rank
        self.subset = subset
        self.image_package = image_package
        self.columns = dict(columns or {})
        self.download = download
        self.missing = frozenset(missing or [])

    def load(self) -> Manifest:
        """Read the table; see `Source.load`.

        The package's data set class verifies the checksums of the genuine release; its table reader, used here, does
        not, so that subsets in the same layout can be read.
        """
        from bioscan_dataset import BIOSCAN5M, load_bioscan5m_metadata  # imports torch
        from bioscan_dataset.bioscan5m import COLUMN_DTYPES, VALID_SPLITS, explode_metasplit

        if self.download:
            arguments = {"root": str(self.root), "split": self.subset, "image_package": self.image_package}
            download(BIOSCAN5M, modality=("image",), **arguments)
        path = self.root / METADATA
        layout = f"{METADATA} and {IMAGES / self.image_package}/SPLIT/..."
        require_table(path, "BIOSCAN-5M", PAGE, layout)
        try:
            parts = explode_metasplit(self.subset, verify=True)
        except ValueError as error:
            raise DataError(f"data.subset: {' '.join(str(error).split())}") from error
        frame = read_release(load_bioscan5m_metadata, path, "data.subset", COLUMN_DTYPES, self.missing, split="all")
        release = Release(frame, frame["split"], frame["image_path"])
        if not parts >= set(VALID_SPLITS):
            release = only_parts(release, parts, VALID_SPLITS)
        if release.frame.empty:
            raise DataError(f"{path}: no specimen belongs to data.subset {self.subset!r}; choose other partitions.")
        image_root = self.root / IMAGES / self.image_package
        return to_manifest(release, self.rank, image_root, ROLES, self.columns, self.missing)
