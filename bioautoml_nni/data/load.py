"""From an experiment to the table of its source, and to the store of its images."""

from __future__ import annotations

from pathlib import Path

from ..config import Experiment
from ..registry import get
from ..utils.errors import DataError
from .image_store import ImageStore
from .manifest import ID, Manifest


def load_manifest(experiment: Experiment) -> Manifest:
    """Return what the experiment's source reads.

    Raises:
        DataError: for files that cannot be read, and for an id that several specimens have.
    """
    settings = experiment.data
    source = get("sources", settings.source).target(settings.root, **settings.arguments)
    if hasattr(source, "identifiers"):
        source.identifiers = frozenset(name for name in (settings.split.group, settings.split.column) if name)
    manifest: Manifest = source.load()
    ids = manifest.table[ID]
    if ids.duplicated().any():
        count, first = int(ids.duplicated(keep=False).sum()), ids[ids.duplicated()].iloc[0]
        raise DataError(
            f"{settings.root or settings.source}: {count} specimens share an id with another (such as {first!r}), but "
            "a run's files are joined by id; give each specimen one of its own."
        )
    return manifest


def image_store(experiment: Experiment, image_root: Path) -> ImageStore:
    """Return the image cache that an experiment uses."""
    cache = experiment.cache
    return ImageStore(image_root, experiment.data.image_size, cache.folder, cache.max_gb)
