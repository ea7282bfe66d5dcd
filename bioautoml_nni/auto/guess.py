"""What a user did not say about a table, a folder or an archive, guessed, each guess with its reason."""

from __future__ import annotations

import re
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..config.sizing import sized
from ..data.manifest import as_strings
from ..data.tables import read_table
from ..registry import suggestion
from ..sources.imagefolder import SUFFIXES
from ..utils.errors import ConfigError, DataError

TABLES = (".csv", ".tsv", ".txt", ".parquet", ".xlsx", ".xls", ".ods", ".feather", ".jsonl")
LABELS = (
    "label", "species", "scientificname", "taxon", "class", "genus", "family", "order", "category", "target", "y",
)  # fmt: skip
IDS = ("id", "specimen_id", "processid", "occurrenceid", "gbifid", "catalognumber", "sampleid")
GROUP = re.compile(
    r"(event|trap|site|session|plot|station|sequence|burst|deployment|individual|animal|specimen|batch|visit|camera)",
    re.IGNORECASE,
)
PARTS = {
    "train": ("train", "training"), "validation": ("val", "valid", "validation", "dev"), "test": ("test", "testing"),
}  # fmt: skip
SAMPLED = 300
"""Rows whose images are looked for."""
NO_GROUP = "none"
"""What `--group` says where no column is one."""


@dataclass
class Guess:
    """An experiment as plain values, and what of it was guessed.

    Attributes:
        values: sections of experiment.yml.
        reasons: by dotted key, why it has its value.
        rows: of the table, None where it was not read.
    """

    values: dict[str, Any]
    reasons: dict[str, str] = field(default_factory=dict)
    rows: int | None = None

    def sentences(self) -> list[str]:
        """Return every guess as a sentence."""
        return [f"{key} = {_value(self.values, key)}: {reason}." for key, reason in self.reasons.items()]


def guess(
    source: Path,
    image: str | None = None,
    label: str | None = None,
    group: str | None = None,
    rank: str | None = None,
    image_root: Path | None = None,
) -> Guess:
    """Return an experiment for a table, a folder or an archive; what is given is taken as it is.

    Args:
        image, label, group: columns; group may be "none".
        rank: of a Darwin Core archive.
        image_root: folder that image paths of a table start from; looked for by default.

    Raises:
        DataError: if there is nothing to start from, or nothing that could be a label or an image.
    """
    if not source.exists():
        raise DataError(f"{source}: there is no such table, folder or archive.")
    if source.is_dir():
        return _folder(source, image, label, group, rank)
    suffix = source.suffix.lower()
    if suffix == ".zip" or tarfile.is_tarfile(source):
        return _archive(source, label, rank)
    if suffix == ".json":
        found = _made(source.stem, {"source": "coco", "root": str(source.parent.resolve()), "annotations": source.name})
        found.reasons["data.source"] = "a .json file beside images is taken as COCO annotations"
        return found
    return _table(source, image, label, group, rank, image_root)


def _folder(source: Path, image: str | None, label: str | None, group: str | None, rank: str | None) -> Guess:
    if (source / "meta.xml").is_file():
        return _darwin_core(source, source.parent, rank or label)
    tables = sorted(path for path in source.iterdir() if path.is_file() and path.suffix.lower() in TABLES)
    if not tables:
        found = _made(source.resolve().name, {"source": "imagefolder", "root": str(source.resolve())})
        found.reasons["data.source"] = "the folder holds no table, so that the names of its folders are the labels"
        found.values["data"]["modalities"] = ["image"]
        if label or image or group not in (None, NO_GROUP):
            raise DataError(f"{source}: holds no table, so that --image, --label and --group have no column to name.")
        return found
    if len(tables) > 1:
        names = ", ".join(path.name for path in tables)
        raise DataError(f"{source}: holds {len(tables)} tables ({names}); name the one to learn from.")
    found = _table(tables[0], image, label, group, rank)
    found.reasons["data.table"] = "it is the only table in the folder"
    return found


def _archive(source: Path, label: str | None, rank: str | None) -> Guess:
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
        if any(name.rsplit("/", 1)[-1] == "meta.xml" for name in names):
            return _darwin_core(source, source.parent, rank or label)
        raise DataError(f"{source}: is no Darwin Core archive (no meta.xml in it); unpack it and name its table.")
    with tarfile.open(source) as archive:
        names = [member.name for _, member in zip(range(50), archive, strict=False)]
    if any(name.rsplit("/", 1)[-1] == "meta.xml" for name in names):
        return _darwin_core(source, source.parent, rank or label)
    found = _made(source.stem, {"source": "webdataset", "root": str(source.parent.resolve()), "shards": source.name})
    found.values["data"] |= {"label": label} if label else {}
    found.reasons["data.source"] = "a tar file without meta.xml is taken as a shard of a WebDataset"
    return found


def _darwin_core(archive: Path, root: Path, rank: str | None) -> Guess:
    data: dict[str, Any] = {"source": "darwin_core", "root": str(root.resolve()), "archive": archive.name}
    data["rank"] = rank or "scientificName"
    data["split"] = {"method": "group", "group": "occurrence"}
    found = _made(archive.stem, data)
    found.reasons["data.source"] = "it holds meta.xml, as a Darwin Core archive does"
    found.reasons["data.split.group"] = "images of one occurrence show one specimen"
    if rank is None:
        found.reasons["data.rank"] = "no --rank was given"
    return found


def _table(
    path: Path, image: str | None, label: str | None, group: str | None, rank: str | None,
    image_root: Path | None = None,
) -> Guess:  # fmt: skip
    table = read_table(path)
    columns = [str(name) for name in table]
    given = {"--image": image, "--label": label or rank, "--group": None if group == NO_GROUP else group}
    unknown = [
        f"{option} {name}: there is no such column{suggestion(name, columns)}"
        for option, name in given.items()
        if name is not None and name not in columns
    ]
    if unknown:
        raise DataError(f"{path}: {'; '.join(unknown)}. Its columns: {', '.join(columns)}.")
    root = path.parent.resolve()
    data: dict[str, Any] = {"source": "csv", "root": str(root), "table": path.name}
    reasons: dict[str, str] = {}
    data["image"], data["image_root"], reasons["data.image"] = _image(path, table, image, image_root)
    data["label"], reason = _label(path, table, label or rank, data["image"])
    if reason:
        reasons["data.label"] = reason
    identifier = next((name for name in columns if name.lower() in IDS and table[name].is_unique), None)
    if identifier is not None and identifier not in (data["image"], data["label"]):
        data["id"] = identifier
        reasons["data.id"] = "by its name, and no two rows share a value"
    data["split"], reasons["data.split"] = _split(table, group, data)
    found = _made(path.stem, data, len(table))
    found.reasons = {**reasons, **found.reasons}
    return found


def _image(path: Path, table: pd.DataFrame, given: str | None, root: Path | None) -> tuple[str, str, str]:
    """Return the image column, the folder that its paths start from, and the reason."""
    names = [str(name) for name in table] if given is None else [given]
    texts = {name: as_strings(table[name]).dropna() for name in names if _may_hold_paths(table[name])}
    samples = {name: values.sample(min(SAMPLED, len(values)), random_state=0) for name, values in texts.items()}
    folders = [".", *sorted(entry.name for entry in path.parent.iterdir() if entry.is_dir())]
    folders = folders if root is None else [str(root.resolve())]
    best, name, folder = 0.0, "", "."
    for candidate, values in samples.items():
        for below in folders:
            share = float(values.map(lambda value, base=path.parent / below: _is_file(base, value)).mean())
            if share > best:
                best, name, folder = share, candidate, below
    if not best:
        told = f"column {given!r}" if given else "any column"
        raise DataError(
            f"{path}: no value of {told} is an image file in its folder or one below it; put the images there, or name "
            "their column with --image."
        )
    where = "its folder" if folder == "." else f"folder {folder}"
    return name, folder, f"{best:.0%} of its values are image files in {where}"


def _may_hold_paths(column: pd.Series) -> bool:
    return not pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_datetime64_any_dtype(column)


def _is_file(base: Path, value: str) -> bool:
    try:
        return Path(value.split("#")[0].split("::")[0]).suffix.lower() in SUFFIXES and (base / value).is_file()
    except (OSError, ValueError):
        return False


def _label(path: Path, table: pd.DataFrame, given: str | None, image: str) -> tuple[str, str]:
    """Return the label column and the reason, which is empty where it is given."""
    if given is not None:
        return given, ""
    by_name = {str(name).lower().replace("_", ""): str(name) for name in table if str(name) != image}
    for name in LABELS:
        if name in by_name and table[by_name[name]].nunique() > 1:
            return by_name[name], "by its name"
    possible = [
        str(name)
        for name in table
        if str(name) != image
        and not pd.api.types.is_float_dtype(table[name])
        and not GROUP.search(str(name))
        and 2 <= table[name].nunique() <= len(table) / 4
    ]
    if len(possible) == 1:
        return possible[0], "it is the only column whose values repeat as those of classes do"
    told = f"it could be {', '.join(possible)}" if possible else "no column has values that repeat as classes do"
    raise DataError(f"{path}: the label column cannot be told ({told}); name it with --label.")


def _split(table: pd.DataFrame, group: str | None, data: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the section `split`, and the reason."""
    for name in table:
        values = {str(value).lower(): value for value in table[name].dropna().unique()[:10]}
        parts = {part: [str(values[word]) for word in words if word in values] for part, words in PARTS.items()}
        if parts["train"] and parts["test"] and len(values) <= 4:
            section = {"method": "column", "column": str(name), **{key: found for key, found in parts.items() if found}}
            section |= {"group": group} if group not in (None, NO_GROUP) else {}
            return section, f"column {name!r} names the parts"
    if group == NO_GROUP:
        return {"method": "stratified"}, "specimens are independent, as --group none says"
    if group is not None:
        return {"method": "group", "group": group}, f"no {group} may stand in two parts, as --group says"
    used = (data["image"], data["label"], data.get("id"))
    found = [str(name) for name in table if str(name) not in used and GROUP.search(str(name)) and _groups(table[name])]
    if found:
        chosen = max(found, key=lambda name: table[name].nunique())
        repeated = len(table) / table[chosen].nunique()
        reason = (
            f"column {chosen!r} has {table[chosen].nunique()} values of {repeated:.1f} rows each, and by its name rows "
            "of one resemble each other, so that none may stand in two parts (--group none says otherwise)"
        )
        return {"method": "group", "group": chosen}, reason
    return {"method": "stratified"}, "no column looks like a group of specimens that resemble each other (--group)"


def _groups(column: pd.Series) -> bool:
    """Whether values repeat, and are enough to be dealt out to the parts."""
    count = column.nunique()
    return 6 <= count <= 0.8 * column.notna().sum() and not pd.api.types.is_float_dtype(column)


def _made(name: str, data: dict[str, Any], rows: int | None = None) -> Guess:
    clean = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "auto"
    lengths = sized(max(1, round(0.68 * (rows or 3000))))
    values: dict[str, Any] = {"name": clean, "seed": 0, "data": data}
    for key, value in lengths.items():
        section, _, entry = key.partition(".")
        values.setdefault(section, {})[entry] = value
    values["strategy"] = {"name": "alternating_darts", "alpha_learning_rate": 0.01}
    values["strategy"]["warmup_epochs"] = min(3, int(lengths["search.epochs"]) - 1)
    values["loss"] = {"name": "logit_adjusted", "tau": 0.5}
    reasons = {"training.epochs": f"for {rows:,} rows"} if rows else {}
    return Guess(values, reasons, rows)


def _value(values: Mapping[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def require_column_source(options: Mapping[str, str | None]) -> None:
    """Raise `ConfigError` if columns are named beside an experiment file, which names its own."""
    named = [f"--{name}" for name, value in options.items() if value is not None]
    if named:
        raise ConfigError([f"{', '.join(named)}: an experiment file names its columns; use --set data.KEY=..."], "auto")
