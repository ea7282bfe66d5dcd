"""`bioautoml predict`: a table or folder of any size to a table of answers, in blocks that survive a stop."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.tables import SEPARATORS
from ..utils.atomic import remove_leftovers, replacing, write_json
from ..utils.errors import DataError
from .decisions import Decisions
from .model import Model

BLOCK = 512
PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp"}
ID_COLUMNS = ("id", "specimen_id", "processid", "occurrenceID", "gbifID")
OUTPUTS = (".csv", ".parquet")
EMBEDDING = "embedding"


@dataclass(frozen=True)
class Request:
    """What is to be predicted, and how.

    Attributes:
        source: a table (.csv, .tsv, .txt, .parquet), or a folder of images that is searched to its depths.
        output: .csv or .parquet.
        image_column: column with image paths; found by the model's own training column if None.
        image_root: folder below which the images lie; the table's own folder if None.
        group: column whose rows are answered together in a second table beside the output.
        logits: whether logits of all classes are written too.
        embeddings: whether the image encoder's embedding is written too: in Parquet as one column ``embedding`` of
            lists, in CSV as columns ``embedding_0``, ``embedding_1``, ...
        sort_into: folder into which images are copied or linked, one folder for each answer.
        link: link instead of copying.
        species_list, threshold, coverage: see `Decisions`; coverage is one of calibration.json's.
    """

    source: Path
    output: Path
    image_column: str | None = None
    image_root: Path | None = None
    group: str | None = None
    logits: bool = False
    sort_into: Path | None = None
    link: bool = False
    species_list: tuple[str, ...] | None = None
    threshold: float = 0.0
    coverage: float | None = None
    embeddings: bool = False


@dataclass
class Outcome:
    """Numbers of a finished prediction."""

    rows: int = 0
    failed: int = 0
    unsure: int = 0
    missing_columns: tuple[str, ...] = ()


def predict(model: Model, request: Request, advance: Callable[[int], None] = lambda count: None) -> Outcome:
    """Predict every row; a stopped call goes on after its last whole block when it is given again.

    Raises:
        DataError: for a source, column, list or output that cannot be used.
    """
    if request.output.suffix.lower() not in OUTPUTS:
        raise DataError(f"{request.output}: unknown kind of output; use .csv or .parquet.")
    if request.embeddings and not model.embeds:
        raise DataError("--embeddings: this model reads metadata alone; it has no embedding of images.")
    if request.sort_into is not None and not model.uses_images:
        raise DataError(f"--sort-into {request.sort_into}: this model reads metadata alone; there is nothing to sort.")
    level = None if request.coverage is None else model.coverage_level(request.coverage)
    decisions = model.decisions(threshold=request.threshold, species_list=request.species_list, level=level)
    root, column = _places(model, request)
    parts = request.output.with_name(request.output.name + ".parts")
    _open_parts(parts, _key(model, request))
    remove_leftovers(parts)
    for path in (request.output, _groups_path(request)):
        remove_leftovers(path.parent, path.name)
    outcome = Outcome()
    count = 0
    for count, block in enumerate(_blocks(request, column), start=1):
        part = parts / f"{count:08d}.parquet"
        if not part.is_file():
            _check_columns(block, request, column)
            embeddings = None
            if request.embeddings:
                assert column is not None  # a model that embeds looks at images
                logits, embeddings, failures = model.embed_rows(block, root, column)
            else:
                logits, failures = model.predict_rows(block, root, column)
            outcome.missing_columns = tuple(model.missing_columns)
            _write_part(part, block, logits, failures, column, request.group, model, embeddings)
        advance(len(block))
    if count == 0:
        raise DataError(f"{request.source}: has nothing to predict.")
    files = [parts / f"{number:08d}.parquet" for number in range(1, count + 1)]
    _finish(model, decisions, request, files, root, outcome)
    shutil.rmtree(parts)
    return outcome


def _places(model: Model, request: Request) -> tuple[Path, str | None]:
    """Return the image root and the image column of the request."""
    if request.source.is_dir():
        if not model.uses_images:
            raise DataError(f"{request.source}: is a folder of images, but this model reads metadata alone.")
        return request.source, "image"
    if not request.source.is_file():
        raise DataError(f"{request.source}: there is no such table or folder.")
    if request.source.suffix.lower() not in {*SEPARATORS, ".parquet"}:
        raise DataError(f"{request.source}: unknown kind of table; use .csv, .tsv, .txt or .parquet.")
    root = request.image_root or request.source.parent
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; check --image-root.")
    return root, (request.image_column or str(model.image.get("column", "image"))) if model.uses_images else None


def _check_columns(block: pd.DataFrame, request: Request, column: str | None) -> None:
    for option, name in (("--image-column", column), ("--group", request.group)):
        if name is not None and name not in block:
            raise DataError(
                f"{request.source}: has no column {name!r}; choose with {option} among {', '.join(map(str, block))}."
            )


def _blocks(request: Request, column: str | None) -> Iterator[pd.DataFrame]:
    if request.source.is_dir():
        names: list[str] = []
        for folder, folders, files in os.walk(request.source):
            folders.sort()
            base = Path(folder).relative_to(request.source)
            names += [(base / name).as_posix() for name in sorted(files) if Path(name).suffix.lower() in PICTURES]
        for start in range(0, len(names), BLOCK):
            yield pd.DataFrame({"image": names[start : start + BLOCK]})
        return
    suffix = request.source.suffix.lower()
    try:
        if suffix == ".parquet":
            import pyarrow.parquet as pq

            for batch in pq.ParquetFile(request.source).iter_batches(BLOCK):
                yield batch.to_pandas().reset_index(drop=True)
            return
        kinds = {} if column is None else {column: str}
        for encoding in ("utf-8-sig", "latin-1"):
            try:
                with open(request.source, encoding=encoding) as file:
                    for _ in file:  # the whole file, since one late byte decides
                        pass
            except UnicodeDecodeError:
                continue
            form: dict[str, Any] = {"sep": SEPARATORS[suffix], "encoding": encoding, "dtype": kinds}
            for block in pd.read_csv(request.source, chunksize=BLOCK, low_memory=False, **form):
                yield block.reset_index(drop=True)
            return
    except (pd.errors.ParserError, pd.errors.EmptyDataError, OSError, ValueError) as error:
        raise DataError(f"{request.source}: cannot be read as a table ({str(error).strip()}).") from error


def _key(model: Model, request: Request) -> str:
    """Return a digest of all that decides the logits of a row."""
    digest = hashlib.sha256(json.dumps(model.info["sha256"], sort_keys=True).encode())
    if request.source.is_dir():
        for block in _blocks(request, None):
            digest.update("\n".join(block["image"]).encode())
        stamp = []
    else:
        status = request.source.stat()
        stamp = [status.st_size, status.st_mtime_ns]
    facts = [str(request.source.resolve()), *stamp, request.image_column, str(request.image_root), request.group, BLOCK]
    facts += ["embeddings"] if request.embeddings else []
    digest.update(json.dumps(facts).encode())
    return digest.hexdigest()


def _open_parts(parts: Path, key: str) -> None:
    """Keep the parts of a stopped call if they answer the same question."""
    marker = parts / "key.json"
    if not marker.is_file() or json.loads(marker.read_text(encoding="utf-8")) != key:
        shutil.rmtree(parts, ignore_errors=True)
        write_json(marker, key)


def _write_part(
    path: Path, block: pd.DataFrame, logits: np.ndarray, failures: list[str], column: str | None, group: str | None,
    model: Model, embeddings: np.ndarray | None = None,
) -> None:  # fmt: skip
    part = pd.DataFrame(index=block.index)
    for name in ID_COLUMNS:
        if name in block:
            part[name] = block[name].astype(str)
    if column is not None:
        part["image"] = block[column].astype(str)
    part["_group"] = block[group].astype(str) if group else ""
    part["_error"] = failures
    if embeddings is not None:
        part[EMBEDDING] = list(embeddings)
    scores = pd.DataFrame(logits, columns=[f"logit_{name}" for name in model.classes["name"]], index=block.index)
    with replacing(path) as temporary:
        pd.concat([part, scores], axis=1).to_parquet(temporary, index=False)


def _finish(
    model: Model, decisions: Decisions, request: Request, files: list[Path], root: Path, outcome: Outcome
) -> None:
    """Turn logits into answers, block by block, and put the output in place at the end."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    scores = [f"logit_{name}" for name in model.classes["name"]]
    groups: dict[str, tuple[np.ndarray, int]] = {}
    with replacing(request.output) as temporary:
        writer: Any = None
        for file in files:
            part = pd.read_parquet(file)
            logits = part[scores].to_numpy(np.float64)
            probabilities = model.probabilities(logits)
            answers = decisions.answers(probabilities)
            dropped = ["_group", "_error", *scores, *([EMBEDDING] if request.embeddings else [])]
            table = pd.concat([part.drop(columns=dropped), answers], axis=1)
            if request.group:
                table.insert(0, request.group, part["_group"])
                _add_groups(groups, part["_group"], logits)
            table["error"] = part["_error"]
            if model.brand:
                table["warning"] = model.brand
            if request.logits:
                table = pd.concat([table, part[scores]], axis=1)
            if request.embeddings:
                table = pd.concat([table, _embedding_columns(part, request.output)], axis=1)
            outcome.rows += len(table)
            outcome.failed += int((table["error"] != "").sum())
            outcome.unsure += int(((table["prediction"] == "") & (table["error"] == "")).sum())
            if request.sort_into is not None:
                _sort(table, root, request.sort_into, request.link)
            if request.output.suffix.lower() == ".csv":
                table.to_csv(temporary, mode="a", header=writer is None, index=False)
                writer = True
            else:
                arrow = pa.Table.from_pandas(table, preserve_index=False)
                writer = writer or pq.ParquetWriter(temporary, arrow.schema)
                writer.write_table(arrow)
        if isinstance(writer, pq.ParquetWriter):
            writer.close()
    if request.group:
        _write_groups(model, decisions, groups, request)


def _embedding_columns(part: pd.DataFrame, output: Path) -> pd.DataFrame:
    """Return the embeddings of a block as the output's kind holds them."""
    if output.suffix.lower() == ".parquet":
        return part[[EMBEDDING]]
    values = np.stack(part[EMBEDDING].to_list())
    return pd.DataFrame(
        values, columns=[f"{EMBEDDING}_{number}" for number in range(values.shape[1])], index=part.index
    )


def _add_groups(groups: dict[str, tuple[np.ndarray, int]], names: pd.Series, logits: np.ndarray) -> None:
    readable = np.isfinite(logits).all(axis=1)
    for name, rows in names[readable].groupby(names[readable]).groups.items():
        total, count = groups.get(str(name), (np.zeros(logits.shape[1]), 0))
        groups[str(name)] = total + logits[rows.to_numpy()].sum(axis=0), count + len(rows)


def _groups_path(request: Request) -> Path:
    """Return where the groups' answers go: beside the output."""
    return request.output.with_name(f"{request.output.stem}_by_{request.group}{request.output.suffix}")


def _write_groups(
    model: Model, decisions: Decisions, groups: dict[str, tuple[np.ndarray, int]], request: Request
) -> None:
    """Write one answer for each group, from the mean of its logits, beside the output."""
    assert request.group is not None
    if not groups:
        return
    means = np.stack([total / count for total, count in groups.values()])
    table = pd.DataFrame({request.group: list(groups), "specimens": [count for _, count in groups.values()]})
    table = pd.concat([table, decisions.answers(model.probabilities(means))], axis=1)
    path = _groups_path(request)
    with replacing(path) as temporary:
        if path.suffix.lower() == ".csv":
            table.to_csv(temporary, index=False)
        else:
            table.to_parquet(temporary, index=False)


def _sort(table: pd.DataFrame, root: Path, folder: Path, link: bool) -> None:
    """Copy or link readable images into one folder for each answer; what is there already stays."""
    for image, answer in zip(
        table["image"][table["error"] == ""], table["prediction"][table["error"] == ""], strict=True
    ):
        name = "".join(letter if letter.isalnum() or letter in " -_." else "_" for letter in answer).strip(". ")
        place = folder / (name or "unsure")
        place.mkdir(parents=True, exist_ok=True)
        path = image.split("::")[0].split("#")[0]
        target = place / path.replace("/", "__")
        if target.exists() or target.is_symlink():
            continue
        if link:
            target.symlink_to((root / path).resolve())
        else:
            with replacing(target) as temporary:
                shutil.copyfile(root / path, temporary)
