"""Features of a probe for all specimens of a run, from the feature store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from rich.console import Console

from ..config import Experiment
from ..data.image_store import ImageStore, Pixels
from ..features.request import FeatureRequest
from ..features.store import POOLED, FeatureStore
from ..utils.shard import Shard
from .first_pass import first_pass


@dataclass(frozen=True)
class PooledFeatures:
    """Features (V, N, D) float16 of all N images in 1 + `views` views, of which the last E are the embedding."""

    values: np.ndarray
    embedding_width: int

    @property
    def views(self) -> int:
        """Augmented views beside the plain one."""
        return len(self.values) - 1

    def embedding(self, view: int = 0) -> np.ndarray:
        """Return the embeddings (N, E) of all images in one view."""
        found: np.ndarray = self.values[view, :, -self.embedding_width :]
        return found

    def batch(self, positions: np.ndarray, view: int = 0) -> dict[str, torch.Tensor]:
        """Return the features of rows as ``embedding`` (n, D)."""
        return {"embedding": torch.from_numpy(self.values[view, positions])}


def pooled_features(
    request: FeatureRequest,
    experiment: Experiment,
    pixels: Pixels,
    digests: Sequence[str],
    size: int,
    console: Console,
) -> PooledFeatures:
    """Return what a probe reads of all images, computing what the store lacks, with progress and an estimate.

    Raises:
        DataError: if it cannot be kept.
    """
    store = FeatureStore(request.encoder, size, experiment.cache.folder, experiment.cache.max_gb)
    views = 1 + request.views
    with first_pass(request.encoder.reference, len(digests), console) as advance:
        found = store.ensure(digests, pixels, request.outputs, views, advance)[POOLED]
    pooled = np.stack([found.pooled(request.stages, view).astype(np.float16) for view in range(views)])
    return PooledFeatures(pooled, found.widths[-1])


def fill_features(
    request: FeatureRequest, experiment: Experiment, images: ImageStore, facts: pd.DataFrame, size: int, shard: Shard
) -> None:
    """Compute a share of what the store lacks of all images; whoever asks for all of them next takes it over.

    Args:
        facts: of the images, from their cache.

    Raises:
        DataError: if it cannot be computed or kept.
    """
    different = facts.drop_duplicates("digest").reset_index(drop=True)
    own = different.iloc[shard.number - 1 :: shard.count].reset_index(drop=True)
    if len(own):
        store = FeatureStore(request.encoder, size, experiment.cache.folder, experiment.cache.max_gb)
        digests = own["digest"].tolist()
        store.fill_shard(shard, len(different), digests, images.pixels(own), request.outputs, 1 + request.views)
