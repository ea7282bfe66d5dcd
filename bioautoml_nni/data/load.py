"""From an experiment to the table of its source, and to the store of its images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..config import Experiment
from ..registry import get
from ..utils.errors import DataError, PluginError
from .caches import with_shards
from .classes import with_classes
from .image_index import longest_sides
from .image_store import ImageStore
from .manifest import ID, Manifest, contract_fault
from .sizing import natural_size

LOOK = 32
"""Pixels at which images are looked at to learn how large they are."""


def load_manifest(experiment: Experiment) -> Manifest:
    """Return what the experiment's source reads, with the labels of classes.

    Raises:
        DataError: for files that cannot be read, and for an id that several specimens have.
        PluginError: if the source gives something else than its contract says.
    """
    settings = experiment.data
    source = get("sources", settings.source).target(settings.root, **settings.arguments)
    if hasattr(source, "identifiers"):
        source.identifiers = frozenset(name for name in (settings.split.group, settings.split.column) if name)
    if hasattr(source, "links"):
        source.links = settings.links
    manifest: Manifest = source.load()
    if fault := contract_fault(manifest):
        told = get("sources", settings.source).told
        raise PluginError(f"{told}: {fault}; correct it, or read the data by another source.")
    ids = manifest.table[ID]
    if ids.duplicated().any():
        count, first = int(ids.duplicated(keep=False).sum()), ids[ids.duplicated()].iloc[0]
        raise DataError(
            f"{settings.root or settings.source}: {count} specimens share an id with another (such as {first!r}), but "
            "a run's files are joined by id; give each specimen one of its own."
        )
    return with_classes(manifest, settings)


def image_store(experiment: Experiment, image_root: Path, size: int, workers: int | None = None) -> ImageStore:
    """Return the image cache that an experiment uses.

    Args:
        size: edge of the images; see `image_size`.
        workers: number of threads; as many as there are CPUs if None.
    """
    cache = experiment.cache
    return ImageStore(image_root, size, cache.folder, cache.max_gb, workers, experiment.data.links)


def image_size(experiment: Experiment, image_root: Path, references: Sequence[str]) -> int:
    """Return the edge in pixels that images get: as configured, or for "auto" the encoder's, bounded by what they hold.

    Raises:
        DataError: if a path leads out of the image root.
    """
    configured = experiment.data.image_size
    if configured != "auto":
        return configured
    facts = image_store(experiment, image_root, LOOK).ensure(references)
    sides = facts.loc[facts["failure"].isna(), ["width", "height"]].max(axis=1)
    return _natural(experiment, sides.to_numpy(float))


def known_image_size(experiment: Experiment, image_root: Path, references: Sequence[str]) -> int | None:
    """Return what `image_size` does if the cache and its shards tell; None for "auto" before a look at all images."""
    configured = experiment.data.image_size
    if configured != "auto":
        return configured
    folders = with_shards(image_store(experiment, image_root, LOOK).folder)
    sides = longest_sides([folder / "index.sqlite" for folder in folders], set(references))
    return None if sides is None else _natural(experiment, sides)


def _natural(experiment: Experiment, sides: np.ndarray) -> int:
    section = experiment.space
    native: int = get("search_spaces", section.name).target.native_size(**section.arguments)
    return natural_size(native, sides) if len(sides) else native
