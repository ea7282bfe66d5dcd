"""What the first pass of an experiment's frozen encoders will take, and how much of it is done already."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ..config import Experiment
from ..data.image_store import ImageStore
from ..features.request import FeatureRequest
from ..features.store import FeatureStore
from ..runs.threads import use_threads
from .prepare_shard import feature_requests

WARM, TIMED = 2, 32
"""Images of the dry run that are looked at before the clock starts, and while it runs."""


@dataclass(frozen=True)
class FeatureCost:
    """What features of frozen encoders will take.

    Attributes:
        seconds: of the pass over all images and views that the cache lacks.
        gb: of all that is kept, what is there included.
        share: of the images and views, what is there already.
    """

    seconds: float
    gb: float
    share: float


def feature_cost(
    experiment: Experiment, references: Sequence[str], images: ImageStore, few: Sequence[str], dry: ImageStore
) -> FeatureCost | None:
    """Return what the features of all images will cost; None if an experiment keeps none.

    An image that is not decoded yet counts as one whose features are not there.

    Args:
        references: of all images.
        images: their cache.
        few: references of the images of the dry run.
        dry: the cache of the dry run, which its features go to, too.
    """
    requests = _whole(feature_requests(experiment))
    if not requests:
        return None
    use_threads(experiment.threads)
    known = images.current(references)
    digests = sorted(set(known["digest"])) if len(known) else []
    new = len(set(references)) - len(known)
    seconds = gb = wanted = missing = 0.0
    for request in requests:
        store = FeatureStore(request.encoder, images.size, experiment.cache.folder, experiment.cache.max_gb)
        views = 1 + request.views
        rows = views * (len(digests) + new)
        lacking = store.lacking(digests, request.outputs, views) + views * new
        seconds += lacking * _seconds_a_row(request, few, dry) if lacking else 0
        gb += rows * store.row_bytes(request.outputs) / 1e9
        wanted, missing = wanted + rows, missing + lacking
    return FeatureCost(seconds, gb, 1 - missing / wanted)


def _whole(requests: Sequence[FeatureRequest]) -> list[FeatureRequest]:
    """Return requests without those that another one of the same features covers with its views."""
    most: dict[tuple[object, ...], FeatureRequest] = {}
    for request in requests:
        key = (request.encoder.reference, *request.outputs)
        if key not in most or most[key].views < request.views:
            most[key] = request
    return list(most.values())


def _seconds_a_row(request: FeatureRequest, few: Sequence[str], dry: ImageStore) -> float:
    """Return what one image takes in one view, measured on a few."""
    facts = dry.ensure(few)
    facts = facts[facts["failure"].isna()].drop_duplicates("digest").iloc[: WARM + TIMED]
    store = FeatureStore(request.encoder, dry.size, dry.caches, dry.max_bytes / 1e9)
    started, count = time.perf_counter(), max(1, len(facts))
    for part in (facts.iloc[:WARM], facts.iloc[WARM:]):
        if len(part):
            started, count = time.perf_counter(), len(part)
            store.ensure(part["digest"].tolist(), dry.pixels(part), request.outputs)
    return (time.perf_counter() - started) / count
