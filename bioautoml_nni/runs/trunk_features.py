"""Features of a frozen trunk for all specimens of a run, computed once, and kept in half precision between runs.

A folder of the cache holds one file for each stage and view, and how many rows are done; a killed computation goes on
behind the last whole block.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from numpy.lib.format import open_memmap
from rich.console import Console

from ..config.schema import Augmentation
from ..data.image_store import Pixels
from ..features.request import FeatureRequest
from ..features.trunk import Trunk
from ..training.augment import ImageTransform
from ..utils.atomic import write_json
from ..utils.errors import DataError
from ..utils.progress import make_progress
from ..utils.seeding import derive_seed, undisturbed

BATCH = 64
BLOCK = 8
"""Images of one pass, and passes after which what is done is noted."""
REVISION = 1


@dataclass(frozen=True)
class StoredFeatures:
    """Features by name (``stage{S}`` and ``embedding``), for each view an array (N, ...) in half precision."""

    arrays: dict[str, list[np.ndarray]]

    @property
    def views(self) -> int:
        """How many augmented views there are beside the plain one."""
        return len(next(iter(self.arrays.values()))) - 1

    def batch(self, positions: np.ndarray, view: int = 0) -> dict[str, torch.Tensor]:
        """Return the features of rows; view 0 is that of the image as it is."""
        return {name: torch.from_numpy(views[view][positions]) for name, views in self.arrays.items()}


def stored_features(
    request: FeatureRequest, pixels: Pixels, digests: Sequence[str], size: int, folder: Path,
    augmentation: Augmentation, console: Console,
) -> StoredFeatures:  # fmt: skip
    """Return the features that a trunk reads, from the cache or computed now.

    Args:
        pixels: of all N images.
        digests: of their content; the features of other images are not mistaken for theirs.
        size: edge of the images in pixels.
        folder: of all caches.
        augmentation: of the views beside the plain one.

    Raises:
        DataError: if the cache cannot be written.
    """
    arrays: dict[str, list[np.ndarray]] = {}
    names = [*(f"stage{stage}" for stage in request.stages), *(["embedding"] if request.embedding else [])]
    images = hashlib.blake2b("".join(digests).encode(), digest_size=16).hexdigest()
    try:
        for view in range(1 + request.views):
            changes = json.dumps([view, augmentation.model_dump()]) if view else ""
            key = f"{REVISION}|{request.encoder.weights_digest}|{size}|{images}|{names}|{changes}"
            own = folder / f"{hashlib.blake2b(key.encode(), digest_size=10).hexdigest()}-features"
            own.mkdir(parents=True, exist_ok=True)
            with FileLock(own / "lock"):
                files = {name: own / f"{name}.npy" for name in names}
                done = json.loads((own / "done.json").read_text()) if (own / "done.json").is_file() else 0
                if done < len(digests) or not all(file.is_file() for file in files.values()):
                    _compute(request, pixels, len(digests), own, files, view, done, augmentation, console)
            for name, file in files.items():
                arrays.setdefault(name, []).append(np.load(file, mmap_mode="r"))
    except OSError as error:
        raise DataError(
            f"{folder}: the features of the trunk cannot be kept there ({error.strerror or error}); free space or set "
            "cache.folder to another disk."
        ) from error
    return StoredFeatures(arrays)


@torch.inference_mode()
def _compute(
    request: FeatureRequest, pixels: Pixels, count: int, folder: Path, files: dict[str, Path], view: int, done: int,
    augmentation: Augmentation, console: Console,
) -> None:  # fmt: skip
    trunk: Trunk = request.encoder.trunk(None if request.embedding else max(request.stages))
    trunk = trunk.to(memory_format=torch.channels_last)
    transform = ImageTransform(request.encoder.mean, request.encoder.std, augmentation).train(view > 0)
    if not all(file.is_file() for file in files.values()):
        done = 0
    arrays: dict[str, np.ndarray] = {}
    with make_progress(console) as progress, undisturbed():
        note = f"view {view}" if view else ""
        task = progress.add_task(f"features of {request.encoder.reference}", total=count, completed=done, note=note)
        for number, start in enumerate(range(done, count, BATCH)):
            rows = np.arange(start, min(start + BATCH, count))
            torch.manual_seed(derive_seed(view, "view", start))
            images = transform(torch.from_numpy(pixels.batch(rows)).permute(0, 3, 1, 2))
            for name, value in _features(trunk, request, images).items():
                if name not in arrays:
                    mode = "r+" if done else "w+"
                    arrays[name] = open_memmap(files[name], mode, np.float16, (count, *value.shape[1:]))
                arrays[name][rows] = value.half().numpy()
            progress.advance(task, len(rows))
            if number % BLOCK == BLOCK - 1:
                for array in arrays.values():
                    array.flush()  # type: ignore[attr-defined]
                write_json(folder / "done.json", int(rows[-1]) + 1)
        for array in arrays.values():
            array.flush()  # type: ignore[attr-defined]
    write_json(folder / "done.json", count)


def _features(trunk: Trunk, request: FeatureRequest, images: torch.Tensor) -> dict[str, torch.Tensor]:
    if request.embedding:
        embedding, maps = trunk.with_stages(images, request.stages)
        found = {"embedding": embedding}
    else:
        maps, found = trunk.feature_maps(images, request.stages), {}
    return {f"stage{stage}": value for stage, value in zip(request.stages, maps, strict=True)} | found
