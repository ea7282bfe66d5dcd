"""The feature store: what a frozen encoder makes of images, computed once per image content, kept between runs.

Beside the image caches lies one folder for each encoder, its weights, edge length and output, with ``values.f16`` (rows
in half precision) and ``index.sqlite`` (for each image content and view its row and the row's checksum). Several runs
share it; a killed pass loses at most its last block; what was made with other weights is never found; a damaged row is
computed again.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from filelock import FileLock

from ..data.caches import append_rows, default_folder, idle_shards, make_room, shard_folder, with_shards
from ..data.image_store import REVISION as IMAGE_REVISION
from ..data.image_store import Pixels
from ..utils.errors import DataError
from ..utils.shard import Shard

if TYPE_CHECKING:
    from torch import Tensor

    from .encoder import Encoder

REVISION = 1
BLOCK = 256
BATCH = 32
VALUES = "values.f16"
POOLED = "pooled"
"""The output that holds the embedding and, before it, the mean over h and w of every stage's map."""

Output = str | int
"""`POOLED`, or the index of a stage whose maps are wanted."""


@dataclass(frozen=True)
class Features:
    """One output for N images in V views.

    Attributes:
        values: stored rows (R, ...) float16.
        rows: of each image and view (N, V).
        widths: of POOLED, how many columns each stage has, and at last the embedding.
    """

    values: np.ndarray
    rows: np.ndarray
    widths: tuple[int, ...] = ()

    def batch(self, positions: np.ndarray, view: int = 0) -> np.ndarray:
        """Return float32 features of images by their position: (n, D), or maps (n, C, h, w)."""
        return self.values[self.rows[positions, view]].astype(np.float32)

    def pooled(self, stages: Sequence[int], view: int = 0) -> np.ndarray:
        """Return of POOLED the columns of stages, then the embedding, for all images: (N, D) float32."""
        edges = np.cumsum([0, *self.widths])
        wanted = [*stages, len(self.widths) - 1]
        columns = np.concatenate([np.arange(edges[index], edges[index + 1]) for index in wanted])
        return self.values[self.rows[:, view]][:, columns].astype(np.float32)


class FeatureStore:
    """Features of one encoder at one edge length.

    Args:
        encoder: with its weights.
        size: edge S of the images in pixels.
        folder: of all caches; the user's own by default.
        max_gb: limit of that folder; what was used longest ago goes first.
    """

    def __init__(self, encoder: Encoder, size: int, folder: Path | None = None, max_gb: float = 20.0) -> None:
        self.encoder = encoder
        self.size = size
        self.caches = folder or default_folder()
        self.max_bytes = int(max_gb * 1e9)

    def folder(self, output: Output) -> Path:
        """Return where an output is kept; another encoder, other weights or another size has another place."""
        facts = f"{self.encoder.weights_digest}|{self.size}|{output}|{REVISION}|{IMAGE_REVISION}"
        key = hashlib.blake2b(facts.encode(), digest_size=10).hexdigest()
        return self.caches / f"{key}-{self.size}px-features"

    def ensure(
        self,
        digests: Sequence[str],
        pixels: Pixels,
        outputs: Sequence[Output] = (POOLED,),
        views: int = 1,
        advance: Callable[[int], None] = lambda count: None,
    ) -> dict[Output, Features]:
        """Compute what is missing or damaged, in one pass for all outputs, and return all.

        Args:
            digests: of the content of N images.
            pixels: of the same images, squares of edge `size`.
            views: the first so many of the eight; see `seen`.
            advance: called with numbers of images in all their views as they are done.

        Raises:
            DataError: if they do not fit the cache's limit, or its disk is full; what is complete is kept.
        """
        wanted = [(digest, view) for digest in digests for view in range(views)]
        with self._shelves(outputs) as shelves:
            self._require_room(shelves.values(), len(set(wanted)))
            for shelf in shelves.values():
                shelf.take_over_shards()
            known = {output: shelf.sound() for output, shelf in shelves.items()}
            self._fill(shelves, known, digests, pixels, views, advance)
            widths = self._widths() if POOLED in shelves else ()
            return {
                output: Features(
                    shelf.values(),
                    np.array([known[output][key] for key in wanted], np.int64).reshape(len(digests), views),
                    widths if output == POOLED else (),
                )
                for output, shelf in shelves.items()
            }

    def lacking(self, digests: Sequence[str], outputs: Sequence[Output], views: int) -> int:
        """Return how many images in how many views are not stored with all outputs; nothing is computed or written."""
        wanted = {(digest, view) for digest in digests for view in range(views)}
        found = set(wanted)
        for output in outputs:
            found &= _stored(self.folder(output))
        return len(wanted) - len(found)

    def row_bytes(self, outputs: Sequence[Output]) -> int:
        """Return what one image in one view takes with all outputs."""
        return sum(2 * int(np.prod(shape)) for shape in self._shapes(outputs).values())

    def fill_shard(
        self,
        shard: Shard,
        images: int,
        digests: Sequence[str],
        pixels: Pixels,
        outputs: Sequence[Output],
        views: int,
        advance: Callable[[int], None] = lambda count: None,
    ) -> None:
        """Compute what neither the store nor the shard has, in the shard's own folders, which `ensure` takes over.

        Args:
            images: number of images of all shards, for which there is to be room.
            digests, pixels: of the shard's images.
            outputs, views, advance: see `ensure`.

        Raises:
            DataError: see `ensure`.
        """
        with self._shelves(outputs, shard) as shelves:
            self._require_room(shelves.values(), images * views)
            known = {
                output: dict.fromkeys(_stored(self.folder(output)), -1) | shelf.sound()
                for output, shelf in shelves.items()
            }
            self._fill(shelves, known, digests, pixels, views, advance)

    @contextmanager
    def _shelves(self, outputs: Sequence[Output], shard: Shard | None = None) -> Iterator[dict[Output, _Shelf]]:
        """Open the folder of each output, or its shard's, for this process alone."""
        shapes = self._shapes(outputs)
        try:
            with ExitStack() as stack:
                yield {
                    output: stack.enter_context(_shelf(self.folder(output), shapes[output], shard))
                    for output in outputs
                }
        except (OSError, sqlite3.OperationalError) as error:
            raise DataError(
                f"{self.caches}: the feature store cannot be written ({getattr(error, 'strerror', None) or error}); "
                "free space or set cache.folder to another disk. What was computed so far is kept."
            ) from error

    def _fill(
        self,
        shelves: Mapping[Output, _Shelf],
        known: Mapping[Output, dict[tuple[str, int], int]],
        digests: Sequence[str],
        pixels: Pixels,
        views: int,
        advance: Callable[[int], None],
    ) -> None:
        """Compute what is not known, in one pass for all outputs, and add it to what is known."""
        wanted = [(digest, view) for digest in digests for view in range(views)]
        first = {digest: position for position, digest in reversed(list(enumerate(digests)))}
        missing = [key for key in dict.fromkeys(wanted) if any(key not in rows for rows in known.values())]
        advance(len(digests) - len(missing) // views)
        for start in range(0, len(missing), BLOCK):
            block = missing[start : start + BLOCK]
            found = self._compute(pixels, [(first[digest], view) for digest, view in block], list(shelves))
            for output, shelf in shelves.items():
                shelf.append(block, found[output], known[output])
            advance(min(len(missing), start + BLOCK) // views - start // views)

    def _require_room(self, shelves: Collection[_Shelf], rows: int) -> None:
        needed = sum(rows * shelf.row_bytes for shelf in shelves)
        own = [folder for shelf in shelves for folder in with_shards(shelf.cache)]
        if not make_room(self.caches, own, needed, self.max_bytes):
            raise DataError(
                f"cache.max_gb: the features of {rows} images and views take {needed / 1e9:.2g} GB, more than "
                f"{self.max_bytes / 1e9:g}; raise it, or ask for fewer views or a later stage."
            )

    def _compute(
        self, pixels: Pixels, wanted: Sequence[tuple[int, int]], outputs: Sequence[Output]
    ) -> dict[Output, np.ndarray]:
        import torch

        parts: dict[Output, list[np.ndarray]] = {output: [] for output in outputs}
        for start in range(0, len(wanted), BATCH):
            keys = wanted[start : start + BATCH]
            images = torch.from_numpy(pixels.batch(np.array([position for position, _ in keys]))).permute(0, 3, 1, 2)
            images = torch.stack([seen(image, view) for image, (_, view) in zip(images, keys, strict=True)])
            for output, values in self._outputs(images, outputs).items():
                parts[output].append(_half(values, self.encoder.reference).cpu().numpy())
        return {output: np.concatenate(values) for output, values in parts.items()}

    def _outputs(self, images: Tensor, outputs: Sequence[Output]) -> dict[Output, Tensor]:
        """Return outputs for uint8 images (N, 3, S, S), in one pass up to the last stage that is needed."""
        import torch

        maps = [output for output in outputs if isinstance(output, int)]
        pooled = POOLED in outputs
        trunk = self.encoder.loaded(None if pooled else max(maps))
        device = next(trunk.parameters()).device
        stages = list(range(self._count)) if pooled else maps
        with torch.inference_mode():
            inputs = self.encoder.normalise(images.to(device)).contiguous(memory_format=torch.channels_last)
            if pooled:
                embedding, found = trunk.with_stages(inputs, stages)
            else:
                found = trunk.feature_maps(inputs, stages)
            result: dict[Output, Tensor] = {stage: found[stages.index(stage)] for stage in maps}
            if pooled:
                result[POOLED] = torch.cat([*(features.float().mean((2, 3)) for features in found), embedding], 1)
        return result

    @property
    def _count(self) -> int:
        return self.encoder.loaded(None).count_stages()

    def _shapes(self, outputs: Sequence[Output]) -> dict[Output, tuple[int, ...]]:
        """Return the shape of one row of each output."""
        import torch

        empty = torch.zeros(1, 3, self.size, self.size, dtype=torch.uint8)
        return {output: tuple(values.shape[1:]) for output, values in self._outputs(empty, outputs).items()}

    def _widths(self) -> tuple[int, ...]:
        """Return how many columns of POOLED each stage has, and the embedding."""
        import torch

        trunk = self.encoder.loaded(None)
        empty = torch.zeros(1, 3, self.size, self.size, dtype=torch.uint8).to(next(trunk.parameters()).device)
        with torch.inference_mode():
            embedding, maps = trunk.with_stages(self.encoder.normalise(empty), range(self._count))
        return (*(features.shape[1] for features in maps), embedding.shape[1])


def _half(values: Tensor, reference: str) -> Tensor:
    """Return features in half precision.

    Raises:
        DataError: if some are not finite in it.
    """
    half = values.half()
    if not bool(half.isfinite().all()):
        raise DataError(
            f"encoder {reference}: makes features of these images that are not finite, or larger than 65,504, which "
            "cannot be kept; choose another encoder, an earlier stage, or train it along (space.trunk.frozen: false)."
        )
    return half


def seen(image: Tensor, view: int) -> Tensor:
    """Return one of the eight views of a square image (C, S, S), or of a map.

    They are: unchanged, mirrored, upside down, turned by half, and these four transposed.
    """
    if view & 1:
        image = image.flip(-1)
    if view & 2:
        image = image.flip(-2)
    return image.transpose(-1, -2) if view & 4 else image


class _Shelf:
    """The rows of one output, or of a shard of it, whose output is kept in the folder `cache`."""

    def __init__(self, cache: Path, folder: Path, shape: tuple[int, ...], index: sqlite3.Connection) -> None:
        self.cache = cache
        self.folder = folder
        self.shape = shape
        self.index = index
        self.row_bytes = 2 * int(np.prod(shape))

    def values(self) -> np.ndarray:
        """Return all rows that the file holds (R, *shape) float16."""
        path = self.folder / VALUES
        count = path.stat().st_size // self.row_bytes if path.is_file() else 0
        if not count:
            return np.zeros((0, *self.shape), np.float16)
        return np.memmap(path, np.float16, "r", shape=(count, *self.shape))

    def sound(self) -> dict[tuple[str, int], int]:
        """Return the row of each content and view whose values are what was written."""
        values = self.values()
        entries = self.index.execute("SELECT digest, view, row, checksum FROM features").fetchall()
        return {
            (digest, view): row
            for digest, view, row, checksum in entries
            if row < len(values) and zlib.crc32(values[row]) == checksum
        }

    def take_over_shards(self) -> None:
        """Add what shards have, values first, so that a kill costs no more than their copy; they are removed."""
        for shard in idle_shards(self.folder):
            here = _stored(self.folder)
            new = [entry for entry in _entries(shard) if entry[:2] not in here]
            if not new or not (shard / VALUES).is_file():
                continue
            start = self._end()
            append_rows(shard / VALUES, self.folder / VALUES, start * self.row_bytes)
            with self.index:
                moved = [(digest, view, start + row, checksum) for digest, view, row, checksum in new]
                self.index.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?)", moved)

    def _end(self) -> int:
        return int(self.index.execute("SELECT coalesce(max(row), -1) + 1 FROM features").fetchone()[0])

    def append(self, keys: Sequence[tuple[str, int]], values: np.ndarray, known: dict[tuple[str, int], int]) -> None:
        """Write the rows that are not known yet, first the values, then where they are; add them to `known`."""
        missing = [number for number, key in enumerate(keys) if key not in known]
        start = self._end()
        entries = []
        with open(self.folder / VALUES, "r+b" if (self.folder / VALUES).is_file() else "w+b") as file:
            for row, number in enumerate(missing, start):
                content = values[number].tobytes()
                file.seek(row * self.row_bytes)
                file.write(content)
                entries.append((*keys[number], row, zlib.crc32(content)))
                known[keys[number]] = row
            file.flush()
            os.fsync(file.fileno())
        with self.index:
            self.index.executemany("INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?)", entries)


@contextmanager
def _shelf(cache: Path, shape: tuple[int, ...], shard: Shard | None) -> Iterator[_Shelf]:
    """Open an output's folder, or its shard's, for this process alone; a damaged index takes its values with it."""
    folder = cache if shard is None else shard_folder(cache, shard.number)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        os.utime(folder)
        table = "CREATE TABLE IF NOT EXISTS features (digest, view, row, checksum, PRIMARY KEY (digest, view))"
        index = sqlite3.connect(folder / "index.sqlite")
        try:
            index.execute(table)
        except sqlite3.OperationalError:
            index.close()
            raise
        except sqlite3.DatabaseError:
            index.close()
            for name in ("index.sqlite", VALUES):
                (folder / name).unlink(missing_ok=True)
            index = sqlite3.connect(folder / "index.sqlite")
            index.execute(table)
        try:
            yield _Shelf(cache, folder, shape, index)
        finally:
            index.close()


def _entries(folder: Path) -> list[tuple[str, int, int, int]]:
    """Return content, view, row and checksum of what a folder holds; nothing of a missing or damaged index.

    Raises:
        sqlite3.OperationalError: if it cannot be read now.
    """
    file = folder / "index.sqlite"
    if not file.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as index:
            if not index.execute("SELECT 1 FROM sqlite_master WHERE name = 'features'").fetchone():
                return []
            return index.execute("SELECT digest, view, row, checksum FROM features").fetchall()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        return []


def _stored(folder: Path) -> set[tuple[str, int]]:
    """Return the contents and views that a folder holds; nothing if that cannot be read now."""
    try:
        return {(digest, view) for digest, view, _, _ in _entries(folder)}
    except sqlite3.OperationalError:
        return set()
