"""Insect-1M (Nguyen et al., Insect-Foundation, arXiv 2311.15206)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.manifest import ID, IMAGE, LABEL, Manifest, Role, without_repeats
from ..data.remark import Lost
from ..utils.encodings import read_text
from ..utils.errors import DataError
from ..utils.json_text import parse_json
from ..utils.remote import joined
from ._coco_file import by_id, is_name, key_of, plain_text
from ._left_out import LeftOut
from ._media import MediaFolder

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
        path, counts, notes = self._file(), LeftOut(), list[str]()
        records, descriptions = _records(path, counts)
        ranks = sorted({key.lower() for record in records for key in record} & set(RANKS), key=RANKS.index)
        if self.rank not in ranks:
            raise DataError(f"{path}: its records have no rank {self.rank!r}; data.rank may be {', '.join(ranks)}.")
        hidden = _taxon_words(records, ranks)
        images = _images(folder, records, notes)
        rows = [row for record in records if (row := self._row(record, descriptions, ranks, images, hidden, counts))]
        if not rows:
            raise DataError(f"{path}: no record has both an image below {folder} and a {self.rank}; check both.")
        roles: dict[str, Role] = {rank: "taxonomy" for rank in ranks if rank != self.rank}
        roles["description"] = "text"
        notes += counts.sentences(path.name)
        notes.append(f"{len(hidden)} words of taxon names were removed from the descriptions.")
        table = without_repeats(pd.DataFrame(rows), notes)
        return Manifest(table, folder, roles, rank=self.rank, infer=False, notes=notes)

    def _row(
        self,
        record: dict[str, Any],
        descriptions: dict[str, dict[str, Any]],
        ranks: list[str],
        images: dict[str, str],
        hidden: set[str],
        counts: LeftOut,
    ) -> dict[str, Any] | None:
        """Return the row of a record with a label and an image; count what it lacks."""
        lowered = {str(key).lower(): value for key, value in record.items()}
        identifier, label = key_of(record["id"]), plain_text(lowered.get(self.rank))
        if label is None:
            counts.note(f"records without a {self.rank}", record)
        if identifier not in images:
            counts.note("records without a downloaded image", record)
        if label is None or identifier not in images:
            return None
        named = lowered.get("description_ids")
        listed = named if isinstance(named, list) else [] if named is None else [named]
        texts = [descriptions[key]["description"] for entry in listed if (key := _key(entry)) in descriptions]
        counts["descriptions that records name and the file does not hold"] += len(listed) - len(texts)
        others = {rank: lowered.get(rank) for rank in ranks if rank != self.rank}
        odd = sum(isinstance(value, (list, dict)) for value in others.values())
        counts["values of ranks that are lists or objects"] += odd
        return {
            ID: identifier,
            IMAGE: images[identifier],
            LABEL: label,
            "description": _without(" ".join(texts), hidden),
            **{rank: plain_text(value) for rank, value in others.items()},
        }

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


def _records(path: Path, counts: LeftOut) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return the records, and the descriptions by id; what is none is counted."""
    try:
        content = parse_json(read_text(path))
        records, entries = list(content["insect_records"]), list(content["description_records"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: is not Insect-1M's JSON with insect_records and description_records ({error}); check the file."
        ) from error
    sound = [record for record in records if isinstance(record, dict) and is_name(record.get("id"))]
    counts["entries of insect_records without an id"] += len(records) - len(sound)
    named = [entry for entry in entries if isinstance(entry, dict) and is_name(entry.get("id"))]
    told = [{"id": entry["id"], "description": plain_text(entry.get("description", entry.get("desciption")))}
            for entry in named]  # fmt: skip
    texts = [entry for entry in told if entry["description"]]
    counts["entries of description_records without id and text"] += len(entries) - len(texts)
    return sound, by_id(texts, "description", counts)


def _images(folder: Path, records: list[dict[str, Any]], notes: list[str]) -> dict[str, str]:
    """Return the image of each record by its id: the file that bears the id, or else the one of its URL."""
    media = MediaFolder(folder, None, notes)
    stems: dict[str, list[str]] = {}
    for file in media.files:
        stems.setdefault(Path(file).stem, []).append(file)
    ids = dict.fromkeys(key_of(record["id"]) for record in records)
    files = {key: stems[key] for key in ids if key in stems}
    others = [
        {"_core": key, "identifier": url}
        for record in records
        if (key := key_of(record["id"])) not in files and isinstance(url := record.get("image_url"), str)
    ]
    if others:
        taken = {file for named in files.values() for file in named}
        listed = pd.DataFrame(others)
        pairs = media.match(listed[["_core"]].drop_duplicates(), listed)
        for key, file in zip(pairs["_core"], pairs[IMAGE], strict=True):
            if file not in taken:
                files.setdefault(key, []).append(file)
    several = [key for key, named in files.items() if len(named) > 1]
    if several:
        notes.append(Lost(f"{len(several)} records have several images, and none is taken, such as {several[0]}."))
    return {key: named[0] for key, named in files.items() if len(named) == 1}


def _key(value: Any) -> str | None:
    return key_of(value) if is_name(value) else None


def _taxon_words(records: list[dict[str, Any]], ranks: list[str]) -> set[str]:
    """Return all words of all taxon names, in lower case."""
    names = {str(value) for record in records for key, value in record.items() if key.lower() in ranks and value}
    return {word.lower() for name in names for word in NAME.findall(name)}


def _without(text: str, hidden: set[str]) -> str | None:
    kept = [word for word in re.findall(r"\S+", text) if not hidden & {part.lower() for part in NAME.findall(word)}]
    return " ".join(kept) or None
