"""A data format."""

from pathlib import Path

import pandas as pd

from bioautoml_nni.data.manifest import ID, IMAGE, LABEL, Manifest
from bioautoml_nni.utils.errors import DataError


class FileNames:
    """Images in one folder, named LABEL_ANYTHING.png."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    def load(self) -> Manifest:
        names = sorted(path.name for path in self.root.glob("*_*.png"))
        if not names:
            raise DataError(f"{self.root} has no file named LABEL_ANYTHING.png; give the folder with the images.")
        labels = [name.partition("_")[0] for name in names]
        return Manifest(pd.DataFrame({ID: names, IMAGE: names, LABEL: labels}), self.root, roles={}, rank="label")
