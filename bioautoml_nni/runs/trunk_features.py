"""Features of a frozen trunk for all specimens of a run, from the feature store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console

from ..config import Experiment
from ..data.image_store import Pixels
from ..features.request import FeatureRequest
from ..features.store import POOLED, Features, FeatureStore
from .first_pass import first_pass


@dataclass(frozen=True)
class TrunkFeatures:
    """Maps by stage and, where it is read, the embedding (V, N, E) float16 of all N images in 1 + `views` views."""

    maps: Mapping[int, Features]
    embedding: np.ndarray | None
    views: int

    def batch(self, positions: np.ndarray, view: int = 0) -> dict[str, torch.Tensor]:
        """Return features of rows: ``stage{S}`` (n, C, h, w) and ``embedding`` (n, E); view 0 is the image itself."""
        found = {f"stage{stage}": features.batch(positions, view) for stage, features in self.maps.items()}
        if self.embedding is not None:
            found["embedding"] = self.embedding[view, positions]
        return {name: torch.from_numpy(values) for name, values in found.items()}


def trunk_features(
    request: FeatureRequest, experiment: Experiment, pixels: Pixels, digests: Sequence[str], size: int, console: Console
) -> TrunkFeatures:
    """Return what a trunk reads of all images, computing what the store lacks, with progress and an estimate.

    Raises:
        DataError: if it cannot be kept.
    """
    store = FeatureStore(request.encoder, size, experiment.cache.folder, experiment.cache.max_gb)
    views = 1 + request.views
    with first_pass(request.encoder.reference, len(digests), console) as advance:
        found = store.ensure(digests, pixels, request.outputs, views, advance)
    embedding = None
    if request.embedding:
        embedding = np.stack([found[POOLED].pooled((), view).astype(np.float16) for view in range(views)])
    return TrunkFeatures({stage: found[stage] for stage in request.stages}, embedding, request.views)
