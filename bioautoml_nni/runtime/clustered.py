"""A prediction whose shards a cluster's machines make."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from ..utils.cluster import joined
from ..utils.errors import ClusterError
from ..utils.remote import RemotePath
from ..utils.shard import Shard
from .model import Model
from .predict import parts_of, predict, shards_of
from .request import Request
from .shards import shard_mark


def made_by_cluster(
    model: Model, file: str, request: Request, address: str, count: int | None, console: Console
) -> Request:
    """Let a cluster make the shards of a prediction that are not there yet; return the request that merges them.

    Args:
        file: of the model, as in `Model.load`.
        address: see `joined`.
        count: of shards; that of shards that are there, or of CPUs, if None.

    Raises:
        ClusterError: if the cluster cannot be used, or shards fail.
        DataError: see `predict`.
    """
    request = _from_everywhere(request)
    shards = shards_of(model, request)
    shards.require_own()
    known = shards.count
    if count is not None and known not in (None, count):
        raise ClusterError(
            f"--shards {count}: {shards.parts} holds {known} shards of this prediction; leave --shards out to go on "
            "with them, or remove that folder."
        )
    count = known or count
    if count is None or _left(shards.parts, count):
        with joined(address) as cluster:
            count = count or cluster.cpus
            shards.open(Shard(1, count))
            cpus = cluster.cpus_each(count)
            task = partial(_predict, model.folder.absolute(), file, cpus, request)
            cluster.run("shards of rows", task, _left(shards.parts, count), shards.parts, console, cpus)
    return replace(request, merge=True)


def _left(parts: Path, count: int) -> list[Shard]:
    every = [Shard(number, count) for number in range(1, count + 1)]
    return [shard for shard in every if not shard_mark(parts, shard).is_file()]


def _predict(folder: Path, file: str, threads: int, request: Request, shard: Shard) -> None:
    """Make a shard, unless a worker did that died before it could say so."""
    if not shard_mark(parts_of(request), shard).is_file():
        predict(Model.load(folder, file, threads), replace(request, shard=shard))


def _from_everywhere(request: Request) -> Request:
    """Return a request whose paths do not start at this process's folder."""

    def whole(path: Path) -> Path:
        return path if isinstance(path, RemotePath) else path.absolute()

    return replace(
        request, source=whole(request.source), output=whole(request.output),
        image_root=None if request.image_root is None else whole(request.image_root),
        sort_into=None if request.sort_into is None else whole(request.sort_into),
        reads=tuple(map(whole, request.reads)),
    )  # fmt: skip
