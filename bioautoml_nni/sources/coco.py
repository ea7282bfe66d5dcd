"""COCO JSON and its relatives: COCO-CameraTraps and the iNaturalist competitions."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..data.decoding import require_below
from ..data.frames import Box, Drawn, ImageFrame, read_frame
from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role, without_repeats
from ..data.typed import with_types
from ..utils.encodings import read_text
from ..utils.errors import DataError
from ..utils.remote import joined

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
ORPHANS = "annotations of images that the file does not list"
CLIPPED = "boxes that reach beyond their image are cut at its border"
LARGEST_SIDE = 1e9
"""No side of an image has so many pixels; a box that goes beyond it is none."""


class CocoSource:
    """Annotations in COCO's JSON format: one specimen per box, or one per image.

    Understands COCO (boxes), COCO-CameraTraps (sequence, location and time of an image; frames of one sequence are
    one group, ``seq_id``) and the iNaturalist competitions (taxonomy of the categories, place and date of an image).
    Where ``images`` states width and height, they say in which frame the boxes were drawn: that of the stored pixels,
    or of the image as EXIF turns it. Invalid boxes, those outside and crowds are left out, each for itself.

    Args:
        root: folder of the annotation files and the images.
        annotations: file below `root`, or one file per part of an official split, such as {train: a.json, val: b.json}.
        image_root: folder below `root` that file names start from.
        rank: field of a category that is the label: "name", or a taxonomic rank where the categories have one.
        crop: cut every box out as a specimen of its own; otherwise an image needs annotations of one category.
        margin: share of the longer side of a box that is added on each side.
        leave_out: labels to leave out, such as "empty" and "human".
        boxes: whether boxes were drawn on the stored pixels or on the image shown as EXIF turns it; by default width
            and height of the images say it.
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
        boxes: Literal["stored", "shown"] | None = None,
    ) -> None:
        self.root = root
        self.annotations = annotations
        self.image_root = image_root
        self.rank = rank
        self.crop = crop
        self.margin = margin
        self.leave_out = set(leave_out or [])
        self.boxes = boxes
        self._drawn: Drawn = "shown"
        self._frames: dict[str, ImageFrame | None] = {}

    def load(self) -> Manifest:
        """Read the annotations; see `Source.load`."""
        folder = joined(self.root, self.image_root)
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
            told = f" ({' '.join(notes)})" if notes else ""
            raise DataError(
                f"{self.root}: no annotation is left with a label and an image{told}; check the file and "
                "data.leave_out."
            )
        roles: dict[str, Role] = {name: role for name, role in IMAGE_ROLES.items() if name in table}
        roles |= {name: "taxonomy" for name in TAXA if name in table}
        typed = with_types(table, {ID, IMAGE, LABEL, SPLIT}, roles)
        if ("latitude" in roles) != ("longitude" in roles):
            roles = {name: role for name, role in roles.items() if role not in ("latitude", "longitude")}
        return Manifest(typed.table, folder, roles, rank=self.rank, notes=notes, forms=typed.forms, unread=typed.unread)

    def _read(self, path: Path, notes: list[str]) -> pd.DataFrame:
        content = _json(path)
        categories = {str(category["id"]): category for category in content["categories"]}
        if not any(self.rank in category for category in categories.values()):
            known = ", ".join(sorted({str(key) for category in categories.values() for key in category}))
            raise DataError(f"{path}: no category has a {self.rank!r}; data.rank may be one of {known}.")
        images = {str(image["id"]): image for image in content["images"]}
        by_image: dict[str, list[dict[str, Any]]] = {}
        for annotation in content["annotations"]:
            by_image.setdefault(str(annotation["image_id"]), []).append(annotation)
        if self.crop:
            boxed = [images[key] for key, own in by_image.items() if key in images and any(map(_has_box, own))]
            self._decide_frame(path, boxed, notes)
        counts: Counter[str] = Counter()
        rows: list[dict[str, Any]] = []
        for image_id in sorted(by_image, key=_in_order):
            image = images.get(image_id)
            if image is None:
                counts[ORPHANS] += len(by_image[image_id])
                continue
            specimens = self._specimens(by_image[image_id], image, counts)
            for record, box in specimens:
                category = categories.get(str(record["category_id"]), {})
                label = category.get(self.rank)
                if label is None or not str(label).strip():
                    counts[f"annotations without a {self.rank}"] += 1
                elif str(label) in self.leave_out:
                    counts["annotations of labels to leave out"] += 1
                else:
                    rows.append(self._row(record, box, image, category, str(label), alone=len(specimens) == 1))
        if not content["annotations"]:
            notes.append(f"{path.name}: has no annotations; its {len(images)} images have no label and are left out.")
        else:
            counts["images without annotations"] = len(images.keys() - by_image.keys())
        notes += [
            f"{path.name}: {count} {words} left out." for words, count in counts.items() if count and words != CLIPPED
        ]
        if counts[CLIPPED]:
            notes.append(f"{path.name}: {counts[CLIPPED]} {CLIPPED}.")
        return without_repeats(pd.DataFrame(rows), notes) if rows else pd.DataFrame()

    def _specimens(
        self, annotations: list[dict[str, Any]], image: dict[str, Any], counts: Counter[str]
    ) -> list[tuple[dict[str, Any], Box | None]]:
        """Return the annotations of an image that are specimens, each with its box, or None for the whole image."""
        records = [record for record in annotations if record.get("iscrowd") not in (1, True)]
        counts["annotations of crowds (iscrowd), which are no single specimen,"] += len(annotations) - len(records)
        boxed = [record for record in records if self.crop and _has_box(record)]
        if boxed:
            found = [(record, self._box(record, image, counts)) for record in boxed]
            counts["annotations without a box beside others that have one"] += len(records) - len(boxed)
            return [(record, box) for record, box in found if box is not None]
        if len({str(record["category_id"]) for record in records}) > 1:
            counts["images with several categories and no boxes to tell them apart"] += 1
            return []
        return [(record, None) for record in records[:1]]

    def _box(self, record: dict[str, Any], image: dict[str, Any], counts: Counter[str]) -> Box | None:
        """Return the box of an annotation, in the frame of the image as it is shown; count what is wrong with it."""
        box = _valid_box(record)
        if box is None:
            counts["annotations with an invalid box"] += 1
            return None
        size = _size(image)
        if size is None:
            return box
        clipped = _clipped(box, size)
        if clipped is None:
            counts["annotations with a box outside of their image"] += 1
            return None
        counts[CLIPPED] += clipped != box
        frame = self._frame(str(image["file_name"]))
        if frame is None:  # unreadable, as the audit will say
            return clipped
        drawn = frame.says(size)
        if drawn is None:
            counts["annotations whose image has another size than their file says"] += 1
            return None
        return frame.box_as_shown(clipped, self.boxes or self._drawn if drawn == "either" else self.boxes or drawn)

    def _decide_frame(self, path: Path, boxed: list[dict[str, Any]], notes: list[str]) -> None:
        """Decide for images whose size does not tell it by those whose size does: a tool minds EXIF or does not."""
        says = Counter(
            frame.says(size)
            for image in boxed
            if (size := _size(image)) and (frame := self._frame(str(image["file_name"]))) and frame.orientation != 1
        )
        self._drawn = "stored" if says["stored"] > says["shown"] else "shown"
        if says["either"] and not self.boxes:
            others = f"as in {says[self._drawn]} others" if says[self._drawn] else "since nothing says otherwise"
            notes.append(
                f"{path.name}: EXIF turns {says['either']} images whose size does not tell which frame their boxes are "
                f"in; the {self._drawn} one is taken, {others}. data.boxes: stored or shown decides it."
            )

    def _frame(self, name: str) -> ImageFrame | None:
        if name not in self._frames:
            folder = joined(self.root, self.image_root)
            require_below(folder, [name])
            self._frames[name] = read_frame(folder / name)
        return self._frames[name]

    def _row(
        self, record: dict[str, Any], box: Box | None, image: dict[str, Any], category: dict[str, Any], label: str,
        alone: bool,
    ) -> dict[str, Any]:  # fmt: skip
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
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
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


def _has_box(record: dict[str, Any]) -> bool:
    """Whether an annotation says where its specimen is, however badly."""
    return bool(record.get("bbox")) or bool(record.get("segmentation"))


def _valid_box(record: dict[str, Any]) -> Box | None:
    """Return the box of an annotation, or the one around its segmentation; None for one that is none."""
    box = record.get("bbox") or _around(record.get("segmentation"))
    if not isinstance(box, (list, tuple)) or len(box) != 4 or not all(_is_length(number) for number in box):
        return None
    return (box[0], box[1], box[2], box[3]) if box[2] > 0 and box[3] > 0 else None


def _around(segmentation: Any) -> list[float] | None:
    """Return the box around polygons, or around a mask of run lengths that is not packed."""
    if isinstance(segmentation, list):
        points = [number for polygon in segmentation if isinstance(polygon, list) for number in polygon]
        if len(points) < 6 or not all(_is_length(number) for number in points):
            return None
        left, top = min(points[::2]), min(points[1::2])
        return [left, top, max(points[::2]) - left, max(points[1::2]) - top]
    if isinstance(segmentation, dict) and isinstance(segmentation.get("counts"), list):
        return _around_runs(segmentation["counts"], segmentation.get("size"))
    return None


def _around_runs(counts: list[Any], size: Any) -> list[float] | None:
    """Return the box around a mask whose run lengths go down its columns, zeros first."""
    if not (
        isinstance(size, list) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in [*size, *counts[1:]])
    ):
        return None
    height = size[0]
    ends = np.cumsum(counts)
    runs = [(int(ends[n - 1]), int(ends[n]) - 1) for n in range(1, len(counts), 2)]
    if not runs or ends[-1] > size[0] * size[1]:
        return None
    columns = [place // height for run in runs for place in run]
    rows = [
        row
        for first, last in runs
        for row in ((0, height - 1) if last // height > first // height else (first % height, last % height))
    ]
    left, top = min(columns), min(rows)
    return [left, top, max(columns) - left + 1, max(rows) - top + 1]


def _is_length(number: Any) -> bool:
    return isinstance(number, (int, float)) and not isinstance(number, bool) and abs(number) < LARGEST_SIDE


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Return width and height of an image as the file states them, if it does."""
    width: Any = image.get("width")
    height: Any = image.get("height")
    if _is_length(width) and _is_length(height) and min(width, height) >= 1:
        return int(width), int(height)
    return None


def _clipped(box: Box, size: tuple[int, int]) -> Box | None:
    """Return the part of a box that lies in its image, with rounding of less than a pixel forgiven."""
    left, top = max(0.0, box[0]), max(0.0, box[1])
    right, bottom = min(size[0], box[0] + box[2]), min(size[1], box[1] + box[3])
    if right - left <= 0 or bottom - top <= 0:
        return None
    if min(box[0], box[1]) > -1 and box[0] + box[2] < size[0] + 1 and box[1] + box[3] < size[1] + 1:
        return box
    return left, top, right - left, bottom - top


def _in_order(identifier: str) -> tuple[int, int, str]:
    return (0, int(identifier), "") if identifier.isdecimal() else (1, 0, identifier)


def _widen(box: Box, margin: float) -> tuple[int, int, int, int]:
    left, top, width, height = box
    extra = margin * max(width, height)
    first_x, first_y = max(0, round(left - extra)), max(0, round(top - extra))
    return first_x, first_y, round(left + width + extra) - first_x, round(top + height + extra) - first_y
