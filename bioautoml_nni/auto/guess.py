"""An experiment from a table, a folder or an archive: what a user did not say, guessed, each guess with its reason.

What the columns are is guessed as `bioautoml init` does (`sources.guess`); what a person would be asked there, and a
portfolio cannot go on without, has to be named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ..config.sizing import sized
from ..data.decoding import ImageReference
from ..data.finding import ImageFinder
from ..data.tables import TableFile
from ..sources import guess as sources
from ..sources.guess_columns import NO_GROUP, ROWS
from ..utils.errors import ConfigError, DataError

SAMPLED = 300
"""Rows whose images are looked for."""
BARE = re.compile(r"its (name|values)($|[;,])")
"""A reason that is no sentence of its own."""


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
        rank: of a Darwin Core archive; of a table another name of its label.
        image_root: folder that image paths of a table start from; looked for by default.

    Raises:
        DataError: if there is nothing to start from, or nothing that could be a label or an image.
    """
    if not source.exists():
        raise DataError(f"{source}: there is no such table, folder or archive.")
    said = {"image": image, "label": label or rank, "group": group}
    given = {key: name for key, name in said.items() if name is not None}
    found = sources.guess(source, given=given)
    if found.source == "csv":
        return _of_table(found, source, given, image_root)
    found.unsure.pop("rank", None)
    if found.source == "darwin_core" and (label or rank):
        found.set("rank", rank or label, "")
    elif found.source == "webdataset" and label:
        found.set("label", label, "")
    elif (found.source == "imagefolder" and given.keys() - {"group"}) or group not in (None, NO_GROUP):
        raise DataError(f"{source}: holds no table, so that --image, --label and --group have no column to name.")
    return _experiment(found, source)


def _of_table(found: sources.Guess, source: Path, given: Mapping[str, str], image_root: Path | None) -> Guess:
    if "table" in found.unsure:
        tables = sorted([found.values["table"], *found.unsure["table"]])
        raise DataError(f"{source}: holds {len(tables)} tables ({', '.join(tables)}); name the one to learn from.")
    path = found.root / found.values["table"]
    if image_root is not None:
        found.set("image_root", str(image_root.resolve()), "")
    found.values.setdefault("image_root", ".")
    if "label" not in given and (problem := _unknown_label(found)):
        raise DataError(f"{path}: the label column cannot be told ({problem}); name it with --label.")
    _require_images(found, path, given.get("image"))
    if "split" not in found.values:
        found.set("split", {"method": "stratified"}, "no column looks like a group of specimens alike (--group)")
    if found.rows is None:
        found.rows = sum(len(block) for block in TableFile(path, sheet=found.values.get("sheet")).blocks(ROWS))
    return _experiment(found, path)


def _unknown_label(found: sources.Guess) -> str | None:
    """Return why no column can be taken for the label, None if one is."""
    if "label" in found.values:
        return None
    possible = found.unsure.get("label", [])
    return f"it could be {', '.join(possible)}" if possible else "no column has values that repeat as classes do"


def _require_images(found: sources.Guess, path: Path, given: str | None) -> None:
    """Note how many of a table's images are there.

    Raises:
        DataError: if none is.
    """
    share, column = 0.0, found.values["image"]
    base = found.root / found.values["image_root"]
    if column is not None:
        names = _column(path, found.values.get("sheet"), column)
        finder = ImageFinder(base)
        share = float(names.map(lambda name: _is_there(finder, name)).mean()) if len(names) else 0.0
    if not share:
        told = f"column {given!r}" if given else "any column"
        raise DataError(
            f"{path}: no value of {told} is an image file in its folder or one below it; put the images there, or name "
            "their column with --image."
        )
    where = "its folder" if found.values["image_root"] == "." else f"folder {found.values['image_root']}"
    found.reasons["image"] += f"; {share:.0%} of its values are image files in {where}"


def _column(path: Path, sheet: str | None, column: str) -> pd.Series:
    """Return a sample of a column's texts."""
    table = next(TableFile(path, sheet=sheet).blocks(ROWS))
    texts = table[column].dropna().astype(str)
    return texts.sample(min(SAMPLED, len(texts)), random_state=0)


def _is_there(finder: ImageFinder, name: str) -> bool:
    """Whether a name leads to a file by the rules that read it."""
    reference = finder.find(name)
    try:
        return any((finder.root / text).is_file() for text in (reference, ImageReference.parse(reference).path))
    except (OSError, ValueError):
        return False


def _experiment(found: sources.Guess, named: Path) -> Guess:
    """Return the experiment that a guess at the data amounts to, with lengths for their number."""
    clean = re.sub(r"[^\w.-]+", "-", named.resolve().name.partition(".")[0]).strip("-.") or "auto"
    data = {"source": found.source, "root": str(found.root.resolve()), **found.values}
    values: dict[str, Any] = {"name": clean, "seed": 0, "data": data}
    for key, value in sized(max(1, round(0.68 * (found.rows or 3000)))).items():
        section, _, entry = key.partition(".")
        values.setdefault(section, {})[entry] = value
    values["strategy"] = {"name": "alternating_darts", "alpha_learning_rate": 0.01}
    values["strategy"]["warmup_epochs"] = min(3, int(values["search"]["epochs"]) - 1)
    values["loss"] = {"name": "logit_adjusted", "tau": 0.5}
    reasons = {f"data.{key}": f"by {why}" if BARE.match(why) else why for key, why in found.reasons.items()}
    reasons = {key: why for key, why in reasons.items() if why and why != "as you said"}
    reasons |= {"training.epochs": f"for {found.rows:,} rows"} if found.rows else {}
    return Guess(values, reasons, found.rows)


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
