"""Labels become classes: spellings merged, synonyms replaced, coarser taxa joined; each change counted and named."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..config.schema import DataConfig
from ..utils.errors import DataError
from .label_names import key_of, merged
from .manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role
from .naming import Naming
from .tables import read_table

LABEL_COLUMNS = ("label", "name", "species", "scientificname", "scientific_name", "taxon", "class", "art", "espece")
SYNONYM_COLUMNS = ("synonym", "from", "old", "label", "name", "synonyme", "alt")
ACCEPTED_COLUMNS = ("accepted", "accepted_name", "valid", "valid_name", "to", "new", "akzeptiert", "neu")
RANK_WORDS = {
    "ordnung": "order", "ordre": "order", "orden": "order", "ordem": "order", "ordo": "order", "familie": "family",
    "famille": "family", "familia": "family", "gattung": "genus", "genre": "genus", "género": "genus",
    "genero": "genus", "gênero": "genus", "unterfamilie": "subfamily", "klasse": "class", "classe": "class",
    "clase": "class", "stamm": "phylum", "art": "species", "espèce": "species", "especie": "species",
}  # fmt: skip
"""Ranks in other languages; columns of a taxonomy table get the names that results are rolled up by."""
SHOWN = 5


def with_classes(manifest: Manifest, settings: DataConfig) -> Manifest:
    """Return a manifest whose labels are those of classes, and the rules in its `naming`.

    Args:
        manifest: it is only read; one that has rules already is returned as it is.
        settings: of the data: `labels`.

    Raises:
        DataError: for a table of synonyms or taxa that cannot be used.
    """
    if manifest.naming is not None:
        return manifest
    labels = settings.labels
    written = manifest.table[LABEL].astype(str)
    counts = {str(name): int(count) for name, count in written.value_counts().items()}
    synonyms = {} if labels.synonyms is None else _read_synonyms(_below(settings, labels.synonyms), labels.ways)
    naming = Naming(labels.ways, synonyms)
    accepted = {name: naming.accepted(name) for name in counts}
    totals: dict[str, int] = {}
    for name, count in counts.items():
        totals[accepted[name]] = totals.get(accepted[name], 0) + count
    names = merged(totals, labels.ways)
    classes = {name: names[accepted[name]] for name in counts}
    known = {key_of(name, labels.ways): chosen for name, chosen in names.items()}
    naming = dataclasses.replace(naming, names=known, written=counts)
    notes = [*manifest.notes, *_renamed_note(counts, classes), *_idle_note(labels.synonyms, synonyms, counts, naming)]
    table = manifest.table.assign(**{LABEL: written.map(classes).astype(object)})
    found = dataclasses.replace(manifest, table=table, naming=naming, notes=notes)
    return found if labels.taxonomy is None else _with_taxa(found, _below(settings, labels.taxonomy))


def _below(settings: DataConfig, name: str) -> Path:
    return Path(name) if settings.root is None else settings.root / name


def _renamed_note(counts: Mapping[str, int], classes: Mapping[str, str]) -> list[str]:
    changed = [name for name in counts if classes[name] != name]
    if not changed:
        return []
    shown = ", ".join(f"{name!r} ({counts[name]}) as {classes[name]!r}" for name in changed[:SHOWN])
    more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return [
        f"{len(changed)} labels of {sum(counts[name] for name in changed)} specimens are read as others, as "
        f"data.labels says: {shown}{more}; all are in labels.csv of a run."
    ]


def _idle_note(file: str | None, synonyms: Mapping[str, str], counts: Mapping[str, int], naming: Naming) -> list[str]:
    """Say if a table of synonyms changes nothing, as one with its columns in the wrong order does."""
    if file is None or any(key_of(name, naming.ways) in synonyms for name in counts):
        return []
    return [
        f"{file}: none of its {len(synonyms)} synonyms is a label of the data; check which column is the synonym "
        f"({', '.join(SYNONYM_COLUMNS[:3])}) and which the accepted name ({', '.join(ACCEPTED_COLUMNS[:3])})."
    ]


def _read_synonyms(path: Path, ways: Sequence[str]) -> dict[str, str]:
    """Return the accepted name by the key of each synonym, chains followed to their end.

    Raises:
        DataError: for fewer than two columns, a name with two meanings, or names that mean each other.
    """
    table = read_table(path)
    first = _column(table, SYNONYM_COLUMNS, 0)
    second = _column(table.drop(columns=[first]), ACCEPTED_COLUMNS, 0) if len(table.columns) > 1 else None
    if second is None:
        raise DataError(f"{path}: data.labels.synonyms needs two columns: a name, and the accepted one that it means.")
    direct: dict[str, str] = {}
    for name, meant in table[[first, second]].dropna().astype(str).itertuples(index=False):
        key, meant = key_of(name.strip(), ways), meant.strip()
        if direct.get(key, meant) != meant:
            raise DataError(f"{path}: {name.strip()!r} means both {direct[key]!r} and {meant!r}; remove one of them.")
        if key != key_of(meant, ways):
            direct[key] = meant
    return {key: _end(key, direct, ways, path) for key in direct}


def _end(key: str, direct: Mapping[str, str], ways: Sequence[str], path: Path) -> str:
    seen = [key]
    while (following := key_of(direct[seen[-1]], ways)) in direct:
        if following in seen:
            raise DataError(f"{path}: {direct[seen[-1]]!r} is a synonym of itself in the end; say which is accepted.")
        seen.append(following)
    return direct[seen[-1]]


def _column(table: pd.DataFrame, names: Sequence[str], place: int) -> str:
    plain = {str(name).strip().lower().replace(" ", "_"): str(name) for name in table}
    return next((plain[name] for name in names if name in plain), str(table.columns[place]))


def _with_taxa(manifest: Manifest, path: Path) -> Manifest:
    """Join the columns of a table of taxa by label; they state the taxon and are never features.

    Raises:
        DataError: for a table without a column besides the label's, or with two rows of one label that differ.
    """
    assert manifest.naming is not None  # decided before
    taxa = read_table(path)
    label = _column(taxa, LABEL_COLUMNS, 0)
    taxa = taxa[taxa[label].notna()]
    key = taxa[label].astype(str).str.strip().map(manifest.naming.name)
    taxa = taxa.drop(columns=[label]).rename(columns=lambda name: RANK_WORDS.get(str(name).lower(), str(name)))
    taxa = taxa[[name for name in taxa if name not in (ID, IMAGE, LABEL, SPLIT)]].astype("str").assign(**{LABEL: key})
    taxa = taxa.drop_duplicates()
    repeated = taxa[LABEL][taxa[LABEL].duplicated()]
    if len(repeated):
        raise DataError(f"{path}: {repeated.iloc[0]!r} stands there more than once, with different taxa; keep one row.")
    if len(taxa.columns) < 2:
        raise DataError(
            f"{path}: data.labels.taxonomy needs columns besides the label's, such as genus, family, order."
        )
    kept = [name for name, role in manifest.roles.items() if role == "group" and name in taxa]
    names = [name for name in taxa if name not in (LABEL, *kept)]
    table = manifest.table.drop(columns=[name for name in names if name in manifest.table])
    joined = table.merge(taxa[[LABEL, *names]], on=LABEL, how="left")
    notes = list(manifest.notes)
    if replaced := [name for name in names if name in manifest.table]:
        notes.append(f"{path.name}: its columns {', '.join(replaced)} stand in place of the data's own.")
    absent = sorted(set(table[LABEL]) - set(taxa[LABEL]))
    if absent:
        notes.append(
            f"{path.name}: {len(absent)} labels are not in it, such as {absent[0]!r}; they have no coarser taxa."
        )
    roles: dict[str, Role] = dict(manifest.roles)
    for name in names:
        roles[name] = "taxonomy"
    return dataclasses.replace(manifest, table=joined, roles=roles, notes=notes)


def table_of_labels(naming: Naming, left_out: Mapping[str, int], held_out: Sequence[str]) -> pd.DataFrame:
    """Return every label as it was written, its specimens, the class that it is part of, and why it is of none."""
    rows = []
    for label in sorted(naming.written):
        name = naming.name(label)
        why = "too few specimens" if name in left_out else "held out" if name in held_out else ""
        rows.append((label, naming.written[label], "" if why else name, why))
    return pd.DataFrame(rows, columns=["label", "specimens", "class", "no class because"])
