"""What a table, a folder or an archive most likely is: source, columns and roles, each with the reason.

Guesses are written down for a person to read and change; nothing is decided by them later.
"""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from ..data.image_files import list_images
from ..data.splits import official_split, part_of
from ..data.tables import is_table
from ..utils.encodings import read_text
from ..utils.errors import DataError
from ..utils.json_text import parse_json
from ._exported_csv import only_table
from ._guessed import Ask, Guess
from .guess_archive import guess_darwin_core
from .guess_columns import guess_table, image_root_of

MEMBERS = 50
"""Names in a tar file that are looked at."""


def guess(path: Path, ask: Ask | None = None, given: Mapping[str, str] | None = None) -> Guess:
    """Guess how a table, a folder of images, an archive, a shard or a COCO file is to be read.

    Args:
        ask: chooses among equals, by key; the likeliest stands first, and is taken without it.
        given: columns of a table by key (image, label, id, group), which are not guessed; the group may be "none".

    Raises:
        DataError: if it is none of them, or lacks a column that is given.
    """
    given = given or {}
    if path.is_dir():
        return _folder(path, ask, given)
    if not path.is_file():
        raise DataError(f"{path}: there is no such file or folder.")
    if path.suffix.lower() == ".json":
        return _coco(path)
    if is_table(path):
        return guess_table(path, ask, given)
    if path.suffix.lower() == ".zip" or tarfile.is_tarfile(path):
        return _archive(path)
    raise DataError(f"{path}: is not a table, COCO file or archive; name one, or a folder.")


def _archive(path: Path) -> Guess:
    """Guess what a ZIP or tar file holds by the names in it."""
    if path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: cannot be read as a ZIP file ({error}).") from error
    else:
        with tarfile.open(path) as shard:
            names = [member.name for _, member in zip(range(MEMBERS), shard, strict=False)]
    if any(name.rsplit("/", 1)[-1] == "meta.xml" for name in names):
        return guess_darwin_core(path)
    if path.suffix.lower() == ".zip" and only_table(names) is not None:
        return guess_darwin_core(path, "a ZIP file with one table, as GBIF packs a simple CSV")
    if path.suffix.lower() == ".zip":
        raise DataError(f"{path}: is not a Darwin Core archive (no meta.xml in it); unpack it and name its table.")
    found = Guess("webdataset", path.parent)
    found.set("shards", path.name, "a tar file without meta.xml is taken as a shard of a WebDataset")
    return found


def _folder(path: Path, ask: Ask | None, given: Mapping[str, str]) -> Guess:
    if (path / "meta.xml").is_file():
        return guess_darwin_core(path)
    files = list_images(path).files
    tops = {name.split("/")[0] for name in files if "/" in name}
    tables = sorted(file for file in path.iterdir() if file.is_file() and is_table(file))
    if tables and not (len(tops) > 1 and _are_parts(tops)):
        names = [file.name for file in tables]
        chosen = ask("table", names) if ask and len(names) > 1 else names[0]
        found = guess_table(path / chosen, ask, given)
        if len(tables) > 1:
            found.unsure["table"] = [name for name in names if name != chosen]
        return found
    if len(tops) < 2:
        raise DataError(f"{path}: holds neither a table, nor folders of images, nor meta.xml; name the table itself.")
    found = Guess("imagefolder", path, rows=len(files))
    found.set("modalities", ["image"], "folders of images have no metadata")
    if _are_parts(tops) and (split := official_split({top.lower() for top in tops})):
        found.set("split", split, "its folders are called like parts")
    return found


def _are_parts(names: set[str]) -> bool:
    return bool(names) and all(part_of(name) for name in names)


def _coco(path: Path) -> Guess:
    try:
        content = parse_json(read_text(path))
    except ValueError as error:
        raise DataError(f"{path}: is not JSON ({error}).") from error
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        raise DataError(
            f"{path}: has no images, annotations and categories, as a COCO file has; a table in JSON is a list of "
            "objects, or one object a line, in a file .jsonl: rename it if it is one."
        )
    found = Guess("coco", path.parent, rows=len(content["annotations"]))
    found.set("annotations", path.name, "it has images, annotations and categories")
    names = [str(image.get("file_name")) for image in content["images"][:50] if isinstance(image, dict)]
    root = image_root_of(path.parent, names)
    if root:
        found.set("image_root", root, "the files that it names are there")
    return found
