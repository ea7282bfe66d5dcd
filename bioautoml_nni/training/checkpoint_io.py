"""How a training state comes to the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from ..utils.atomic import replacing


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it when it is whole.

    Lightning's own writes to the system's folder for temporary files, where a kill leaves it for good, copies from
    there where that is another file system, and holds all of it in memory once more.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write it."""
        with (
            replacing(Path(path)) as temporary,
            temporary.open("wb") as file,
        ):  # torch would write a path's name into it
            torch.save(checkpoint, file)
