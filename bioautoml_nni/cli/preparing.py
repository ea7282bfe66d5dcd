"""`bioautoml prepare`: the first stage alone, or one machine's share of its images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from . import options
from .shared import STAGES, NewRun, Overrides, app, console, require_apart


@app.command(rich_help_panel=STAGES)
def prepare(
    experiment: Annotated[Path, typer.Argument(help="An experiment.yml.", metavar="EXPERIMENT")],
    output: NewRun = None,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard", help="Only put this share of the images, such as 2/8, into the cache; all share cache.folder."
        ),
    ] = None,
    cluster: options.Cluster = None,
    shards: options.Shards = None,
    overrides: Overrides = None,
) -> None:
    """Prepare the data of an experiment; --cluster or --shard let many machines fill the caches.

    A shard writes no run. A stopped one goes on when it is given again, and `prepare` and `run` use what is there.

    Example: bioautoml prepare my-data/experiment.yml --cluster local
    """
    from ..utils.errors import DataError
    from .main import _execute, _opened

    require_apart(cluster, shards, {"--shard": shard is not None})
    if shard is not None:
        if output is not None:
            raise DataError("--output: a shard fills the caches and writes no run; leave it out.")
        _prepare_shard(experiment, shard, overrides or [])
        return
    directory = _opened(experiment, output, False, overrides or [], spread=False)
    if cluster is not None:
        from ..stages.prepare_cluster import prepare_on_cluster

        prepare_on_cluster(directory.experiment, cluster, shards, console)
    _execute(directory, ["prepare"])
    if cluster is not None:
        from ..stages.prepare_cluster import take_over_features

        take_over_features(directory)
    console.print(f"Next: bioautoml run {escape(str(directory.path))}", highlight=False, soft_wrap=True)


def _prepare_shard(experiment: Path, text: str, overrides: list[str]) -> None:
    from ..utils.shard import Shard

    shard = Shard.parse(text)
    from ..config import load_experiment
    from ..config.load import import_plugins
    from ..stages.prepare_shard import prepare_shard

    loaded = load_experiment(experiment, overrides)
    import_plugins(loaded)
    done = prepare_shard(loaded, shard, console)
    features = "" if done.encoder is None else f", with features of {done.encoder}"
    console.print(
        f"Shard {shard}: {done.own} of {done.images} images{features}; {done.there} were in the cache before.",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    if done.unreadable:
        first, reason = next(iter(done.unreadable.items()))
        told = f"{len(done.unreadable)} images cannot be read; the first is {first} ({reason})."
        console.print(f"[yellow]warning:[/] {escape(told)}", highlight=False, soft_wrap=True)
    if done.looked:
        console.print(
            "Looked how large its images are (data.image_size: auto). Next: when all shards have, give each once more.",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        return
    console.print(
        f"Next: when all shards are done, bioautoml run {escape(str(experiment))}", highlight=False, soft_wrap=True
    )
