"""One machine's share of the images of an experiment, and of what a frozen trunk makes of them, put into the caches.

Shards are told apart by the images' names, so that they are disjoint and together complete whatever the order of the
table. Each fills folders of its own beside the caches (`data/caches.py`), which the next command that opens a cache
takes over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout
from rich.console import Console

from ..config import Experiment
from ..data.caches import with_shards
from ..data.image_store import ImageStore
from ..data.labels import learnable, named_settings
from ..data.load import LOOK, image_store, known_image_size, load_manifest
from ..data.manifest import IMAGE
from ..features.request import FeatureRequest
from ..features.store import FeatureStore
from ..registry import get
from ..utils.atomic import write_json
from ..utils.errors import DataError
from ..utils.progress import make_progress
from ..utils.shard import Shard

RECORD = "shard.json"


@dataclass(frozen=True)
class PreparedShard:
    """What was done.

    Attributes:
        images: of all shards.
        own: images of this one.
        there: of these, those that were in the cache before.
        unreadable: reason by image that cannot be read.
        encoder: whose features were computed, None if the experiment needs none.
        looked: whether it only looked how large its images are, since data.image_size is "auto" and not all are known.
    """

    images: int
    own: int
    there: int
    unreadable: dict[str, str]
    encoder: str | None
    looked: bool


def prepare_shard(experiment: Experiment, shard: Shard, console: Console, workers: int | None = None) -> PreparedShard:
    """Decode the images of a shard, and compute their features where the experiment's space reads them.

    A size that is "auto" depends on all images: until every shard has looked at its own, that is all that is done.

    Args:
        workers: number of threads that decode; as many as there are CPUs if None.

    Raises:
        DataError: for an experiment without images; if another process works on the shard, or the others are of another
            table or number.
    """
    image_root, references = shared_images(experiment, "--shard")
    size = known_image_size(experiment, image_root, references)
    store = image_store(experiment, image_root, size or LOOK, workers)
    own = [name for name in references if shard.has_name(name)]
    with _claimed(store, shard, references) as part:
        before = store.current(own)
        known = set(before["reference"])
        missing = [name for name in own if name not in known]
        there = part.there(missing)
        with make_progress(console) as progress:
            task = progress.add_task(f"images of shard {shard}", total=len(own), completed=len(before), note="")
            made = part.ensure(missing, lambda count: progress.advance(task, count))
        failed = made["failure"].notna()
        groups = [(store, before), (part, made[~failed].reset_index(drop=True))]
        encoder = None if size is None else _features(experiment, shard, groups, len(references), console)
    reasons = dict(zip(made.loc[failed, "reference"], made.loc[failed, "failure"], strict=True))
    return PreparedShard(len(references), len(own), len(before) + there, reasons, encoder, size is None)


def shared_images(experiment: Experiment, option: str) -> tuple[Path, list[str]]:
    """Return the image root and the images of an experiment whose preparation is to be shared.

    Raises:
        DataError: if it reads none, naming the option.
    """
    if "image" not in experiment.data.modalities:
        raise DataError(f"{option}: the experiment reads no images (data.modalities), so there is nothing to share.")
    manifest = load_manifest(experiment)
    table = learnable(manifest.table, named_settings(experiment.data, manifest)).table
    return manifest.image_root, table[IMAGE].unique().tolist()


@contextmanager
def _claimed(store: ImageStore, shard: Shard, references: list[str]) -> Iterator[ImageStore]:
    """Give the store of a shard to this process alone.

    Raises:
        DataError: if another process has it, or the other shards are of another table or number.
    """
    digest = hashlib.blake2b("\n".join(sorted(references)).encode("utf-8", "surrogatepass"), digest_size=16)
    facts = {"count": shard.count, "images": len(references), "table": digest.hexdigest()}
    part = store.shard(shard, len(references))
    store.caches.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{store.folder}-shards.lock"):
        for folder in with_shards(store.folder)[1:]:
            _require_fitting(shard, facts, folder)
        part.folder.mkdir(exist_ok=True)
        try:
            part.lock.acquire(timeout=0)
        except Timeout as error:
            raise DataError(f"--shard {shard}: another process works on it; give each shard once.") from error
        write_json(part.folder / RECORD, facts)
    try:
        yield part
    finally:
        part.lock.release()


def _require_fitting(shard: Shard, facts: dict[str, object], folder: Path) -> None:
    try:
        known = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # killed before it was written: it holds nothing
        return
    way_out = "let `bioautoml prepare EXPERIMENT` take over what is there, or remove that folder."
    if known.get("count") != facts["count"]:
        raise DataError(
            f"--shard {shard}: {folder} is one of {known.get('count')} shards; give --shard N/{known.get('count')}, "
            f"or {way_out}"
        )
    if known != facts:
        raise DataError(
            f"--shard {shard}: the table is not that of the other shards ({facts['images']} images here, "
            f"{known.get('images')} in {folder}, not all the same); give every shard the same experiment, or {way_out}"
        )


def feature_requests(experiment: Experiment) -> list[FeatureRequest]:
    """Return what an experiment reads of a trunk's frozen stages, in search and training, and keeps."""
    function = getattr(get("search_spaces", experiment.space.name).target, "frozen_features", None)
    if function is None or not experiment.cache.max_gb:
        return []
    searched, trained = experiment.space.arguments, experiment.network_arguments()
    asked = [function(**searched), *([] if trained == searched else [function(**trained)])]
    return [request for request in asked if request is not None]


def _features(
    experiment: Experiment, shard: Shard, groups: list[tuple[ImageStore, pd.DataFrame]], images: int, console: Console
) -> str | None:
    """Compute what frozen stages of a trunk make of the images, in search and training; return the encoder's name."""
    requests = feature_requests(experiment)
    total = sum(len(facts) for _, facts in groups)
    for request in requests:
        store = FeatureStore(request.encoder, groups[0][0].size, experiment.cache.folder, experiment.cache.max_gb)
        with make_progress(console) as progress:
            task = progress.add_task(f"features of {request.encoder.reference}", total=total, note="")
            for images_of, facts in groups:
                if len(facts):
                    digests, pixels = facts["digest"].tolist(), images_of.pixels(facts)
                    store.fill_shard(
                        shard, images, digests, pixels, request.outputs, 1 + request.views,
                        lambda count: progress.advance(task, count),  # noqa: B023
                    )  # fmt: skip
    return str(requests[0].encoder.reference) if requests else None
