"""Reading of folders in BIOSCAN-5M's own layout through the bioscan-dataset package."""

from __future__ import annotations

from pathlib import Path

from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role
from ..errors import DataError

METADATA = Path("bioscan5m/metadata/csv/BIOSCAN_5M_Insect_Dataset_metadata.csv")
IMAGES = Path("bioscan5m/images")
FEATURES: dict[str, Role] = {
    "country": "categorical",
    "province_state": "categorical",
    "coord-lat": "latitude",
    "coord-lon": "longitude",
    "image_measurement_value": "size",
    "area_fraction": "numeric",
    "scale_factor": "numeric",
}
"""The seven columns that neither state, determine nor follow from the identification."""


def read_bioscan5m(root: Path, rank: str, split: str = "seen", package: str = "cropped_256") -> Manifest:
    """Read a BIOSCAN-5M folder, complete or a subset.

    The package's data set class verifies the checksums of the genuine release; its table reader, used here, does
    not, so that subsets in the same layout can be read.

    Args:
        root: folder that holds ``bioscan5m/``.
        rank: label column: phylum, class, order, family, subfamily, genus or species.
        split: partition or a sum of partitions, in the package's own notation.
        package: image package, the folder below ``images``.

    Raises:
        DataError: if the table is missing or no row is labelled at `rank`.
    """
    from bioscan_dataset import load_bioscan5m_metadata  # imports torch, which processes that only draw do not need

    path = root / METADATA
    if not path.is_file():
        raise DataError(f"{path}: there is no BIOSCAN-5M table; check data.root.")
    frame = load_bioscan5m_metadata(path, split=split)
    labelled = frame[frame[rank].notna()]
    if labelled.empty:
        raise DataError(f"{path}: no specimen of split {split!r} is labelled at rank {rank!r}; choose another rank.")
    table = labelled[list(FEATURES)].copy()
    table.insert(0, SPLIT, labelled["split"].astype(object))
    table.insert(0, LABEL, labelled[rank].astype(object))
    table.insert(0, IMAGE, labelled["image_path"].astype(object))
    table.insert(0, ID, labelled["processid"].astype(object))
    for name in ("country", "province_state"):
        table[name] = table[name].astype(object)
    notes = [f"{len(frame) - len(labelled)} specimens without a {rank} left out."] if len(frame) > len(labelled) else []
    return Manifest(table.reset_index(drop=True), root / IMAGES / package, dict(FEATURES), rank=rank, notes=notes)
