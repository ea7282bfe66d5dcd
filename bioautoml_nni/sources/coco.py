"""COCO JSON and its relatives: COCO-CameraTraps and the iNaturalist competitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role
from ..utils.errors import DataError

TAXA = ("kingdom", "supercategory", "phylum", "class", "order", "family", "genus", "specific_epithet", "common_name")
IMAGE_ROLES: dict[str, Role] = {
    "latitude": "latitude",
    "longitude": "longitude",
    "date": "date",
    "datetime": "date",
    "seq_id": "group",
}
NOT_METADATA = {
    "id", "file_name", "width", "height", "license", "rights_holder", "coco_url", "flickr_url", "seq_num_frames",
    "frame_num",
}  # fmt: skip

NEEDED = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id",)}
LARGEST_PICTURE = 1e9
"""No side of a picture has so many pixels; a box that goes beyond it is none."""


class CocoSource:
    """Annotations in COCO's JSON format: one specimen per box, or one per image.

    Understands COCO (boxes), COCO-CameraTraps (sequence, location and time of an image; frames of one sequence are
    one group, ``seq_id``) and the iNaturalist competitions (taxonomy of the categories, place and date of an image).

    Args:
        root: folder of the annotation files and the images.
        annotations: file below `root`, or one file per part of an official split, such as {train: a.json, val: b.json}.
        image_root: folder below `root` that file names start from.
        rank: field of a category that is the label: "name", or a taxonomic rank where the categories have one.
        crop: cut every box out as a specimen of its own; otherwise an image needs annotations of one category.
        margin: share of the longer side of a box that is added on each side.
        leave_out: labels to leave out, such as "empty" and "human".
    """

    capabilities = ("official_split", "boxes")

    def __init__(
        self,
        root: Path,
        annotations: str | dict[str, str] = "annotations.json",
        image_root: str = ".",
        rank: str = "name",
        crop: bool = True,
        margin: float = 0.1,
        leave_out: list[str] | None = None,
    ) -> None:
        self.root = root
        self.annotations = annotations
        self.image_root = image_root
        self.rank = rank
        self.crop = crop
        self.margin = margin
        self.leave_out = set(leave_out or [])

    def load(self) -> Manifest:
        """Read the annotations; see `Source.load`."""
        folder = self.root / self.image_root
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such image folder; check data.root and data.image_root.")
        notes: list[str] = []
        if isinstance(self.annotations, str):
            table = self._read(self.root / self.annotations, notes)
        else:
            parts = [
                self._read(self.root / name, notes).assign(**{SPLIT: part}) for part, name in self.annotations.items()
            ]
            table = pd.concat(parts, ignore_index=True)
            if table[ID].duplicated().any():
                table[ID] = table[SPLIT] + "/" + table[ID]
        if table.empty:
            raise DataError(f"{self.root}: no annotation is left with a label and an image; see data.leave_out.")
        roles: dict[str, Role] = {name: role for name, role in IMAGE_ROLES.items() if name in table}
        roles |= {name: "taxonomy" for name in TAXA if name in table}
        if ("latitude" in roles) != ("longitude" in roles):
            roles = {name: role for name, role in roles.items() if role not in ("latitude", "longitude")}
        return Manifest(table, folder, roles, rank=self.rank, notes=notes)

    def _read(self, path: Path, notes: list[str]) -> pd.DataFrame:
        content = _json(path)
        categories = {category["id"]: category for category in content["categories"]}
        if not any(self.rank in category for category in categories.values()):
            known = ", ".join(sorted({str(key) for category in categories.values() for key in category}))
            raise DataError(f"{path}: no category has a {self.rank!r}; data.rank may be one of {known}.")
        annotations = pd.DataFrame(content["annotations"])
        images = {image["id"]: image for image in content["images"]}
        rows: list[dict[str, Any]] = []
        orphans = unlabelled = left_out = mixed = 0
        for image_id, own in annotations.groupby("image_id", sort=True):
            image = images.get(image_id)
            if image is None:
                orphans += len(own)
                continue
            records = own.to_dict("records")
            if not (self.crop and all(_box(record) for record in records)):
                if own["category_id"].nunique() > 1:
                    mixed += 1
                    continue
                records = records[:1]
            for record in records:
                category = categories.get(record["category_id"], {})
                label = category.get(self.rank)
                if label is None or not str(label).strip():
                    unlabelled += 1
                elif str(label) in self.leave_out:
                    left_out += 1
                else:
                    rows.append(self._row(record, image, category, str(label), alone=len(records) == 1))
        for count, words in (
            (orphans, "annotations of images that the file does not list"),
            (unlabelled, f"annotations without a {self.rank}"),
            (left_out, "annotations of labels to leave out"),
            (mixed, "images with several categories and no boxes to tell them apart"),
        ):
            if count:
                notes.append(f"{path.name}: {count} {words} left out.")
        return pd.DataFrame(rows)

    def _row(
        self, record: dict[str, Any], image: dict[str, Any], category: dict[str, Any], label: str, alone: bool
    ) -> dict[str, Any]:
        box = _box(record) if self.crop else None
        reference = str(image["file_name"])
        if box:
            reference += "#" + ",".join(str(number) for number in _widen(box, self.margin))
        identifier = str(image["id"]) if alone else f"{image['id']}/{record.get('id', reference)}"
        extra = {
            key: value
            for key, value in image.items()
            if key not in NOT_METADATA and isinstance(value, (str, int, float)) and not key.startswith("_")
        }
        taxa = {key: category[key] for key in TAXA if key in category and key != self.rank}
        return {ID: identifier, IMAGE: reference, LABEL: label, **extra, **taxa}


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"{path}: there is no such annotation file; check data.root and data.annotations.")
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error}); repair or download it again.") from error
    keys = ("images", "annotations", "categories")
    missing = [key for key in keys if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise DataError(f"{path}: has no list of {', '.join(missing)}, which COCO's format asks for.")
    for key, needed in NEEDED.items():
        for position, entry in enumerate(content[key]):
            own = entry if isinstance(entry, dict) else {}
            gone = [name for name in needed if not isinstance(own.get(name), (int, str))]
            if gone:
                raise DataError(
                    f"{path}: entry {position} of {key} lacks {', '.join(gone)}, a number or a text; repair it."
                )
    return content


def _box(record: dict[str, Any]) -> tuple[float, float, float, float] | None:
    box = record.get("bbox")
    if not isinstance(box, (list, tuple)) or len(box) != 4:
        return None
    if not all(isinstance(number, (int, float)) and abs(number) < LARGEST_PICTURE for number in box):
        return None
    if box[2] <= 0 or box[3] <= 0:
        return None
    return (box[0], box[1], box[2], box[3])


def _widen(box: tuple[float, float, float, float], margin: float) -> tuple[int, int, int, int]:
    left, top, width, height = box
    extra = margin * max(width, height)
    first_x, first_y = max(0, round(left - extra)), max(0, round(top - extra))
    return first_x, first_y, round(left + width + extra) - first_x, round(top + height + extra) - first_y
