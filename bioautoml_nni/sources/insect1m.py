"""Insect-1M (Nguyen et al., Insect-Foundation, arXiv 2311.15206)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.image_files import SUFFIXES
from ..data.manifest import ID, IMAGE, LABEL, Manifest, Role, without_repeats
from ..data.remark import Lost
from ..utils.encodings import read_text
from ..utils.errors import DataError
from ..utils.json_text import parse_json
from ..utils.remote import joined

RANKS = (
    "kingdom", "phylum", "subphylum", "class", "subclass", "order", "suborder", "superfamily", "family", "subfamily",
    "tribe", "genus", "species",
)  # fmt: skip
NAME = re.compile(r"[^\W\d_]{3,}")


class Insect1MSource:
    """Insect-1M's JSON beside a folder with the images that you have downloaded.

    The release gives images as URLs and neither site, date nor measurement. Its second modality is the description
    text, of which every word is removed that occurs in the name of any taxon at any rank.

    What could not be checked: the authors' file was out of reach. The layout follows the description of the release:
    ``insect_records`` with id, image_url, description_ids and one key per rank, ``description_records`` with id and
    description (also under the misspelt key ``desciption`` that the authors' loader reads). Rank keys are compared
    without regard to case.

    Args:
        root: folder of the JSON file and the images.
        annotations: the JSON file below `root`; by default the only one there.
        image_root: folder below `root` with the images, named by the record's id or as in its URL.
        rank: label.
    """

    capabilities = ("text",)

    def __init__(
        self, root: Path, annotations: str | None = None, image_root: str = "images", rank: str = "order"
    ) -> None:
        self.root = root
        self.annotations = annotations
        self.image_root = image_root
        self.rank = rank.lower()

    def load(self) -> Manifest:
        """Read the records; see `Source.load`."""
        folder = joined(self.root, self.image_root)
        if not folder.is_dir():
            raise DataError(
                f"{folder}: there is no such image folder. Insect-1M lists images as URLs; download those that you "
                "may use into it, named by record id or as in the URL (data.image_root)."
            )
        path = self._file()
        records, descriptions = _records(path)
        ranks = sorted({key.lower() for record in records for key in record} & set(RANKS), key=RANKS.index)
        if self.rank not in ranks:
            raise DataError(f"{path}: its records have no rank {self.rank!r}; data.rank may be {', '.join(ranks)}.")
        hidden = _taxon_words(records, ranks)
        rows, notes = self._rows(records, descriptions, ranks, folder, hidden)
        if not rows:
            raise DataError(f"{path}: no record has both an image below {folder} and a {self.rank}; check both.")
        roles: dict[str, Role] = {rank: "taxonomy" for rank in ranks if rank != self.rank}
        roles["description"] = "text"
        notes.append(f"{len(hidden)} words of taxon names were removed from the descriptions.")
        table = without_repeats(pd.DataFrame(rows), notes)
        return Manifest(table, folder, roles, rank=self.rank, infer=False, notes=notes)

    def _rows(
        self,
        records: list[dict[str, Any]],
        descriptions: dict[str, str],
        ranks: list[str],
        folder: Path,
        hidden: set[str],
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """Return a row for each record with a label and an image, and notes on how many lack one of them."""
        stems = {file.stem: file for file in sorted(folder.rglob("*")) if file.suffix.lower() in SUFFIXES}
        rows: list[dict[str, Any]] = []
        without_image = without_label = 0
        for record in records:
            lowered = {str(key).lower(): value for key, value in record.items()}
            label = _text(lowered.get(self.rank))
            file = stems.get(str(record["id"])) or stems.get(_url_stem(str(record.get("image_url", ""))))
            without_label += label is None
            without_image += file is None
            if label is None or file is None:
                continue
            texts = [descriptions[key] for key in map(str, record.get("description_ids") or []) if key in descriptions]
            rows.append(
                {
                    ID: str(record["id"]),
                    IMAGE: file.relative_to(folder).as_posix(),
                    LABEL: label,
                    "description": _without(" ".join(texts), hidden),
                    **{rank: _text(lowered.get(rank)) for rank in ranks if rank != self.rank},
                }
            )
        lacking = ((without_label, f"a {self.rank}"), (without_image, "a downloaded image"))
        return rows, [Lost(f"{count} records without {what} left out.") for count, what in lacking if count]

    def _file(self) -> Path:
        if self.annotations is not None:
            path = self.root / self.annotations
            if not path.is_file():
                raise DataError(f"{path}: there is no such file; check data.root and data.annotations.")
            return path
        found = sorted(self.root.glob("*.json"))
        if len(found) != 1:
            raise DataError(
                f"{self.root}: holds {len(found)} JSON files; unpack the release archive there, or name the file "
                "under data.annotations."
            )
        return found[0]


def _records(path: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    try:
        content = parse_json(read_text(path))
        records = list(content["insect_records"])
        entries = list(content["description_records"])
        descriptions = {str(entry["id"]): entry.get("description", entry.get("desciption")) for entry in entries}
        if any("id" not in record for record in records):
            raise KeyError("id")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: is not Insect-1M's JSON with insect_records and description_records ({error}); check the file."
        ) from error
    return records, {key: str(text) for key, text in descriptions.items() if text}


def _taxon_words(records: list[dict[str, Any]], ranks: list[str]) -> set[str]:
    """Return all words of all taxon names, in lower case."""
    names = {str(value) for record in records for key, value in record.items() if key.lower() in ranks and value}
    return {word.lower() for name in names for word in NAME.findall(name)}


def _without(text: str, hidden: set[str]) -> str | None:
    kept = [word for word in re.findall(r"\S+", text) if not hidden & {part.lower() for part in NAME.findall(word)}]
    return " ".join(kept) or None


def _text(value: Any) -> str | None:
    return str(value).strip() or None if value is not None else None


def _url_stem(url: str) -> str:
    return Path(url.split("?")[0].rstrip("/")).stem
