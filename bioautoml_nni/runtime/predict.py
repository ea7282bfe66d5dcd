"""`bioautoml predict`: a table or folder of any size to a table of answers, in blocks that survive a stop."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..data.finding import ImageFinder
from ..data.image_files import list_images
from ..data.remark import TableAt, of_kind
from ..data.tables import KINDS, TableFile, cell_text, is_table
from ..utils.atomic import remove_leftovers, replacing, write_json
from ..utils.errors import DataError
from ..utils.places import require_folder, require_place
from ..utils.remote import RemotePath
from ..utils.shard import Shard
from .answers import Answers, groups_path
from .decisions import Decisions
from .doubts import Doubts
from .model import Model
from .parts import write_part
from .request import EMBEDDING, FAILURE, INPUT, OWN_IMAGE, Outcome, Request
from .shards import Shards

BLOCK = 512
LAYOUT = 3
"""Of the parts of a stopped call; those of another are not gone on with."""
OUTPUTS = (".csv", ".parquet")


def predict(model: Model, request: Request, advance: Callable[[int], None] = lambda count: None) -> Outcome:
    """Predict every row; a stopped call resumes after its last completed block when it is given again.

    Raises:
        DataError: for a source, column, list or output that cannot be used.
    """
    decisions, root, column = _checked(model, request)
    shards = Shards(parts_of(request), _key(model, request))
    parts, key = shards.parts, shards.key
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
    for path in (request.output, groups_path(request)):
        remove_leftovers(path.parent, path.name)
    files = work.blocks()
    work.outcome.rows = work.outcome.failed = 0
    Answers(model, decisions, request, root, column, work.finder, work.outcome).write(files)
    shutil.rmtree(parts)
    return work.outcome


def shards_of(model: Model, request: Request) -> Shards:
    """Return the shards of a request that can be answered.

    Raises:
        DataError: see `predict`.
    """
    _checked(model, request)
    return Shards(parts_of(request), _key(model, request))


def parts_of(request: Request) -> Path:
    """Return the folder in which the parts of a prediction gather."""
    return request.output.with_name(request.output.name + ".parts")


def _checked(model: Model, request: Request) -> tuple[Decisions, Path, str | None]:
    """Return how a request is to be answered, the image root and the image column.

    Raises:
        DataError: if it cannot be answered.
    """
    if request.embeddings and not model.embeds:
        raise DataError("--embeddings: this model reads metadata alone; it has no embedding of images.")
    level = None if request.coverage is None else model.coverage_level(request.coverage)
    model.links = request.links
    decisions = model.decisions(threshold=request.threshold, species_list=request.species_list, level=level)
    root, column = _places(model, request)
    _require_places(model, request)
    _check_columns(request, column)
    return decisions, root, column


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
            given = block.assign(**{str(column): self.finder.find_all(image_names(block[column]))})
        embeddings = None
        if self.request.embeddings:
            assert column is not None  # a model that embeds looks at images
            logits, embeddings, failures = self.model.embed_rows(given, self.root, column, literal)
        else:
            logits, failures = self.model.predict_rows(given, self.root, column, literal)
        self.outcome.failed += sum(map(bool, failures))
        _write_part(part, block, logits, failures, embeddings)


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
            columns = ", ".join(model.preprocessor.roles)
            raise DataError(
                f"{request.source}: holds images, but this model reads metadata alone; give it a table with: {columns}."
            )
        return request.source if request.source.is_dir() else request.source.parent, OWN_IMAGE
    if not is_table(request.source):
        raise DataError(f"{request.source}: unknown kind of table; use {', '.join(KINDS)}.")
    root = request.image_root or request.source.parent
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; check --image-root.")
    return root, (request.image_column or model.image.column or OWN_IMAGE) if model.uses_images else None


def _require_places(model: Model, request: Request) -> None:
    """Check before the work that all that is asked for can be written, and that nothing read would be lost."""
    if request.output.suffix.lower() not in OUTPUTS:
        raise DataError(f"{request.output}: unknown kind of output; use .csv or .parquet.")
    if request.sort_into is not None and not model.uses_images:
        raise DataError(f"--sort-into {request.sort_into}: this model reads metadata alone; there is nothing to sort.")
    if request.link and isinstance(request.image_root or request.source, RemotePath):
        raise DataError("--link: images of a URL can only be copied; leave it out.")
    parts = parts_of(request)
    if parts.exists() and not parts.is_dir():
        raise DataError(
            f"{parts}: is a file where the parts of the answers go; move it away or choose another --output."
        )
    reads = [request.source, *request.reads, *(path for path in model.folder.iterdir() if path.is_file())]
    require_place(request.output, reads)
    if request.group:
        require_place(groups_path(request), reads, "--group: the table of groups")
    if request.sort_into is not None:
        if request.sort_into.resolve() == request.source.resolve():
            raise DataError(f"--sort-into {request.sort_into}: is the folder that is read; choose another one.")
        require_folder(request.sort_into, "--sort-into")


def image_names(column: pd.Series) -> pd.Series:
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
            text = f"{request.source}: has no column {name!r}; choose with {option} among {', '.join(map(str, block))}."
            raise DataError(" ".join([text, *of_kind(notes, TableAt)]))


def _blocks(request: Request, notes: list[str]) -> Iterator[pd.DataFrame]:
    if request.is_table:
        file = TableFile(
            request.source, frozenset(request.missing), request.encoding, request.sheet, request.header_row
        )
        before = len(notes)
        try:
            for block in file.blocks(BLOCK):
                notes[before:] = map(_with_options, file.notes)
                yield block
        except DataError as error:
            raise DataError(_with_options(str(error))) from error
        notes[before:] = map(_with_options, file.notes)
        return
    names = [request.source.name]
    if request.source.is_dir():
        listing = list_images(request.source, request.sort_into, request.links)
        names = listing.files
        notes += listing.notes()
    for start in range(0, len(names), BLOCK):
        yield pd.DataFrame({OWN_IMAGE: names[start : start + BLOCK]}, dtype="str")


def _with_options(text: str) -> str:
    """Return what a reader of a table says with this command's options in place of keys of an experiment."""
    given = re.sub(r"\bwrite (data\.(?:sheet|header_row)):?", r"give \1", text)
    said = re.sub(r"\bdata\.(sheet|header_row)\b", lambda found: f"--{found[1].replace('_', '-')}", given)
    return type(text)(said)  # a note stays of its kind


def _key(model: Model, request: Request) -> str:
    """Return a digest of all that decides the logits of a row."""
    digest = hashlib.sha256(json.dumps(model.info.sha256, sort_keys=True).encode())
    stamp: list[int] = []
    if request.source.is_dir():
        for block in _blocks(request, []):
            digest.update("\n".join(block[OWN_IMAGE]).encode())
    else:
        status = request.source.stat()
        stamp = [status.st_size, status.st_mtime_ns]
    facts = [str(request.source.resolve()), *stamp, request.image_column, str(request.image_root), BLOCK, LAYOUT]
    facts += [name for name in (request.sheet, request.header_row, request.encoding) if name is not None]
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
    embeddings: np.ndarray | None = None,
) -> None:
    part = {f"{INPUT}{name}": column.map(cell_text).astype("str") for name, column in block.items()}
    table = pd.DataFrame({**part, FAILURE: pd.Series(failures, dtype="str", index=block.index)})
    if embeddings is not None:
        table[EMBEDDING] = list(embeddings)
    with replacing(path) as temporary:
        write_part(temporary, table, logits)
