"""From an experiment to the table of its source, and to the store of its images."""

from __future__ import annotations

from pathlib import Path

from ..config import Experiment
from ..registry import get
from .image_store import ImageStore
from .manifest import Manifest


def load_manifest(experiment: Experiment) -> Manifest:
    """Return what the experiment's source reads.

    Raises:
        DataError: for files that cannot be read.
    """
    settings = experiment.data
    manifest: Manifest = get("sources", settings.source).target(settings.root, **settings.arguments).load()
    return manifest


def image_store(experiment: Experiment, image_root: Path) -> ImageStore:
    """Return the image cache that an experiment uses."""
    cache = experiment.cache
    return ImageStore(image_root, experiment.data.image_size, cache.folder, cache.max_gb)
