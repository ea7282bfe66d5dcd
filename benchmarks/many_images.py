"""The image store's bookkeeping for many files: python benchmarks/many_images.py [--images 100000 300000 1000000]

Makes so many files below a temporary folder, 10,000 in each of its folders, a hundred by hard links to each of some
sparse ones, so that they take little room (names and inodes are in the system's memory, as in a second command on the
same images; a cold disk is not measured). A table names them in no order. The store is filled by its own code, but that
random squares stand in for decoded pixels; of more than 300,000 images the same entries are written directly. Then each
size goes, in a process of its own, through what commands do beside decoding and training: names found, files listed,
store filled, looked at again by a later command, by a later stage of the same process, and by `estimate`, a shard taken
over, digests, the first batch of an epoch, twins.
Prints seconds of wall clock and of processor, images a second, peak memory above the start (bytes an image), and the
exponents of the processor's seconds. Written to benchmarks/out/many_images.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kept import keep
from many_rows import Steps, apart, show

from bioautoml_nni.audit.images import image_findings
from bioautoml_nni.data import image_store
from bioautoml_nni.data.dataset import SpecimenDataset, make_loader
from bioautoml_nni.data.decoding import DecodedImage, ImageReference, read_bytes
from bioautoml_nni.data.finding import ImageFinder
from bioautoml_nni.data.image_files import list_images
from bioautoml_nni.data.image_index import COLUMNS, longest_sides
from bioautoml_nni.data.image_store import ImageStore
from bioautoml_nni.data.manifest import ID, LABEL
from bioautoml_nni.data.metadata import EncodedMetadata
from bioautoml_nni.runs.places import images_digest
from bioautoml_nni.utils.shard import Shard

IN_A_FOLDER = 10_000
LINKS = 100
EDGE = 8
"""Pixels of a stored square: checksums of larger ones take as much longer as they have more bytes."""
SHARDS = 8
"""Of which one is taken over."""
BY_ITSELF = 300_000
"""Most images that the store's own code fills it with; the same entries of more are written directly."""


def name_of(number: int) -> str:
    return f"{number // IN_A_FOLDER:03d}/BIOUG{number:08d}.jpg"


def make_files(root: Path, count: int) -> None:
    """Make files of a few hundred bytes, beside those that are there."""
    for first in range(0, count, IN_A_FOLDER):
        folder = os.path.dirname(f"{root}/{name_of(first)}")
        os.makedirs(folder, exist_ok=True)
        for number in range(first + len(os.listdir(folder)), min(count, first + IN_A_FOLDER)):
            if number % LINKS:
                os.link(f"{root}/{name_of(number - number % LINKS)}", f"{root}/{name_of(number)}")
                continue
            file = os.open(f"{root}/{name_of(number)}", os.O_WRONLY | os.O_CREAT, 0o644)
            os.ftruncate(file, 100 + number // LINKS % 900)
            os.close(file)


def without_decoding() -> None:
    """Let random squares stand in for decoded pixels, and names for the content of files, which is read as well."""
    noise = np.random.default_rng(0).integers(0, 256, 1 << 24, dtype=np.uint8)
    read = {"images": 0}

    def decoded(data: bytes, size: int, box: object = None, into: object = None) -> DecodedImage:
        read["images"] += 1
        start = read["images"] * 7919 % (len(noise) - size * size * 3)
        return DecodedImage(noise[start : start + size * size * 3].reshape(size, size, 3), 256, 192)

    def content(root: Path, reference: ImageReference, size: int = -1) -> bytes:
        return read_bytes(root, reference, size) + reference.path.encode()

    image_store.decode, image_store.read_bytes = decoded, content


def names_of(count: int) -> list[str]:
    """Return the names of images in no order, as a table may have them."""
    return [name_of(number) for number in np.random.default_rng(1).permutation(count).tolist()]


def store_of(root: Path, count: int) -> ImageStore:
    return ImageStore(root, EDGE, root.parent / f"cache-{count}")


def write_directly(store: ImageStore, names: list[str]) -> None:
    """Write what `ensure` would, of the same files, by the same statement."""
    random, marks = np.random.default_rng(2), ", ".join("?" * len(COLUMNS))
    store.folder.mkdir(parents=True)
    with store._index() as index, open(store.folder / "pixels.u8", "wb") as file:
        for start in range(0, len(names), IN_A_FOLDER):
            block = names[start : start + IN_A_FOLDER]
            squares = random.integers(0, 256, (len(block), store.row_bytes), dtype=np.uint8)
            hashes, entries = random.integers(-(2**63), 2**63 - 1, len(block)).tolist(), []
            for place, name in enumerate(block):
                status, digest = os.stat(store.root / name.partition("#")[0]), f"{start + place:032x}"
                stamp, checksum = (status.st_size, status.st_mtime_ns), zlib.crc32(squares[place])
                entries.append((name, start + place, *stamp, 256, 192, digest, hashes[place], checksum, 0, None))
            squares.tofile(file)
            with index:
                index.executemany(f"INSERT INTO images VALUES ({marks})", entries)


def fill(root: Path, count: int, queue: Any) -> None:
    """What `check` and `prepare` do with a new table."""
    without_decoding()
    names = names_of(count)
    steps, store = Steps(count), store_of(root, count)
    steps.run("names found", lambda: ImageFinder(root).find_apart(names))
    steps.run("files listed", lambda: list_images(root))
    part = store.shard(Shard(1, SHARDS), count)
    own = [f"{name}#0,0,9,9" for name in names[::SHARDS]]
    if count <= BY_ITSELF:
        steps.run("store filled, without decoding", lambda: store.ensure(names))
        part.ensure(own)
    else:
        write_directly(store, sorted(names))
        write_directly(part, sorted(own))
    steps.run("a shard of an eighth taken over", lambda: store.ensure([]))
    queue.put(steps.found)


def look_again(root: Path, count: int, queue: Any) -> None:
    """What later commands do, in a fresh process."""
    names = names_of(count)
    steps, store = Steps(count), store_of(root, count)
    steps.run("how large images are", lambda: longest_sides([store.folder / "index.sqlite"], set(names)))
    steps.run("counted by estimate", lambda: store.there(names))
    facts = steps.run("looked at again", lambda: store.ensure(names))
    steps.run("known from before", lambda: store.verified(names))
    steps.run("digest of the images", lambda: images_digest(facts))
    pixels = store.pixels(facts)
    nothing = EncodedMetadata(*(np.zeros((count, 0), kind) for kind in (np.float32, np.int64, np.float32)))
    data = SpecimenDataset(pixels, nothing, np.arange(count) % 100, np.arange(count))
    steps.run("first batch of an epoch", lambda: next(iter(make_loader(data, 64, shuffle=True))))
    steps.run("first batch, balanced", lambda: next(iter(make_loader(data, 64, shuffle=True, balance=1.0))))
    table, half = pd.DataFrame({ID: names, LABEL: "fly"}), np.arange(count) % 2 == 0
    steps.run("twins", partial(image_findings, table, facts, pixels, half, ~half))
    queue.put(steps.found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where a temporary folder is made, by default the system's own")
    arguments = parser.parse_args()
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        for count in sorted(arguments.images):
            root = Path(name) / "images"
            make_files(root, count)
            for steps in (fill, look_again):
                found += apart(steps, root, count)
    show(found)
    keep("many_images", found)


if __name__ == "__main__":
    main()
