"""What the columns of a table most likely are, by their names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..audit.columns import screen
from ..data.classes import RANK_WORDS
from ..data.finding import SEVERAL, ImageFinder
from ..data.image_files import SUFFIXES, list_images
from ..data.manifest import FEATURE_ROLES, Role
from ..data.numerals import decide_numbers
from ..data.roles import infer_role, pair_places, plain_name
from ..data.splits import official_split
from ..data.tables import TableFile
from ..data.times import is_time, time_share
from ..data.typed import with_types
from ..registry import suggestion
from ..utils.errors import DataError
from ..utils.remote import WEB, RemotePath
from ._exported_csv import export_of
from ._guessed import Ask, Guess
from .guess_archive import guess_export

EXPORTS = {"gbif": "a simple CSV of GBIF", "inaturalist": "an export of iNaturalist"}
ROWS = 20_000
"""Rows of a table that are looked at."""
MAX_PARTS = 4
UNNAMED = 999
NAMES: dict[str, str] = {
    "image": "image|img|picture|photo|foto|bild|bilddatei|imagen|imagem|fichier|archivo|arquivo|datei|file|filename|"
    "fotografia|aufnahme|file_name|filepath|path|pfad|chemin|ruta|caminho|associated_media|url",
    "label": "label|species|scientific_name|taxon|taxon_name|class|klasse|art|espece|especie|artname|nom|nombre|nome|"
    "name|taxa|order|ordnung|ordre|orden|ordem|family|familie|famille|familia|genus|gattung|genre|genero|category|"
    "categorie|categoria|target|det|pest|plaga|praga|ravageur|schadling|schaedling|insect|insekt|insecte|insecto|inseto",
    "id": "id|specimen_id|specimen|catalog_number|catalogue_number|catalognumber|occurrence_id|gbif_id|processid|"
    "sample_id|nummer|inventarnummer|inventarnr|inv_nr|kat_nr|katalognummer|numero|number|no|nr|num|uuid|barcode|codigo",
    "group": "group|event|event_id|trap|trap_id|visit|station|falle|fallen_id|fallen|fallennummer|fallennr|"
    "piege|trampa|armadilha|sample|"
    "sampling_event|deployment|sequence|seq_id|individual|tray|drawer|kasten|plot|parcela|parcelle|site|standort|"
    "fundort|sitio|local|lieu|localite|localidad|localidade|specimen|individu|individuo|ejemplar|exemplar|exemplaire|tier|"
    "farm|finca|field|feld|campo|greenhouse|gewachshaus|invernadero|serre|lot|lote|batch",
}
"""What columns are called in English, German, French, Spanish and Portuguese, and by Darwin Core; best first."""


NO_GROUP = "none"
"""What is said of the group where no column is one."""
SOUGHT = frozenset(("image", "label", "id", "split"))
RANKS_TOLD = ("kingdom", "phylum", "class", "order", "family", "subfamily", "tribe", "genus", "species")


def guess_table(path: Path, ask: Ask | None = None, given: Mapping[str, str] | None = None) -> Guess:
    """Guess the columns of a table from their names and values; of several sheets, the one that has most of them."""
    given, sheets = given or {}, TableFile(path).sheets()
    if len(sheets) < 2:
        return _guess_sheet(path, None, ask, given)
    guesses: dict[str, Guess] = {}
    for sheet in sheets:
        try:
            guesses[sheet] = _guess_sheet(path, sheet, None, given)
        except DataError:  # an empty sheet, one with a title above its header, or without a column that is given
            continue
    if not guesses:
        raise DataError(f"{path}: none of its sheets {', '.join(sheets)} is a table with a header and rows.")
    ranked = sorted(guesses, key=lambda sheet: -len(SOUGHT & guesses[sheet].values.keys()))
    equals = [sheet for sheet in ranked[1:] if "label" in guesses[sheet].values]
    best = ask("sheet", [ranked[0], *equals]) if ask and equals else ranked[0]
    found = guesses[best] if ask is None else _guess_sheet(path, best, ask, given)
    found.values = {"table": found.values.pop("table"), "sheet": best, **found.values}
    found.reasons["sheet"] = f"of the sheets {', '.join(sheets)} the one with most of what is sought"
    found.unsure |= {"sheet": [sheet for sheet in equals if sheet != best]} if equals else {}
    return found


def _guess_sheet(path: Path, sheet: str | None, ask: Ask | None, given: Mapping[str, str]) -> Guess:
    file = TableFile(path, sheet=sheet)
    table = next(file.blocks(ROWS), pd.DataFrame())
    if table.empty:
        raise DataError(f"{path}: the table has no rows.")
    columns = [str(name) for name in table]
    if (whose := export_of(columns)) is not None:
        return guess_export(path, columns, EXPORTS[whose])
    _require_columns(path, columns, given)
    found = Guess("csv", path.parent, rows=len(table) if len(table) < ROWS else None, given=given)
    found.set("table", path.name, f"{len(table)} rows{' and more' if found.rows is None else ''}")
    if file.header is not None and file.header.titles:
        found.set("header_row", file.header.row, f"above it stands {file.header.titles[0][:60]!r}")
    free = {str(name): table[name].dropna().astype(str) for name in table}
    image = _choose(found, "image", free, lambda values: _image_share(values) > 0.8, ask, by_name=False)
    image = _by_files(found, free, path.parent) if image is None else image
    _require_names(path, image)
    images = free.pop(image) if image is not None else pd.Series(dtype="str")
    if image is None:
        found.set("image", None, "no column names images")
        found.set("modalities", ["metadata"], "no column names images")
    elif "image_root" not in found.values and (root := image_root_of(path.parent, images[:50].tolist())):
        found.set("image_root", root, "its first images are there")
    label = _choose(found, "label", free, lambda values: 2 <= values.nunique() <= len(values) / 2, ask, by_name=True)
    label = _label_by_values(found, free, images) if label is None else label
    labels = free.pop(label, images) if label is not None else None  # --label may name the images' column
    identifier = _choose(found, "id", free, lambda values: values.nunique() == len(table), ask, by_name=True)
    if identifier is not None:
        free.pop(identifier, None)
    elif image is not None and _by_name("id", image) < UNNAMED and images.nunique() == len(table):
        found.set("id", image, "its name; it names the images, too")
    _parts(found, free)
    groups = _groups(found, free, ask)
    _roles(found, table, list(free), groups, labels)
    if image is not None and not set(FEATURE_ROLES) & set(found.values.get("columns", {}).values()):
        found.set("modalities", ["image"], "no column is metadata to learn from")
    return found


def _require_names(path: Path, image: str | None) -> None:
    """Refuse a table whose first row is a specimen."""
    if image is not None and _image_share(pd.Series([image])):
        raise DataError(
            f"{path}: its first row holds values, such as {image}, and not the names of columns; write a row with "
            "these above it."
        )


def _require_columns(path: Path, columns: list[str], given: Mapping[str, str]) -> None:
    wanted = {key: name for key, name in given.items() if (key, name) != ("group", NO_GROUP)}
    unknown = [
        f"--{key} {name}: there is no such column{suggestion(name, columns)}"
        for key, name in wanted.items()
        if name not in columns
    ]
    if unknown:
        raise DataError(f"{path}: {'; '.join(unknown)}. Its columns: {', '.join(columns)}.")


def _parts(found: Guess, free: dict[str, pd.Series]) -> None:
    """Take a column whose values are called like parts, such as train and test, as the split."""
    for name, values in free.items():
        split = official_split(values.str.strip().unique()) if values.nunique() <= MAX_PARTS else None
        if split is not None:
            _split_by(found, free, name, {**split, "method": "column", "column": name}, "its values name the parts")
            return


def _groups(found: Guess, free: dict[str, pd.Series], ask: Ask | None) -> list[str]:
    """Choose the column of the event, and return those that could be one too."""
    wanted = found.given.get("group")
    if wanted == NO_GROUP:
        if "split" not in found.values:
            found.set("split", {"method": "stratified"}, "specimens are independent, as you said")
        return []
    if "split" in found.values:
        if wanted is not None and wanted in free:
            _split_by(found, free, wanted, {**found.values["split"], "group": wanted}, found.reasons["split"])
        return []
    group = _choose(found, "group", free, lambda values: 5 <= values.nunique() <= len(values) / 2, ask, by_name=True)
    if group is None:
        return []
    if group not in free:
        raise DataError(f"--group {group}: is read as the label, image or id already; name another column, or none.")
    found.values.pop("group")
    reason = f"{found.reasons.pop('group')}; specimens with the same value stay on one side"
    _split_by(found, free, group, {"method": "group", "group": group}, reason)
    others = found.unsure.pop("group", [])
    if others:
        found.unsure["split"] = others
    return others


def _split_by(found: Guess, free: dict[str, pd.Series], column: str, split: dict[str, Any], reason: str) -> None:
    """Note a split that is made by a column, which then is not a feature."""
    found.set("split", split, f"{column}: {reason}")
    found.values.setdefault("columns", {})[column] = "group"
    found.reasons[f"columns.{column}"] = "the split is made by it"
    free.pop(column)


def _label_by_values(found: Guess, free: dict[str, pd.Series], images: pd.Series) -> str | None:
    """Choose a column as label that no name tells: the folders of the images say it, or it is the only one of words."""
    folders = images.str.replace("\\", "/").str.split("/").str[:-1]
    counted = {
        name: values for name, values in free.items()
        if 2 <= values.nunique() <= min(len(values) / 5, 1000) and _by_name("group", name) == UNNAMED
    }  # fmt: skip
    words = [
        name for name, values in counted.items()
        if not is_time(values) and time_share(values) < 0.5 and not decide_numbers(values).read
    ]  # fmt: skip
    for name in words:
        named = [plain_name(text) in map(plain_name, parts) for text, parts in zip(free[name], folders, strict=False)]
        if len(named) and sum(named) > 0.9 * len(named):
            found.set("label", name, f"images lie in folders of its {counted[name].nunique()} values")
            return name
    if len(words) != 1:
        found.unsure |= {"label": words} if words else {}
        return None
    found.set("label", words[0], f"the only column of words that repeat; {counted[words[0]].nunique()} of them")
    return words[0]


def _roles(
    found: Guess, table: pd.DataFrame, names: list[str], groups: Sequence[str], labels: pd.Series | None
) -> None:
    """Note the role of each column; what gives the label away, or tells events apart, is none to learn from."""
    read = with_types(table[names])
    typed = read.table
    refused = {} if labels is None else _leaks(typed.loc[labels.index], labels)
    roles: dict[str, Role] = {}
    for name in names:
        role, why = infer_role(name, typed[name], read.forms.get(name))
        if name in groups:
            role, why = "group", "its name, and specimens repeat it; an event could be one of it, too"
        elif plain_name(name) in (*RANKS_TOLD, *RANK_WORDS) or name in refused:
            role, why = "ignored", refused.get(name, "its name says that it states the taxon")
        said = [note.partition(": ")[2] for note in read.notes if note.startswith(f"Column {name!r}: ")]
        found.reasons[f"columns.{name}"] = "; ".join([why, *said])
        roles[name] = role
    for name, why in pair_places(roles).items():
        found.reasons[f"columns.{name}"] = why
    if roles:
        found.values.setdefault("columns", {}).update(roles)


def _leaks(table: pd.DataFrame, labels: pd.Series) -> dict[str, str]:
    everywhere = np.ones(len(table), dtype=bool)
    seen = screen(table.reset_index(drop=True), labels.reset_index(drop=True), everywhere, ~everywhere)
    return {finding.column: finding.reason for finding in seen.findings if finding.verdict == "refuse"}


def _choose(
    found: Guess, key: str, free: dict[str, pd.Series], fits: Any, ask: Ask | None, by_name: bool
) -> str | None:
    """Choose a column by its values, and among those by its name; ask about equals, or note them as alternatives."""
    if key in found.given:
        found.set(key, found.given[key], "as you said")
        return found.given[key]
    ranked = sorted(
        ((_by_name(key, name), place, name) for place, name in enumerate(free) if len(free[name]) and fits(free[name])),
    )
    named = [name for rank, _, name in ranked if rank < UNNAMED]
    candidates = named or ([] if by_name else [name for _, _, name in ranked])
    if not candidates:
        return None
    best = ask(key, candidates) if ask and len(candidates) > 1 else candidates[0]
    why = "as you said" if ask and len(candidates) > 1 else "its name" if best in named else "its values"
    found.set(key, best, f"{why}; {free[best].nunique()} different values")
    if len(candidates) > 1:
        found.unsure[key] = [name for name in candidates if name != best]
    return best


def _by_name(key: str, name: str) -> int:
    """Return how well a column's name says that it is what is sought, 0 best, `UNNAMED` not at all."""
    snake = plain_name(name)
    words = NAMES[key].split("|")
    if snake in words:
        return words.index(snake)
    parts = snake.split("_")
    return next((100 + place for place, word in enumerate(words) if word in parts), UNNAMED)


def _by_files(found: Guess, free: Mapping[str, pd.Series], folder: Path) -> str | None:
    """Choose the column whose values are called like the files of images that lie there, such as their numbers."""
    if isinstance(folder, RemotePath) or "image" in found.given:
        return None
    images = list_images(folder).files
    for place in _places(folder):
        start = "" if place == "." else f"{place}/"
        below = {name.removeprefix(start) for name in images if name.startswith(start)}
        if not below:
            continue
        finder = ImageFinder(folder / place)
        for name, values in free.items():
            few = values[:50]
            if few.nunique() > len(few) / 2 and all(finder.find(text) in below for text in few):
                found.set("image", name, "its values are what the images are called")
                if place != ".":
                    found.set("image_root", place, "the images are there")
                return name
    return None


def _image_share(values: pd.Series) -> float:
    ends = values.str.strip().str.split("?").str[0].str.lower()
    return float(ends.map(lambda text: Path(text).suffix in SUFFIXES).mean())


def image_root_of(folder: Path, names: Sequence[str]) -> str | None:
    """Return the folder below `folder` in which most of the named images are, None for the folder itself.

    Args:
        names: of one image each, or of several.
    """
    names = names[:10] if isinstance(folder, RemotePath) else names
    spelt = [{name.strip(), *SEVERAL.split(name.strip())} for name in names if "\0" not in name]
    for place in _places(folder):
        there = sum(any((folder / place / name).is_file() for name in each) for each in spelt)
        if there > len(names) / 2:
            return None if place == "." else place
    return None


def _places(folder: Path) -> Iterator[str]:
    yield "."
    if isinstance(folder, RemotePath) and folder.kind in WEB:
        return  # most of it does not list what it holds
    yield from sorted(child.name for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
