"""What is to be predicted, what came of it, and how the parts of a prediction name their columns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..data.image_files import SUFFIXES, Links
from ..utils.shard import Shard

INPUT, FAILURE, LOGITS = "input ", "failure", "logits"
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
        sheet, header_row, encoding: of the table; see `TableFile`.
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
    sheet: str | None = None
    header_row: int | None = None
    encoding: str | None = None

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
