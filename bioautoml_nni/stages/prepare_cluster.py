"""Images of an experiment, and what a frozen trunk makes of them, put into the caches by a cluster's machines."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from rich.console import Console

from ..config import Experiment
from ..config.load import import_plugins
from ..data.caches import default_folder
from ..data.load import LOOK, image_store, known_image_size
from ..runs.directory import RunDirectory
from ..runs.prepared import PreparedData
from ..utils.cluster import joined
from ..utils.errors import ClusterError
from ..utils.shard import Shard
from .prepare_shard import PreparedShard, feature_requests, prepare_shard, shared_images


def prepare_on_cluster(experiment: Experiment, address: str, count: int | None, console: Console) -> None:
    """Fill the caches by shards, each on a machine of a cluster; whoever opens the caches next takes them over.

    The table is read here first: what is wrong with it shows before a machine starts, and shards that were left by
    another number of them are taken over.

    Args:
        address: see `joined`.
        count: of shards; as many as there are GPUs where they are of use, or CPUs, if None.

    Raises:
        ClusterError: if the cluster cannot be used, or shards fail.
        DataError: for data that cannot be used.
    """
    caches = (experiment.cache.folder or default_folder()).absolute()
    cache = experiment.cache.model_copy(update={"folder": caches})
    experiment = experiment.model_copy(update={"cache": cache})
    image_root, references = shared_images(experiment, "--cluster")
    _take_over(experiment, image_root, references)
    with joined(address) as cluster:
        gpus = 1 if cluster.gpus and feature_requests(experiment) else 0
        count = count or max(1, min(len(references), cluster.gpus if gpus else cluster.cpus))
        cpus = cluster.cpus_each(count)
        task = partial(_prepare, experiment, cpus)
        shards = [Shard(number, count) for number in range(1, count + 1)]
        parts = cluster.run("shards of images", task, shards, caches, console, cpus, gpus)
        if any(part.looked for part in parts):  # how large images are to be depends on all
            parts = cluster.run("shards of images", task, shards, caches, console, cpus, gpus)
        machines = "1 machine" if cluster.machines == 1 else f"{cluster.machines} machines"
    if any(part.looked for part in parts):
        raise ClusterError(f"--cluster: {caches} does not hold what the shards have seen; all machines must share it.")
    encoder = parts[0].encoder
    features = "" if encoder is None else f", with features of {encoder}"
    console.print(
        f"{len(shards)} shards on {machines}: {sum(part.own for part in parts)} images{features}; "
        f"{sum(part.there for part in parts)} were in the cache before.",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def take_over_features(run: RunDirectory) -> None:
    """Put what shards made of a prepared run's images into the caches of features."""
    if not feature_requests(run.experiment):
        return
    data = PreparedData.load(run)
    for reader in (data.as_searched(), data):
        _ = reader.features


def _prepare(experiment: Experiment, workers: int, shard: Shard) -> PreparedShard:
    import_plugins(experiment)
    return prepare_shard(experiment, shard, Console(quiet=True), workers)


def _take_over(experiment: Experiment, image_root: Path, references: list[str]) -> None:
    """Put shards that were left by an earlier command into their cache, so that they may be of another number now."""
    sizes = {known_image_size(experiment, image_root, references)}
    if experiment.data.image_size == "auto":
        sizes.add(LOOK)
    for size in sizes - {None}:
        assert size is not None
        image_store(experiment, image_root, size).ensure([])
