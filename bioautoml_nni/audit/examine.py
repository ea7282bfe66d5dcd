"""From an experiment to its audited data: source, images, splits, screen, roles and a verdict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from rich.console import Console

from ..config import Experiment
from ..data import splits
from ..data.image_store import ImageStore, Pixels
from ..data.manifest import ID, IMAGE, LABEL, SPLIT, Manifest, Role
from ..data.roles import infer_role, pair_places
from ..registry import get, suggestion
from ..utils.errors import DataError
from ..utils.progress import make_progress
from .columns import Screen, brand, screen
from .pictures import picture_findings, unreadable_table
from .remarks import Remark, judge_columns, judge_pictures, judge_split, judge_unreadable

HEAD, TAIL = 100, 20


@dataclass
class Examination:
    """Audited data.

    Attributes:
        manifest: as the source gave it, with the final roles.
        table: specimens that are used: labelled, frequent enough, with a readable image if images are used.
        part: part of each of them.
        facts: their facts from the image store, or None without images.
        pixels: their pixels, or None without images.
        unreadable: id, image and reason of the images that cannot be read.
        overridden: reason, by refused column that is used all the same.
        remarks: all findings in words; any that is "refused" forbids training.
        audit: everything for audit.json.
    """

    manifest: Manifest
    table: pd.DataFrame
    part: pd.Series
    facts: pd.DataFrame | None
    pixels: Pixels | None
    unreadable: pd.DataFrame
    overridden: dict[str, str]
    remarks: list[Remark]
    audit: dict[str, Any]

    @property
    def verdict(self) -> Literal["clean", "warnings", "refused"]:
        """The worst of the remarks."""
        levels = {remark.level for remark in self.remarks}
        return "refused" if "refused" in levels else "warnings" if "warning" in levels else "clean"

    @property
    def refusals(self) -> list[str]:
        """Why nothing may be trained on this data, in sentences."""
        return [remark.text for remark in self.remarks if remark.level == "refused"]


def image_store(experiment: Experiment, manifest_root: Any) -> ImageStore:
    """Return the image cache that an experiment uses."""
    cache = experiment.cache
    return ImageStore(manifest_root, experiment.data.image_size, cache.folder, cache.max_gb)


def load_manifest(experiment: Experiment) -> Manifest:
    """Return what the experiment's source reads.

    Raises:
        DataError: for files that cannot be read.
    """
    settings = experiment.data
    manifest: Manifest = get("sources", settings.source).target(settings.root, **settings.arguments).load()
    return manifest


def examine(experiment: Experiment, console: Console, manifest: Manifest | None = None) -> Examination:
    """Audit the data of an experiment.

    Args:
        manifest: the source's own by default.

    Raises:
        DataError: for data that cannot even be looked at: no table, no usable row, a single class, a path that leads
            out of the image root, a part of the split that stays empty.
    """
    settings = experiment.data
    remarks: list[Remark] = []
    if manifest is None:
        manifest = load_manifest(experiment)
    remarks += [Remark("note", "table", note) for note in manifest.notes]
    _require_labels(manifest.table, settings.hold_out)
    table, dropped = _without_rare(manifest.table, settings, remarks)
    facts: pd.DataFrame | None = None
    unreadable = pd.DataFrame(columns=[ID, IMAGE, "reason"])
    if "image" in settings.modalities:
        facts = _look_at_images(experiment, manifest, table, console)
        unreadable = unreadable_table(table, facts)
        kept = facts["failure"].isna().to_numpy()
        judge_unreadable(unreadable, len(table), settings.max_unreadable, remarks)
        if not kept.any():
            raise DataError(
                f"None of the {len(table)} images can be read; the first is {table[IMAGE].iloc[0]} "
                f"({facts['failure'].iloc[0]}). Check data.root and where its image paths start from."
            )
        table, facts = table[kept].reset_index(drop=True), facts[kept].reset_index(drop=True)
        if not kept.all():
            readable = table
            table, more = _without_rare(readable, settings, remarks)
            facts = facts[~readable[LABEL].isin(list(more))].reset_index(drop=True)
            dropped |= more
    learned = ~table[LABEL].isin(settings.hold_out)
    part = splits.assign(table[learned], settings.split, experiment.seed).reindex(
        table.index, fill_value=splits.UNKNOWN
    )
    known, known_part = table[learned].reset_index(drop=True), part[learned].reset_index(drop=True)
    found = _screen(experiment, manifest, known, known_part, console)
    roles, overridden = _final_roles(experiment, manifest, table, found, remarks)
    manifest.roles = roles
    if "metadata" in settings.modalities and not manifest.features():
        raise DataError(
            "data.modalities names metadata, but no usable metadata column is left; give roles under data.columns "
            "or set data.modalities to [image]."
        )
    judge_split(known, known_part, settings, found, remarks)
    test, train = _masks(part)
    pictures = pixels = None
    if facts is not None:
        pixels = image_store(experiment, manifest.image_root).pixels(facts)
        pictures = picture_findings(table, facts, pixels, test, train)
        judge_pictures(pictures, remarks)
    examination = Examination(manifest, table, part, facts, pixels, unreadable, overridden, remarks, {})
    examination.audit = _audit(examination, found, dropped, pictures, settings)
    return examination


def _masks(part: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    return (part == splits.TEST).to_numpy(), part.isin([splits.WEIGHTS, splits.ALPHA]).to_numpy()


def _require_labels(table: pd.DataFrame, wanted: list[str]) -> None:
    known = set(table[LABEL])
    for name in wanted:
        if name not in known:
            raise DataError(f"data.hold_out: no specimen has the label {name!r}{suggestion(name, sorted(known))}.")


def _without_rare(table: pd.DataFrame, settings: Any, remarks: list[Remark]) -> tuple[pd.DataFrame, dict[str, int]]:
    """Leave out labels with a single specimen; unless they may be dropped, that is a reason to refuse."""
    counts = table[LABEL][~table[LABEL].isin(settings.hold_out)].value_counts()
    if counts.empty:
        raise DataError("data.hold_out: names all labels; two at least must be left to learn.")
    if len(counts) < 2:
        raise DataError(
            f"All {len(table)} specimens have the label {counts.index[0]!r}; two classes at least are needed."
        )
    rare = counts[counts < 2]
    if rare.empty:
        return table, {}
    names = ", ".join(repr(name) for name in rare.index[:5]) + (" and others" if len(rare) > 5 else "")
    if settings.rare_labels == "error":
        text = (
            f"Label {names} has one specimen only, which cannot be both learned and tested; merge it with another "
            "label or set data.rare_labels=drop."
        )
        remarks.append(Remark("refused", "labels", text))
    else:
        remarks.append(Remark("note", "labels", f"Labels with one specimen left out: {names}."))
    kept = table[~table[LABEL].isin(rare.index)].reset_index(drop=True)
    if len(counts) - len(rare) < 2:
        raise DataError("Fewer than two labels have two specimens; two classes at least are needed.")
    return kept, {str(name): 1 for name in rare.index}


def _look_at_images(experiment: Experiment, manifest: Manifest, table: pd.DataFrame, console: Console) -> pd.DataFrame:
    references = table[IMAGE].tolist()
    with make_progress(console) as progress:
        task = progress.add_task("images", total=len(references), note="")
        store = image_store(experiment, manifest.image_root)
        return store.ensure(references, lambda count: progress.advance(task, count))


def _screen(
    experiment: Experiment, manifest: Manifest, table: pd.DataFrame, part: pd.Series, console: Console
) -> Screen:
    own = [name for name in table if name not in (ID, IMAGE, LABEL, SPLIT)]
    split = experiment.data.split
    test, train = _masks(part)
    with make_progress(console) as progress:
        task = progress.add_task("columns", total=len(own), note="")
        return screen(
            table[own],
            table[LABEL],
            train,
            test,
            group=split.group,
            taxonomy={name for name, role in manifest.roles.items() if role == "taxonomy"},
            assigns_split={split.column} if split.column else set(),
            advance=lambda: progress.advance(task),
        )


def _final_roles(
    experiment: Experiment, manifest: Manifest, table: pd.DataFrame, found: Screen, remarks: list[Remark]
) -> tuple[dict[str, Role], dict[str, str]]:
    """Decide what each column is used as; refused columns are used only where the configuration gives a reason."""
    allow = experiment.audit.allow
    known = [finding.column for finding in found.findings]
    for name in allow:
        if name not in known:
            text = f"audit.allow.{name}: the table has no such column{suggestion(name, known)}."
            remarks.append(Remark("refused", "columns", text))
    roles: dict[str, Role] = {}
    overridden: dict[str, str] = {}
    uses_metadata = "metadata" in experiment.data.modalities
    for finding in found.findings:
        name = finding.column
        declared = name in manifest.declared
        role = manifest.roles.get(name) or ("ignored" if not manifest.infer else None)
        if role in ("group", "ignored"):
            roles[name] = role
        elif finding.verdict == "refuse" and name in allow:
            roles[name] = role if role not in (None, "taxonomy") else infer_role(name, table[name])[0]
            if uses_metadata:
                overridden[name] = allow[name]
        elif finding.verdict == "refuse":
            roles[name] = "taxonomy" if role == "taxonomy" or finding.kind == "taxonomy" else "ignored"
            if declared and uses_metadata and role != "taxonomy":
                text = (
                    f"data.columns.{name}: cannot be a feature for {manifest.rank!r}, since {finding.reason}. Remove "
                    f"it, or state under audit.allow.{name} why it must be used; every result is then marked."
                )
                remarks.append(Remark("refused", "columns", text))
        elif finding.verdict == "drop" and not declared:
            roles[name] = "ignored"
        elif role is None:
            roles[name], reason = infer_role(name, table[name])
            remarks.append(Remark("note", "columns", f"Column {name!r} taken as {roles[name]}: {reason}."))
        else:
            roles[name] = role
    pair_places(roles)
    judge_columns(found, roles, overridden, uses_metadata, manifest.infer, remarks)
    return roles, overridden


def _audit(
    examination: Examination, found: Screen, dropped: dict[str, int], pictures: Any, settings: Any
) -> dict[str, Any]:
    manifest, learned = examination.manifest, examination.part != splits.UNKNOWN
    table, part = examination.table[learned], examination.part[learned]
    counts = pd.crosstab(table[LABEL], part).reindex(columns=list(splits.PARTS), fill_value=0)
    training = counts[[splits.WEIGHTS, splits.ALPHA]].sum(axis=1)
    group = settings.split.group
    crossing = None
    if group:
        outside = table.assign(test=part == splits.TEST).groupby(group)["test"].nunique() > 1
        crossing = int(outside.sum())
    return {
        "verdict": examination.verdict,
        "remarks": [vars(remark) for remark in examination.remarks],
        "rank": manifest.rank,
        "specimens": len(table),
        "held_out": {str(name): int(n) for name, n in examination.table[LABEL][~learned].value_counts().items()},
        "labels_dropped": dropped,
        "unreadable_images": len(examination.unreadable),
        "unreadable": examination.unreadable.rename(columns={ID: "id", IMAGE: "image"}).head(1000).to_dict("records"),
        "split_sizes": {name: int((part == name).sum()) for name in splits.PARTS},
        "groups_that_cross_into_test": crossing,
        "class_counts": {str(name): {p: int(n) for p, n in row.items()} for name, row in counts.iterrows()},
        "tail": {
            "head": sorted(str(name) for name in training.index[training > HEAD]),
            "medium": sorted(str(name) for name in training.index[(training >= TAIL) & (training <= HEAD)]),
            "tail": sorted(str(name) for name in training.index[training < TAIL]),
        },
        "columns": [
            {**vars(finding), "role": manifest.roles.get(finding.column, "ignored")} for finding in found.findings
        ],
        "event": None
        if found.event is None
        else {
            "key": list(found.event.key),
            "columns": list(found.event.followers),
            "events": len(np.unique(found.event.codes[found.event.codes >= 0])),
            "share_of_test_in_training_events": round(found.event_in_training, 4),
        },
        "images": pictures,
        "overridden": examination.overridden,
        "brand": brand(examination.overridden),
    }
