"""The image cache: decoded pixels and facts of every image, kept between runs and checked before use.

One folder per image root and edge length holds ``pixels.u8`` (rows of S x S x 3 bytes) and ``index.sqlite`` (per
reference: size and time stamp of its file, row of its pixels with their checksum, and what the audit wants to know).
Several runs share it. A killed build loses at most its last block; a changed file or a damaged row is decoded again.
A process looks at every file and row once; its later stages trust what it saw, unless the pixels were written to since.
"""

from __future__ import annotations

import copy
import hashlib
import os
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
from filelock import FileLock

from ..utils.errors import DataError
from ..utils.remote import RemotePath
from ..utils.shard import Shard
from .caches import default_folder, idle_shards, make_room, shard_folder, with_shards
from .decoding import ImageReference, decode, read_bytes
from .file_stamps import stamps_below
from .image_files import Links
from .image_index import COLUMNS, TABLE, Entries, read_only, take_over
from .perceptual_hash import perceptual_hash
from .remote_images import READERS
from .verified import Verified, stamp_of

REVISION = 7
BLOCK = 1024

PASSING = ("pip install", "memory", "was stopped", "could not be fetched", "does not let it be read")
"""Words of reasons that may not hold another time."""

_verified = Verified()
_looking = threading.Lock()


class Pixels(Protocol):
    """Gives the pixels of images by their position in the list that it was made for.

    Attributes:
        workers: number of processes in which a loader should ask for them; 0 is the main process.
    """

    @property
    def workers(self) -> int: ...

    def batch(self, positions: np.ndarray) -> np.ndarray:
        """Return (N, S, S, 3) uint8."""
        ...


@dataclass(frozen=True)
class CachedPixels:
    """Pixels from the cache."""

    memory: np.ndarray
    rows: np.ndarray
    workers: int = 0

    def batch(self, positions: np.ndarray) -> np.ndarray:
        """Return (N, S, S, 3) uint8."""
        return self.memory[self.rows[positions]]


class DecodedPixels:
    """Pixels decoded from their files whenever they are asked for.

    Args:
        root: image root.
        references: image references.
        size: edge S of the squares.
        workers: number of processes that a loader should use.
    """

    def __init__(self, root: Path, references: Sequence[str], size: int, workers: int) -> None:
        self.root = root
        self.references = references
        self.size = size
        self.workers = workers

    def batch(self, positions: np.ndarray) -> np.ndarray:
        """Return (N, S, S, 3) uint8.

        Raises:
            DataError: if a file that could be read before has gone or changed.
        """
        squares = np.empty((len(positions), self.size, self.size, 3), np.uint8)
        for square, position in zip(squares, positions, strict=True):
            reference = ImageReference.parse(self.references[position])
            try:
                decode(read_bytes(self.root, reference), self.size, reference.box, square)
            except OSError as error:
                path = self.root / reference.path
                raise DataError(f"{path}: was readable before and is not now ({error}).") from error
        return squares


class ImageStore:
    """Images of one root at one size.

    Args:
        root: image root.
        size: edge S of the decoded squares.
        folder: folder of all caches; the user's own by default.
        max_gb: limit of that folder; the caches used longest ago go first. If the images do not fit at all, only
            facts are stored and pixels are decoded whenever they are needed.
        workers: number of threads.
        links: see `Border`.
    """

    def __init__(
        self, root: Path, size: int, folder: Path | None = None, max_gb: float = 20.0, workers: int | None = None,
        links: Links = "inside",
    ) -> None:  # fmt: skip
        self.root = root
        self.links = links
        self.size = size
        self.max_bytes = int(max_gb * 1e9)
        self.workers = workers or os.cpu_count() or 1
        self.readers = READERS if isinstance(root, RemotePath) else self.workers
        self.caches = folder or default_folder()
        key = hashlib.blake2b(f"{root.resolve()}|{size}|{REVISION}".encode(), digest_size=10).hexdigest()
        self.folder = self.cache = self.caches / f"{key}-{size}px"
        self.lock = FileLock(self.folder / "lock")
        self.images = 0

    def shard(self, shard: Shard, images: int) -> ImageStore:
        """Return the store of a shard: a folder of its own, which `ensure` of this one takes over.

        Args:
            images: number of images of all shards, for which there is to be room.
        """
        part = copy.copy(self)
        part.folder, part.images = shard_folder(self.folder, shard.number), images
        part.lock = FileLock(part.folder / "lock")
        return part

    @property
    def _pixels(self) -> Path:
        return self.folder / "pixels.u8"

    @property
    def _key(self) -> tuple[Path, int]:
        return self.folder, self.max_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes of one decoded image."""
        return self.size * self.size * 3

    def ensure(self, references: Sequence[str], advance: Callable[[int], None] = lambda count: None) -> pd.DataFrame:
        """Look at every file and row, decode what is missing, stale or damaged, and return the facts in this order.

        Args:
            advance: called with numbers of images as they are done.

        Returns:
            Columns ``reference``, ``row`` (-1: no pixels stored), ``width``, ``height``, ``digest`` (of the encoded
            bytes), ``phash`` (perceptual hash as int64), ``several`` (1 for the first of several images in a file)
            and ``failure`` (None for a readable image).

        Raises:
            DataError: if a reference leads out of the root, or the cache's disk is full.
        """
        facts = Entries(references)
        try:
            stamps = self._stamps(facts.references)
            self.folder.mkdir(parents=True, exist_ok=True)
            with self.lock, self._index() as index:
                os.utime(self.folder)
                before = stamp_of(self._pixels)
                needed = max(len(stamps), self.images) * self.row_bytes
                keeps_pixels = make_room(self.caches, with_shards(self.cache), needed, self.max_bytes)
                for folder in idle_shards(self.folder):
                    take_over(index, self._pixels, folder / "index.sqlite", folder / "pixels.u8", self.row_bytes)
                sound = self._sound(facts.read(index), keeps_pixels)
                todo = np.flatnonzero(~(sound & (facts.stamps() == stamps).all(axis=1)) | (stamps[:, 0] < 0))
                advance(len(references) - len(todo))
                if len(todo):
                    self._build(index, facts, todo, stamps, keeps_pixels, advance)
                found = facts.table()
                _verified.remember(self._key, found, before, stamp_of(self._pixels))
        except OSError as error:
            raise DataError(
                f"{self.folder}: the image cache cannot be written ({error.strerror or error}); free space or set "
                "cache.folder to another disk. What was decoded so far is kept."
            ) from error
        if len(found) < len(references):  # some come twice
            found = found.iloc[found.index.get_indexer(pd.Index(references, dtype=object))]
        return found.reset_index()

    def there(self, references: Sequence[str], keeps_pixels: bool = True) -> int:
        """Return how many of the images are stored under the size and time stamp that their files have now; nothing is
        written, and rows are not compared with their checksums.

        Args:
            keeps_pixels: whether pixels are wanted, too; else facts are enough.
        """
        facts = Entries(references)
        for folder in with_shards(self.folder):
            try:
                with closing(read_only(folder / "index.sqlite")) as index:
                    facts.read(index, f"failure IS NULL AND row >= {0 if keeps_pixels else -1}")
            except sqlite3.DatabaseError:  # there is none, or it is rebuilt
                continue
        stamps = self._stamps(facts.references[facts.known])
        return int((facts.stamps()[facts.known] == stamps).all(axis=1).sum())

    def current(self, references: Sequence[str]) -> pd.DataFrame:
        """Return the facts of images that are stored, pixels too, as their files are now; nothing is written."""
        facts = Entries(references)
        try:
            with closing(read_only(self.folder / "index.sqlite")) as index:
                facts.read(index, "row >= 0")
        except sqlite3.DatabaseError:
            return pd.DataFrame(columns=list(COLUMNS))
        sound = np.flatnonzero(self._sound(facts, True))
        stamps = self._stamps(facts.references[sound])
        return facts.table().iloc[sound[(facts.stamps()[sound] == stamps).all(axis=1)]].reset_index()

    def verified(self, references: Sequence[str]) -> pd.DataFrame:
        """Return what `ensure` does, without looking again at images that this process has looked at.

        Raises:
            DataError: see `ensure`.
        """
        with _looking:
            facts = _verified.recall(self._key, references, stamp_of(self._pixels))
            return self.ensure(references) if facts is None else facts

    def pixels(self, facts: pd.DataFrame) -> Pixels:
        """Return a reader for images with these facts, all of them readable."""
        rows = facts["row"].to_numpy(np.int64)
        if (rows < 0).any():
            return DecodedPixels(self.root, facts["reference"].tolist(), self.size, self.workers)
        return CachedPixels(self._memory(), rows)

    @contextmanager
    def _index(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.folder / "index.sqlite")
        try:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {TABLE}")
        except sqlite3.DatabaseError:  # damaged: nothing in it can be trusted
            connection.close()
            for name in ("index.sqlite", "pixels.u8"):
                (self.folder / name).unlink(missing_ok=True)
            with self._index() as fresh:
                yield fresh
            return
        try:
            yield connection
        except sqlite3.OperationalError as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def _memory(self) -> np.ndarray:
        path = self._pixels
        count = path.stat().st_size // self.row_bytes if path.is_file() else 0
        if not count:
            return np.zeros((0, self.size, self.size, 3), np.uint8)
        return np.memmap(path, np.uint8, "r", shape=(count, self.size, self.size, 3))

    def _sound(self, facts: Entries, keeps_pixels: bool) -> np.ndarray:
        """Return whether each image is known (N,), its pixels whole and, if they are wanted, there.

        What failed for want of a decoder, memory or time is tried again: there may be more of it now.
        """
        known = facts.table()
        rows, checksums = known["row"].to_numpy(), known["checksum"].to_numpy()
        failed = known["failure"].notna().to_numpy()
        memory = np.asarray(self._memory())  # rows of a memmap are objects that cost more than their checksums
        good = failed | (facts.known & (rows < 0) & (not keeps_pixels))
        good[failed] = [not any(word in reason for word in PASSING) for reason in known["failure"][failed]]
        candidates = np.flatnonzero((rows >= 0) & (rows < len(memory)))
        candidates = candidates[np.argsort(rows[candidates])]  # as they lie on the disk

        def check(block: np.ndarray) -> None:
            good[block] = np.array([zlib.crc32(memory[row]) for row in rows[block].tolist()]) == checksums[block]

        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(check, np.array_split(candidates, max(1, len(candidates) // BLOCK))))
        return good

    def _stamps(self, references: pd.Index) -> np.ndarray:
        """Return size and time stamp of each image's file (N, 2), -1 where it cannot be read.

        Raises:
            DataError: if a reference leads out of the root.
        """
        return stamps_below(self.root, references, self.links, self.workers)

    def _build(
        self,
        index: sqlite3.Connection,
        facts: Entries,
        todo: np.ndarray,
        stamps: np.ndarray,
        keeps_pixels: bool,
        advance: Callable[[int], None],
    ) -> None:
        flags = os.O_WRONLY | os.O_CREAT
        first = int(index.execute("SELECT coalesce(max(row), -1) + 1 FROM images").fetchone()[0])
        file = os.open(self._pixels, flags, 0o644)
        try:
            with ThreadPoolExecutor(self.readers) as pool:
                for start in range(0, len(todo), BLOCK):
                    block = todo[start : start + BLOCK]

                    def one(place: int, row: int) -> tuple[object, ...]:
                        stamp = None if stamps[place, 0] < 0 else (int(stamps[place, 0]), int(stamps[place, 1]))
                        return self._store(file, facts.references[place], stamp, row)

                    rows = range(first + start, first + start + len(block)) if keeps_pixels else [-1] * len(block)
                    entries: list[tuple[object, ...]] = []
                    try:
                        for entry in pool.map(one, block, rows):
                            entries.append(entry)
                    finally:  # a host may fail in the middle of a block
                        os.fsync(file)
                        marks = ", ".join("?" * len(COLUMNS))
                        with index:
                            index.executemany(f"INSERT OR REPLACE INTO images VALUES ({marks})", entries)
                        facts.put(entries)
                    advance(len(block))
        finally:
            os.close(file)

    def _store(self, file: int, text: str, stamp: tuple[int, int] | None, row: int) -> tuple[object, ...]:
        """Decode one image, write its pixels to `row` and return its entry in the index."""
        reference, data = ImageReference.parse(text), b""
        try:
            data = read_bytes(self.root, reference, -1 if stamp is None else stamp[0])
            image = decode(data, self.size, reference.box)
        except FileNotFoundError:
            return text, -1, -1, -1, None, None, None, 0, 0, 0, "the file is missing"
        except OSError as error:
            reason = (error.strerror or str(error)).replace(str(self.root / reference.path), reference.path)
            return text, -1, *(stamp or (-1, -1)), None, None, _digest(data), 0, 0, 0, reason
        pixels = image.square.tobytes()
        if row >= 0:
            os.pwrite(file, pixels, row * self.row_bytes)
        digest = _digest(data + repr(reference.box).encode() if reference.box else data)
        phash = perceptual_hash(image.square)
        facts = (image.width, image.height, digest, phash, zlib.crc32(pixels), int(image.several))
        return text, row, *(stamp or (-1, -1)), *facts, None


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
