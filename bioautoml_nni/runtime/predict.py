"""`bioautoml predict`: a table or folder of any size to a table of answers, in blocks that survive a stop."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..data.finding import ImageFinder
from ..data.image_files import SUFFIXES, Links, list_images
from ..data.tables import KINDS, TableFile, cell_text, csv_text, is_table
from ..utils.atomic import remove_leftovers, replacing, write_json
from ..utils.errors import DataError
from ..utils.places import require_folder, require_place
from ..utils.remote import RemotePath
from .decisions import Decisions
from .doubts import Doubts
from .model import Model
from .shards import Shard, Shards
from .sorting import Sorter

BLOCK = 512
LAYOUT = 2
"""Of the parts of a stopped call; those of another are not gone on with."""
OUTPUTS = (".csv", ".parquet")
INPUT, FAILURE, LOGIT = "input ", "failure", "logit "
"""Names of columns in the parts: what the user's table says goes by names that are never ours."""
OWN_IMAGE = "image"
EMBEDDING = "embedding"


@dataclass(frozen=True)
class Request:
    """What is to be predicted, and how.

    Attributes:
        source: a table of one of `KINDS`, an image, or a folder of images that is searched to its depths.
        output: .csv or .parquet.
        image_column: column with image paths; found by the model's own training column if None.
        image_root: folder below which the images lie; the table's own folder if None.
        group: column whose rows are answered together in a second table beside the output.
        logits: whether logits of all classes are written too.
        embeddings: whether the image encoder's embedding is written too: in Parquet as one column ``embedding`` of
            lists, in CSV as columns ``embedding_0``, ``embedding_1``, ...
        sort_into: folder into which images are copied or linked, one folder for each answer.
        link: link instead of copying.
        missing: texts of the table that mean that a value is missing.
        links: where symbolic links among the images may lead.
        reads: other files that the command reads and must not write over.
        species_list, threshold, coverage: see `Decisions`; coverage is one of calibration.json's.
        shard: only the parts of this share are made; another call merges them.
        merge: whether the parts are those of shards, all of which must be there.
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
    missing: tuple[str, ...] = ()
    reads: tuple[Path, ...] = ()
    embeddings: bool = False
    links: Links = "inside"
    shard: Shard | None = None
    merge: bool = False

    @property
    def is_table(self) -> bool:
        """Whether the source is a table and no image or folder of images."""
        return not self.source.is_dir() and self.source.suffix.lower() not in SUFFIXES


@dataclass
class Outcome:
    """Numbers of a finished prediction, and what a reader should know of it."""

    rows: int = 0
    failed: int = 0
    unsure: int = 0
    missing_columns: tuple[str, ...] = ()
    notes: list[str] = field(default_factory=list)


def predict(model: Model, request: Request, advance: Callable[[int], None] = lambda count: None) -> Outcome:
    """Predict every row; a stopped call resumes after its last whole block when it is given again.

    Raises:
        DataError: for a source, column, list or output that cannot be used.
    """
    if request.embeddings and not model.embeds:
        raise DataError("--embeddings: this model reads metadata alone; it has no embedding of images.")
    level = None if request.coverage is None else model.coverage_level(request.coverage)
    model.links = request.links
    decisions = model.decisions(threshold=request.threshold, species_list=request.species_list, level=level)
    root, column = _places(model, request)
    _require_places(model, request)
    parts = request.output.with_name(request.output.name + ".parts")
    _check_columns(request, column)
    key = _key(model, request)
    shards = Shards(parts, key)
    work = _Work(model, request, root, column, parts, advance)
    if request.shard is not None:
        with shards.working(request.shard):
            work.blocks(request.shard)
        return work.outcome
    if request.merge:
        shards.require_all()
    else:
        shards.refuse_whole()
        _open_parts(parts, key)
        remove_leftovers(parts)
    for path in (request.output, _groups_path(request)):
        remove_leftovers(path.parent, path.name)
    files = work.blocks()
    work.outcome.rows = work.outcome.failed = 0
    _Answers(model, decisions, request, root, column, work.finder, work.outcome).write(files)
    shutil.rmtree(parts)
    return work.outcome


class _Work:
    """Makes the parts of a prediction that are not there yet."""

    def __init__(
        self, model: Model, request: Request, root: Path, column: str | None, parts: Path,
        advance: Callable[[int], None],
    ) -> None:  # fmt: skip
        self.model = model
        self.request = request
        self.root = root
        self.column = column
        self.parts = parts
        self.advance = advance
        self.finder = ImageFinder(root, request.links) if request.is_table and column is not None else None
        self.outcome = Outcome()

    def blocks(self, shard: Shard | None = None) -> list[Path]:
        """Make the parts, or those of a shard, and return the files of all."""
        outcome, doubts, count = self.outcome, Doubts(), 0
        for count, block in enumerate(_blocks(self.request, outcome.notes), start=1):
            if shard is not None and not shard.has(count):
                continue
            outcome.missing_columns = tuple(self.model.lacking(block))
            doubts.add(self.model.doubts(block))
            part = self._part(count)
            if not _is_whole(part):
                if self.request.merge:
                    raise DataError(f"--merge: {part} is missing; remove {self.parts} and run its shards again.")
                self._make(part, block)
            outcome.rows += len(block)
            self.advance(len(block))
        outcome.notes += [*doubts.sentences(), *(self.finder.notes() if self.finder else ())]
        return [self._part(number) for number in range(1, count + 1)]

    def _part(self, number: int) -> Path:
        return self.parts / f"{number:08d}.parquet"

    def _make(self, part: Path, block: pd.DataFrame) -> None:
        column, literal = self.column, not self.request.is_table
        given = block
        if self.finder is not None:
            given = block.assign(**{str(column): self.finder.find_all(_names(block[column]))})
        embeddings = None
        if self.request.embeddings:
            assert column is not None  # a model that embeds looks at images
            logits, embeddings, failures = self.model.embed_rows(given, self.root, column, literal)
        else:
            logits, failures = self.model.predict_rows(given, self.root, column, literal)
        self.outcome.failed += sum(map(bool, failures))
        _write_part(part, block, logits, failures, self.model, embeddings)


def _is_whole(part: Path) -> bool:
    """Whether a part is there and was not cut short, as by a machine that lost its power."""
    import pyarrow.parquet as pq

    try:
        pq.read_metadata(part)
    except (OSError, ValueError):
        return False
    return True


def _places(model: Model, request: Request) -> tuple[Path, str | None]:
    """Return the image root and the image column of the request."""
    if not request.source.exists():
        raise DataError(f"{request.source}: there is no such table or folder.")
    if not request.is_table:
        if not model.uses_images:
            raise DataError(f"{request.source}: holds images, but this model reads metadata alone.")
        return request.source if request.source.is_dir() else request.source.parent, OWN_IMAGE
    if not is_table(request.source):
        raise DataError(f"{request.source}: unknown kind of table; use {', '.join(KINDS)}.")
    root = request.image_root or request.source.parent
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; check --image-root.")
    return root, (request.image_column or str(model.image.get("column", OWN_IMAGE))) if model.uses_images else None


def _require_places(model: Model, request: Request) -> None:
    """Check before the work that all that is asked for can be written, and that nothing read would be lost."""
    if request.output.suffix.lower() not in OUTPUTS:
        raise DataError(f"{request.output}: unknown kind of output; use .csv or .parquet.")
    if request.sort_into is not None and not model.uses_images:
        raise DataError(f"--sort-into {request.sort_into}: this model reads metadata alone; there is nothing to sort.")
    if request.link and isinstance(request.image_root or request.source, RemotePath):
        raise DataError("--link: images of a URL can only be copied; leave it out.")
    parts = request.output.with_name(request.output.name + ".parts")
    if parts.exists() and not parts.is_dir():
        raise DataError(
            f"{parts}: is a file where the parts of the answers go; move it away or choose another --output."
        )
    reads = [request.source, *request.reads, *(path for path in model.folder.iterdir() if path.is_file())]
    require_place(request.output, reads)
    if request.group:
        require_place(_groups_path(request), reads, "--group: the table of groups")
    if request.sort_into is not None:
        if request.sort_into.resolve() == request.source.resolve():
            raise DataError(f"--sort-into {request.sort_into}: is the folder that is read; choose another one.")
        require_folder(request.sort_into, "--sort-into")


def _names(column: pd.Series) -> pd.Series:
    """Return the names of images, which a table may hold as numbers."""
    return column.map(cell_text).astype("str") if pd.api.types.is_numeric_dtype(column) else column


def _check_columns(request: Request, column: str | None) -> None:
    """Check that there is something to predict, with the columns that are asked for."""
    notes: list[str] = []
    block = next(_blocks(request, notes), None)
    if block is None:
        raise DataError(f"{request.source}: has nothing to predict. {' '.join(notes)}".strip())
    for option, name in (("--image-column", column), ("--group", request.group)):
        if name is not None and name not in block:
            raise DataError(
                f"{request.source}: has no column {name!r}; choose with {option} among {', '.join(map(str, block))}."
            )


def _blocks(request: Request, notes: list[str]) -> Iterator[pd.DataFrame]:
    if request.is_table:
        file = TableFile(request.source, frozenset(request.missing))
        yield from file.blocks(BLOCK)
        notes += file.notes
        return
    names = [request.source.name]
    if request.source.is_dir():
        listing = list_images(request.source, request.sort_into, request.links)
        names = listing.files
        notes += listing.notes()
    for start in range(0, len(names), BLOCK):
        yield pd.DataFrame({OWN_IMAGE: names[start : start + BLOCK]}, dtype="str")


def _key(model: Model, request: Request) -> str:
    """Return a digest of all that decides the logits of a row."""
    digest = hashlib.sha256(json.dumps(model.info["sha256"], sort_keys=True).encode())
    stamp: list[int] = []
    if request.source.is_dir():
        for block in _blocks(request, []):
            digest.update("\n".join(block[OWN_IMAGE]).encode())
    else:
        status = request.source.stat()
        stamp = [status.st_size, status.st_mtime_ns]
    facts = [str(request.source.resolve()), *stamp, request.image_column, str(request.image_root), BLOCK, LAYOUT]
    facts += [request.links] if request.links != "inside" else []
    digest.update(json.dumps([*facts, sorted(request.missing)]).encode())
    digest.update(b"embeddings" if request.embeddings else b"")
    return digest.hexdigest()


def _open_parts(parts: Path, key: str) -> None:
    """Keep the parts of a stopped call if they answer the same question."""
    marker = parts / "key.json"
    try:
        same = json.loads(marker.read_text(encoding="utf-8")) == key
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(parts, ignore_errors=True)
        write_json(marker, key)


def _write_part(
    path: Path,
    block: pd.DataFrame,
    logits: np.ndarray,
    failures: list[str],
    model: Model,
    embeddings: np.ndarray | None = None,
) -> None:
    part = {f"{INPUT}{name}": column.map(cell_text).astype("str") for name, column in block.items()}
    scores = {f"{LOGIT}{name}": logits[:, number] for number, name in enumerate(model.classes["name"])}
    table = pd.DataFrame({**part, FAILURE: pd.Series(failures, dtype="str", index=block.index), **scores})
    if embeddings is not None:
        table[EMBEDDING] = list(embeddings)
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


class _Answers:
    """Turns logits into answers, block by block, and puts the output in place at the end."""

    def __init__(
        self, model: Model, decisions: Decisions, request: Request, root: Path, column: str | None,
        finder: ImageFinder | None, outcome: Outcome,
    ) -> None:  # fmt: skip
        self.model = model
        self.decisions = decisions
        self.request = request
        self.column = column
        self.finder = finder
        self.outcome = outcome
        self.scores = [f"{LOGIT}{name}" for name in model.classes["name"]]
        self.groups: dict[str, tuple[np.ndarray, int]] = {}
        self.renamed: dict[str, str] = {}
        taxa = decisions.taxa()
        self.sorter = (
            Sorter(root, request.sort_into, request.link, taxa, literal=not request.is_table)
            if request.sort_into is not None
            else None
        )

    def write(self, files: list[Path]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        output = self.request.output
        with replacing(output) as temporary:
            writer: Any = None
            for file in files:
                table = self._answered(pd.read_parquet(file))
                if output.suffix.lower() == ".csv":
                    with open(temporary, "a", encoding="utf-8", newline="") as text:
                        text.write(csv_text(table, header=writer is None))
                    writer = True
                else:
                    arrow = pa.Table.from_pandas(table, preserve_index=False)
                    writer = writer or pq.ParquetWriter(temporary, arrow.schema)
                    writer.write_table(arrow)
            if isinstance(writer, pq.ParquetWriter):
                writer.close()
        if self.request.group:
            self._write_groups(self.request.group)
        if self.renamed:
            told = ", ".join(f"{old!r} as {new!r}" for old, new in self.renamed.items())
            self.outcome.notes.append(f"Columns of the table that are called like answers are kept as {told}.")

    def _answered(self, part: pd.DataFrame) -> pd.DataFrame:
        logits = part[self.scores].to_numpy(np.float64)
        answers = self.decisions.answers(self.model.probabilities(logits))
        answers["error"] = part[FAILURE].fillna("")
        if self.model.brand:
            answers["warning"] = self.model.brand
        if self.request.logits:
            named = {f"logit_{name}": logits[:, number] for number, name in enumerate(self.model.classes["name"])}
            answers = pd.concat([answers, pd.DataFrame(named)], axis=1)
        if self.request.embeddings:
            answers = pd.concat([answers, _embedding_columns(part, self.request.output)], axis=1)
        given = part[[name for name in part if name.startswith(INPUT)]].rename(columns=lambda name: name[len(INPUT) :])
        self._count(answers)
        if self.sorter is not None:
            references = given[self.column]
            if self.finder is not None:
                references = pd.Series(self.finder.find_all(references), index=references.index)
            self.sorter.sort(references, answers["prediction"], answers["error"] == "")
        if self.request.group:
            self._add_groups(given[self.request.group], logits)
        if self.column is not None and OWN_IMAGE not in given:
            answers.insert(0, OWN_IMAGE, given[self.column])
        return pd.concat([self._beside(given, answers), answers], axis=1)

    def _beside(self, given: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
        """Give the user's columns that are called like ours another name."""
        taken = {*given, *answers}
        for name in given:
            if name in answers and name not in self.renamed:
                new = f"{name} (input)"
                while new in taken:
                    new += "'"
                self.renamed[name] = new
        return given.rename(columns=self.renamed)

    def _count(self, answers: pd.DataFrame) -> None:
        self.outcome.rows += len(answers)
        self.outcome.failed += int((answers["error"] != "").sum())
        self.outcome.unsure += int(((answers["prediction"] == "") & (answers["error"] == "")).sum())

    def _add_groups(self, names: pd.Series, logits: np.ndarray) -> None:
        usable = names.notna() & np.isfinite(logits).all(axis=1)
        for name, rows in names[usable].groupby(names[usable]).groups.items():
            total, count = self.groups.get(str(name), (np.zeros(logits.shape[1]), 0))
            self.groups[str(name)] = total + logits[rows.to_numpy()].sum(axis=0), count + len(rows)

    def _write_groups(self, group: str) -> None:
        """Write one answer for each group, from the mean of its logits, beside the output."""
        if not self.groups:
            return
        means = np.stack([total / count for total, count in self.groups.values()])
        answers = self.decisions.answers(self.model.probabilities(means))
        answers.insert(0, "specimens", [count for _, count in self.groups.values()])
        name = f"{group} (input)" if group in answers else group
        answers.insert(0, name, pd.Series(list(self.groups), dtype="str"))
        path = _groups_path(self.request)
        with replacing(path) as temporary:
            if path.suffix.lower() == ".csv":
                temporary.write_text(csv_text(answers), encoding="utf-8")
            else:
                answers.to_parquet(temporary, index=False)


def _embedding_columns(part: pd.DataFrame, output: Path) -> pd.DataFrame:
    """Return the embeddings of a block as the output's kind holds them."""
    if output.suffix.lower() == ".parquet":
        return part[[EMBEDDING]]
    values = np.stack(part[EMBEDDING].to_list())
    return pd.DataFrame(
        values, columns=[f"{EMBEDDING}_{number}" for number in range(values.shape[1])], index=part.index
    )


def _groups_path(request: Request) -> Path:
    """Return where the groups' answers go: beside the output."""
    group = "".join("_" if letter in '/\\\0:*?"<>|' else letter for letter in request.group or "")
    return request.output.with_name(f"{request.output.stem}_by_{group}{request.output.suffix}")
