"""The entries of a file in COCO's format: images, annotations and categories, each known by its id."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..data.remark import Lost
from ..data.tables import cell_text
from ..utils.encodings import read_text
from ..utils.errors import DataError
from ..utils.json_text import parse_json
from ._left_out import LeftOut

NEEDED = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id",)}
STANDARD = frozenset(("id", "image_id", "category_id", "bbox", "segmentation", "area", "iscrowd"))
"""Keys of an annotation; what else stands there is not read."""


def entries_of(path: Path, counts: LeftOut) -> dict[str, list[dict[str, Any]]]:
    """Return the lists of a file; what in them is no entry is left out and counted."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such annotation file; check data.root and data.annotations.")
    try:
        content = parse_json(read_text(path), unique=True)
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error}); repair or download it again.") from error
    missing = [key for key in NEEDED if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        raise DataError(f"{path}: has no list of {', '.join(missing)}, which COCO's format asks for.")
    found = {}
    for key, needed in NEEDED.items():
        sound = [
            entry
            for entry in content[key]
            if isinstance(entry, dict) and all(is_name(entry.get(name)) for name in needed)
        ]
        gone = len(content[key]) - len(sound)
        if gone and not sound:
            raise DataError(f"{path}: no entry of {key} has {' and '.join(needed)}, a number or a text; repair it.")
        counts[f"entries of {key} without {' and '.join(needed)}"] += gone
        found[key] = sound
    return found


def require_rank(path: Path, categories: dict[str, dict[str, Any]], rank: str, counts: LeftOut) -> None:
    """Refuse categories none of which has the key that labels are taken from."""
    if any(rank in category for category in categories.values()):
        return
    if not categories:
        gone = "".join(f" ({count} {words} left out)" for words, count in counts.items() if count)
        raise DataError(f"{path}: lists no category{gone}, so that no annotation has a label; complete the file.")
    known = ", ".join(sorted({str(key) for category in categories.values() for key in category}))
    raise DataError(f"{path}: no category has a {rank!r}; data.rank may be one of {known}.")


def not_read(name: str, content: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Name the keys of annotations and images that hold something that is not read."""
    of_annotations = {key for entry in content["annotations"] for key in entry.keys() - STANDARD}
    nested = {key for entry in content["images"] for key, value in entry.items() if isinstance(value, (list, dict))}
    ours = {key for entry in content["images"] for key in entry if key.startswith("_")} - nested
    told = [("annotations", of_annotations), ("images (lists and objects)", nested), ("images", ours)]
    return [f"{name}: not read of {what}: {', '.join(sorted(keys))}." for what, keys in told if keys]


def nested_in(categories: dict[str, dict[str, Any]], keys: Sequence[str]) -> int:
    """Return how many values of these keys are lists or objects, and no text."""
    return sum(isinstance(category.get(key), (list, dict)) for category in categories.values() for key in set(keys))


def shared_names(path: Path, categories: dict[str, dict[str, Any]]) -> list[str]:
    """Say which names several categories have, since they are one class then."""
    ids: dict[str, list[str]] = {}
    for key, category in categories.items():
        ids.setdefault(str(category.get("name") or ""), []).append(key)
    shared = {name: keys for name, keys in ids.items() if name and len(keys) > 1}
    if not shared:
        return []
    told = "; ".join(f"{', '.join(keys[:4])} are {name!r}" for name, keys in list(shared.items())[:3])
    return [Lost(f"{path.name}: {len(shared)} names stand for several categories, which are one class: {told}.")]


def is_name(value: Any) -> bool:
    """Whether a value can be an id: a text that is not empty, or a whole number."""
    if isinstance(value, str):
        return bool(value.strip())
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and value.is_integer())


def plain_text(value: Any) -> str | None:
    """Return a text or a number as text, None for a list, an object and what is empty."""
    return (cell_text(value) or "").strip() or None if isinstance(value, (str, int, float)) else None


def key_of(value: Any) -> str:
    """Return an id as text; 7, 7.0 and "7" are one, since programs write numbers in any of these ways."""
    return str(int(value)) if isinstance(value, float) else str(value)


def by_id(entries: list[dict[str, Any]], name: str, counts: LeftOut) -> dict[str, dict[str, Any]]:
    """Return entries by id, without those whose id others have that say something else."""
    found: dict[str, dict[str, Any]] = {}
    contested: set[str] = set()
    for entry in entries:
        key = key_of(entry["id"])
        if found.setdefault(key, entry).get(name) != entry.get(name):
            contested.add(key)
    if contested:
        shown = ", ".join(sorted(contested)[:3])
        counts[f"ids ({shown}) that stand for more than one {name}"] = len(contested)
    return {key: entry for key, entry in found.items() if key not in contested}
