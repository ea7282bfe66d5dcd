"""COCO JSON and its relatives: COCO-CameraTraps and the iNaturalist competitions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..data.border import require_below
from ..data.file_names import on_disk
from ..data.finding import ImageFinder
from ..data.frames import Box, Drawn, ImageFrame, read_frame
from ..data.image_files import Links
from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role, without_repeats
from ..data.remark import Lost
from ..data.typed import with_types, without_texts
from ..utils.errors import DataError
from ..utils.remote import RemotePath, joined
from ._boxes import Boxed, clipped_to, has_box, require_pixels, size_of, valid_box, widened
from ._coco_file import by_id, entries_of, key_of, nested_in, not_read, plain_text, require_rank, shared_names
from ._left_out import LeftOut

TAXA = ("kingdom", "supercategory", "phylum", "class", "order", "family", "genus", "specific_epithet", "common_name")
IMAGE_ROLES: dict[str, Role] = {
    "latitude": "latitude", "longitude": "longitude", "date": "date", "datetime": "date", "seq_id": "group",
}  # fmt: skip
NOT_METADATA = {
    "id", "file_name", "width", "height", "license", "rights_holder", "coco_url", "flickr_url", "seq_num_frames",
    "frame_num",
}  # fmt: skip

CROWD = ("1", "1.0", "true")
ORPHANS = "annotations of images that the file does not list"
CLIPPED = "boxes that reach beyond their image are cut at its border"


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
        missing: texts of the metadata that mean that a value is missing, such as NA.
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
        missing: list[str] | None = None,
    ) -> None:
        self.root = root
        self.annotations = annotations
        self.image_root = image_root
        self.rank = rank
        self.crop = crop
        self.margin = margin
        self.leave_out = set(leave_out or [])
        self.boxes = boxes
        self.missing = frozenset(missing or [])
        self._drawn: Drawn = "shown"
        self._frames: dict[str, ImageFrame | None] = {}
        self.links: Links = "inside"
        """Where symbolic links among the images may lead."""

    def load(self) -> Manifest:
        """Read the annotations; see `Source.load`."""
        folder = joined(self.root, self.image_root)
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such image folder; check data.root and data.image_root.")
        notes: list[str] = []
        self._finder = ImageFinder(folder, self.links)
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
        notes += self._finder.notes()
        roles: dict[str, Role] = {name: role for name, role in IMAGE_ROLES.items() if name in table}
        roles |= {name: "taxonomy" for name in TAXA if name in table}
        own = {ID, IMAGE, LABEL, SPLIT}
        typed = with_types(without_texts(table, self.missing, own), own, roles)
        notes += [note for note in typed.facts if repr(LABEL) not in note]
        if ("latitude" in roles) != ("longitude" in roles):
            roles = {name: role for name, role in roles.items() if role not in ("latitude", "longitude")}
        return Manifest(
            typed.table, folder, roles, rank=self.rank, notes=notes, forms=typed.forms, unread=typed.unread,
            missing=tuple(sorted(self.missing)),
        )  # fmt: skip

    def _read(self, path: Path, notes: list[str]) -> pd.DataFrame:
        counts = LeftOut()
        content = entries_of(path, counts)
        categories = by_id(content["categories"], self.rank, counts)
        require_rank(path, categories, self.rank, counts)
        if self.rank == "name":
            notes += shared_names(path, categories)
        images = by_id(content["images"], "file_name", counts)
        names = self._finder.find_apart([str(entry["file_name"]) for entry in images.values()])
        for entry, name in zip(images.values(), names, strict=True):
            entry["file_name"] = name
        annotations = [(entry, valid_box(entry) if self.crop else None) for entry in content["annotations"]]
        by_image: dict[str, list[Boxed]] = {}
        for entry, box in annotations:
            by_image.setdefault(key_of(entry["image_id"]), []).append((entry, box))
        if self.crop:
            require_pixels(path, annotations, images)
            boxed = [
                images[key]
                for key, own in by_image.items()
                if key in images and any(has_box(entry) for entry, _ in own)
            ]
            self._decide_frame(path, boxed, notes)
        counts["lists and objects among the ranks of categories"] = nested_in(categories, (*TAXA, self.rank))
        rows = self._rows(by_image, images, categories, counts)
        if not content["annotations"]:
            notes.append(
                Lost(f"{path.name}: has no annotations; its {len(images)} images have no label and are left out.")
            )
        else:
            counts["images without annotations"] = len(images.keys() - by_image.keys())
        notes += [*counts.sentences(path.name, but=CLIPPED), *not_read(path.name, content)]
        if counts[CLIPPED]:
            notes.append(f"{path.name}: {counts[CLIPPED]} {CLIPPED}.")
        return _with_own_ids(without_repeats(pd.DataFrame(rows), notes), notes) if rows else pd.DataFrame()

    def _rows(
        self,
        by_image: dict[str, list[Boxed]],
        images: dict[str, dict[str, Any]],
        categories: dict[str, dict[str, Any]],
        counts: LeftOut,
    ) -> list[dict[str, Any]]:
        """Return a row for each specimen with a label; count the annotations that are none."""
        rows: list[dict[str, Any]] = []
        for image_id in sorted(by_image, key=_in_order):
            image = images.get(image_id)
            if image is None:
                for record, _ in by_image[image_id]:
                    counts.note(ORPHANS, record)
                continue
            specimens = self._specimens(by_image[image_id], image, counts)
            for record, box in specimens:
                category = categories.get(key_of(record["category_id"]), {})
                label = plain_text(category.get(self.rank))
                if label is None:
                    counts.note(f"annotations without a {self.rank}", record)
                elif label in self.leave_out:
                    counts["annotations of labels to leave out"] += 1
                else:
                    rows.append(self._row(record, box, image, category, label, alone=len(specimens) == 1))
        return rows

    def _specimens(self, annotations: list[Boxed], image: dict[str, Any], counts: LeftOut) -> list[Boxed]:
        """Return the annotations of an image that are specimens, each with its box, or None for the whole image."""
        records = [boxed for boxed in annotations if str(boxed[0].get("iscrowd")).lower() not in CROWD]
        counts["annotations of crowds (iscrowd), which are no single specimen,"] += len(annotations) - len(records)
        boxed = [(record, box) for record, box in records if self.crop and has_box(record)]
        if boxed:
            found = [(record, self._box(record, box, image, counts)) for record, box in boxed]
            counts["annotations without a box beside others that have one"] += len(records) - len(boxed)
            return [(record, box) for record, box in found if box is not None]
        if len({key_of(record["category_id"]) for record, _ in records}) > 1:
            counts["images with several categories and no boxes to tell them apart"] += 1
            return []
        return [(record, None) for record, _ in records[:1]]

    def _box(self, record: dict[str, Any], box: Box | None, image: dict[str, Any], counts: LeftOut) -> Box | None:
        """Return the box of an annotation, in the frame of the image as it is shown; count what is wrong with it."""
        if box is None:
            counts.note("annotations with an invalid box", record)
            return None
        size = size_of(image)
        frame = self._frame(str(image["file_name"]))
        if size is None:
            if frame is None:  # unreadable, as the audit will say
                return box
            size = (frame.width, frame.height) if (self.boxes or self._drawn) == "stored" else frame.shown
        clipped = clipped_to(box, size)
        if clipped is None:
            counts.note("annotations with a box outside of their image", record)
            return None
        counts[CLIPPED] += clipped != box
        if frame is None:
            return clipped
        drawn = frame.says(size)
        if drawn is None:
            counts.note("annotations whose image has another size than their file says", record)
            return None
        return frame.box_as_shown(clipped, self.boxes or self._drawn if drawn == "either" else self.boxes or drawn)

    def _decide_frame(self, path: Path, boxed: list[dict[str, Any]], notes: list[str]) -> None:
        """Decide for images whose size does not tell it by those whose size does: a tool minds EXIF or does not."""
        says = Counter(
            frame.says(size) if size else "either"
            for image in boxed
            if (frame := self._frame(str(image["file_name"]))) and frame.orientation != 1
            for size in [size_of(image)]
            if size or not self.boxes
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
            require_below(folder, [name], self.links)
            remote = isinstance(folder, RemotePath)
            self._frames[name] = read_frame(folder / name if remote else Path(on_disk(folder, name)))
        return self._frames[name]

    def _row(
        self, record: dict[str, Any], box: Box | None, image: dict[str, Any], category: dict[str, Any], label: str,
        alone: bool,
    ) -> dict[str, Any]:  # fmt: skip
        reference = str(image["file_name"])
        if box:
            reference += "#" + ",".join(str(number) for number in widened(box, self.margin))
        identifier = str(image["id"]) if alone else f"{image['id']}/{record.get('id', reference)}"
        extra = {
            key: value
            for key, value in image.items()
            if key not in NOT_METADATA and isinstance(value, (str, int, float)) and not key.startswith("_")
        }
        taxa = {key: plain_text(category[key]) for key in TAXA if key in category and key != self.rank}
        return {ID: identifier, IMAGE: reference, LABEL: label, **extra, **taxa}


def _with_own_ids(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """Give specimens that have the id of another a number behind it."""
    number = table.groupby(ID).cumcount()
    if (number > 0).any():
        first = table[ID][number > 0].iloc[0]
        notes.append(
            f"{int((number > 0).sum())} annotations have the id of another, such as {first}; they are numbered."
        )
        table[ID] = table[ID].where(number == 0, table[ID] + "#" + (number + 1).astype(str))
    return table


def _in_order(identifier: str) -> tuple[int, int, str]:
    if not (identifier.isascii() and identifier.isdecimal()):
        return 1, 0, identifier
    digits = identifier.lstrip("0")  # as numbers, of which a text may hold more digits than Python reads
    return 0, len(digits), digits
