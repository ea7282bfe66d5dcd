"""`bioautoml export` and `predict`: from a run to names for new specimens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from .options import (
    Answers,
    ByGroup,
    Cluster,
    Coverage,
    EightBits,
    Embeddings,
    Encoding,
    ExportPath,
    FollowLinks,
    HeaderRow,
    ImageColumn,
    ImageRoot,
    Link,
    Logits,
    Merge,
    Missing,
    ShardOf,
    Shards,
    Sheet,
    SortInto,
    SpeciesList,
    Specimens,
    Threshold,
)
from .shared import DEPLOY, Overrides, RunPath, app, console, new_specimens, require_apart

if TYPE_CHECKING:
    from ..runtime.request import Outcome, Request
    from ..utils.shard import Shard


@app.command(rich_help_panel=DEPLOY)
def export(
    directory: RunPath,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the files.", show_default="RUN/export")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Refuse what does not fit: trap, pi or station.")
    ] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Also write an 8-bit model.")] = False,
    int8_loss: Annotated[
        float, typer.Option(min=0, help="Largest loss in validation macro-F1 that --int8 may cost.")
    ] = 0.02,
    overrides: Overrides = None,
) -> None:
    """Write the trained network of a run as files that predict anywhere: ONNX, preprocessing, classes, model card.

    Example: bioautoml export runs/sample --target trap
    """
    from ..runs.directory import RunDirectory
    from ..stages.export import export as write_export
    from ..utils.errors import ExportError
    from ..utils.places import require_folder

    folder = output or directory / "export"
    require_folder(folder.parent, kind=ExportError)
    write_export(RunDirectory.open(directory, overrides or []), folder, console, target, int8, int8_loss)
    _tell_export(folder)
    console.print(
        f"Wrote {escape(str(folder))}. Next: bioautoml predict {escape(str(folder))} {new_specimens(folder)} --output "
        "predictions.csv",
        soft_wrap=True,
    )


def _tell_export(folder: Path) -> None:
    """Print how large the files of an export are, and how near they come to the network."""
    from ..artifacts.exported import ExportRecord
    from ..utils.own_files import read_json

    parity = read_json(folder / "parity.json")
    for name, difference in parity["largest_difference"].items():
        size = (folder / name).stat().st_size / 1e6
        console.print(f"{name:<18} {size:6.2f} MB, logits within {difference:.1e} of the network's", highlight=False)
    quantised = ExportRecord.read(folder / "export.json").int8
    if quantised:
        scores = quantised["test_macro_f1"]
        console.print(
            f"{'model_int8.onnx':<18} {quantised['bytes']['model_int8.onnx'] / 1e6:6.2f} MB, test macro-F1 "
            f"{scores['model_int8.onnx']:.3f} ({scores['model.onnx']:.3f} in single precision)",
            highlight=False,
        )


@app.command(rich_help_panel=DEPLOY)
def predict(
    model: ExportPath,
    source: Specimens,
    output: Answers,
    image_column: ImageColumn = None,
    image_root: ImageRoot = None,
    threshold: Threshold = 0.0,
    coverage: Coverage = None,
    species_list: SpeciesList = None,
    group: ByGroup = None,
    logits: Logits = False,
    embeddings: Embeddings = False,
    sort_into: SortInto = None,
    follow_links: FollowLinks = False,
    link: Link = False,
    int8: EightBits = False,
    shard: ShardOf = None,
    merge: Merge = False,
    cluster: Cluster = None,
    shards: Shards = None,
    missing: Missing = None,
    sheet: Sheet = None,
    header_row: HeaderRow = None,
    encoding: Encoding = None,
) -> None:
    """Name the specimens of a table or a folder with an exported model; the same command continues a stopped one.

    Example: bioautoml predict runs/sample/export trap-images/ --output predictions.csv --threshold 0.8
    """
    from ..data.tables import read_names
    from ..runtime.request import Request

    share = _share(shard, merge)
    require_apart(cluster, shards, {"--shard": shard is not None, "--merge": merge})
    names = None if species_list is None else tuple(read_names(species_list))
    request = Request(
        source, output, image_column, image_root, group, logits, sort_into, link, names, threshold, coverage,
        tuple(missing or ()), () if species_list is None else (species_list,), embeddings,
        "anywhere" if follow_links else "inside", share, merge, sheet, header_row, encoding,
    )  # fmt: skip
    outcome = _predict(model, "model_int8.onnx" if int8 else "model.onnx", request, cluster, shards)
    _tell_prediction(outcome, request)
    _tell_next(model, request)


def _share(text: str | None, merge: bool) -> Shard | None:
    """Return what `--shard` means, None without it."""
    from ..utils.errors import DataError
    from ..utils.shard import Shard

    if text is not None and merge:
        raise DataError("--merge: puts shards together that are there; give it without --shard.")
    return None if text is None else Shard.parse(text)


def _predict(model: Path, file: str, request: Request, cluster: str | None, shards: int | None) -> Outcome:
    """Do what a command asked for, here or by Ray."""
    from ..runtime import Model
    from ..runtime.predict import predict as predict_all
    from ..utils.progress import make_progress

    loaded = Model.load(model, file)
    if loaded.brand:
        console.print(f"[bold red]{escape(loaded.brand)}")
    if cluster is not None:
        from ..runtime.clustered import made_by_cluster

        request = made_by_cluster(loaded, file, request, cluster, shards, console)
    with make_progress(console) as progress:
        task = progress.add_task("predict", total=None, note="")
        return predict_all(loaded, request, lambda count: progress.advance(task, count))


def _tell_next(model: Path, request: Request) -> None:
    if request.shard is not None:
        console.print("Next: when all shards are there, the same command with --merge in place of --shard.")
        return
    further = (
        "sort by confidence and look at the lowest"
        if request.threshold
        else "--threshold 0.8 leaves open what is not sure"
    )
    console.print(
        f"Next: {further}; bioautoml serve {escape(str(model))} names images in the browser.",
        highlight=False,
        soft_wrap=True,
    )


def _tell_prediction(outcome: Outcome, request: Request) -> None:
    """Print what came of a prediction, or of a shard of it."""
    if outcome.missing_columns:
        columns = ", ".join(outcome.missing_columns)
        console.print(f"[yellow]warning:[/] answered without these metadata columns: {escape(columns)}.")
    for note in outcome.notes:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    parts = [f"{outcome.rows} rows"]
    parts += [f"{outcome.failed} unreadable (see column error)"] if outcome.failed else []
    parts += [f"{outcome.unsure} unsure"] if outcome.unsure else []
    path = escape(str(request.output))
    done = f"Wrote {path}" if request.shard is None else f"Made shard {request.shard} of {path}"
    console.print(f"{done}: {', '.join(parts)}.", highlight=False, soft_wrap=True)


@app.command(rich_help_panel=DEPLOY)
def serve(
    model: ExportPath,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Host from which images may be fetched by URL; *.example.org for many.")
    ] = None,
    allow_private_addresses: Annotated[
        bool, typer.Option("--allow-private-addresses", help="Fetch from addresses that are not public, too.")
    ] = False,
    image_megabytes: Annotated[float, typer.Option(min=0.001, help="Most of one image.")] = 20,
    request_megabytes: Annotated[float, typer.Option(min=0.001, help="Most of one request.")] = 64,
    images: Annotated[int, typer.Option(min=1, help="Most images of one request.")] = 64,
    queue: Annotated[int, typer.Option(min=1, help="Most specimens worked on at once; more are told to wait.")] = 256,
    threads: Annotated[int, typer.Option(min=0, help="Of the model; 0 is onnxruntime's choice.")] = 0,
    int8: EightBits = False,
) -> None:
    """Answer over HTTP and on a page in the browser; only this machine can reach it unless --host opens it.

    Example: bioautoml serve runs/sample/export
    """
    from ..runtime import Model
    from ..utils.errors import ExportError

    try:
        from ..serve.run import serve as serve_model
        from ..serve.settings import Settings
    except ModuleNotFoundError as error:
        raise ExportError(f"serve: needs {error.name}; install it with pip install 'bioautoml-nni[serve]'.") from error
    loaded = Model.load(model, "model_int8.onnx" if int8 else "model.onnx", threads)
    settings = Settings(
        image_hosts=tuple(allow_host or ()), private_addresses=allow_private_addresses,
        image_bytes=int(1e6 * image_megabytes), request_bytes=int(1e6 * request_megabytes), images=images, queue=queue,
    )  # fmt: skip
    serve_model(loaded, settings, host, port, console)
