"""What the audit says, in sentences, each with its weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ..artifacts.audit import ImagesRecord
from ..config.schema import SplitConfig
from ..data import splits
from ..data.manifest import LABEL, Manifest
from ..data.remark import Answer, ColumnFinding, Remark
from .columns import MUCH, Screen, brand


def judge_columns(
    found: Screen,
    manifest: Manifest,
    overridden: Mapping[str, str],
    uses_metadata: bool,
    split: SplitConfig,
) -> list[Remark]:
    """Return remarks on refused, overridden and event columns, and on those that are used with a reservation."""
    remarks = _refused(found, manifest, overridden, uses_metadata)
    if overridden:
        remarks.append(
            Remark("warning", "columns", f"{brand(overridden)}. Every result of this experiment is marked so.")
        )
    events = [f for f in found.findings if f.kind == "event" and f.verdict == "drop"]
    if events and found.event:
        text = (
            f"{found.event_in_training:.0%} of the test specimens share a collecting event ({found.event.name}) with "
            f"training specimens, so that these columns act as an event id: {_named(events)}. Set data.split.group to "
            "the event's column for a score that holds for new events."
        )
        remarks.append(Remark("warning", "columns", text, _by_group(found, split)))
    if not uses_metadata:
        return remarks
    for finding in found.findings:
        used = manifest.roles.get(finding.column) not in ("ignored", "group", "taxonomy")
        if used and finding.verdict in ("warn", "drop"):
            text = f"Column {finding.column!r} is used, but {finding.reason}."
            remarks.append(Remark("warning", "columns", text, Answer("data.columns", {finding.column: "ignored"})))
    return remarks


def _refused(found: Screen, manifest: Manifest, overridden: Mapping[str, str], uses_metadata: bool) -> list[Remark]:
    """Return a remark on the columns that are refused, unless the user gave them up or overrode the refusal."""
    roles = manifest.roles
    given_up = {name for name in manifest.declared if roles.get(name) in ("ignored", "taxonomy", "group")}
    refused = [f for f in found.findings if f.verdict == "refuse" and f.column not in {*overridden, *given_up}]
    if not refused:
        return []
    asked = manifest.infer and uses_metadata
    said = {finding.column: roles.get(finding.column, "ignored") for finding in refused}
    answer = Answer("data.columns", said, sure=True) if asked else None
    text = f"Refused as features, for they give the label away: {_named(refused)}."
    return [Remark("warning" if asked else "note", "columns", text, answer)]


def _named(findings: Sequence[ColumnFinding]) -> str:
    return ", ".join(finding.column for finding in findings)


def _by_group(found: Screen, split: SplitConfig) -> Answer | None:
    """Return the line that keeps events on one side, where one column says which they are."""
    if found.event is None or len(found.event.key) > 1 or split.method not in ("stratified", "group"):
        return None
    return Answer("data.split", {"method": "group", "group": found.event.key[0]})


def judge_split(table: pd.DataFrame, part: pd.Series, split: SplitConfig, found: Screen) -> list[Remark]:
    """Return remarks on classes that a part lacks, and on events and groups that stand on both sides."""
    remarks: list[Remark] = []
    counts = pd.crosstab(table[LABEL], part.replace(splits.ALPHA, splits.WEIGHTS))
    for name, words in ((splits.WEIGHTS, "training"), (splits.VALIDATION, "validation"), (splits.TEST, "test")):
        gone = [str(label) for label in (counts.index[counts[name] == 0] if name in counts else counts.index)]
        if gone:
            shown = ", ".join(gone[:8]) + (" and others" if len(gone) > 8 else "")
            count = "1 class has" if len(gone) == 1 else f"{len(gone)} classes have"
            remarks.append(Remark("warning", "split", f"{count} no {words} specimen: {shown}."))
    known = found.event_in_training
    if found.event and known > MUCH and not any(f.kind == "event" and f.verdict == "drop" for f in found.findings):
        text = f"{known:.0%} of the test specimens share {found.event.name} with training."
        remarks.append(Remark("warning", "split", text, _by_group(found, split)))
    group = split.group
    if group and found.event and group in found.event.key and known > 0:
        text = (
            f"data.split.group {group!r}: {known:.0%} of the test specimens are of a group that training has too, "
            f"since {split.column or 'the official split'!r} divides groups."
        )
        remarks.append(Remark("warning", "split", text, Answer("data.split", {"method": "group", "group": group})))
    return remarks + _known_validation(table, part, split)


def _known_validation(table: pd.DataFrame, part: pd.Series, split: SplitConfig) -> list[Remark]:
    """Remark on validation specimens of groups that training has too, where a column says who is in which part."""
    groups = splits.groups_of(table, split.group if split.group in table else None)
    if groups is None:
        return []
    validated, trained = splits.mask(part, splits.VALIDATION), splits.mask(part, *splits.TRAINING)
    known = groups[validated].isin(groups[trained]).mean()
    if not known > 0:
        return []
    text = (
        f"data.split.group {split.group!r}: {known:.0%} of the validation specimens are of a group that training has "
        f"too, since {split.column or 'the official split'!r} divides groups: choices, thresholds and calibration, "
        "which go by validation, flatter. Leave data.split.validation out, so that it is drawn by group."
    )
    return [Remark("warning", "split", text)]


def judge_images(images: ImagesRecord) -> list[Remark]:
    """Return remarks on duplicates and tiny images."""
    remarks: list[Remark] = []
    kinds = ((images.exact_duplicates, "the same file"), (images.near_duplicates, "nearly the same image"))
    for found, words in kinds:
        if found is None or not found.pairs:
            continue
        twins, conflicting = found.test_images_with_a_twin_in_training, found.pairs_with_different_labels
        text = f"{found.images} images are {words} as another"
        text += f"; {twins} test images have such a twin in training" if twins else "; none across training and test"
        text += f"; {conflicting} pairs carry different labels." if conflicting else "."
        remarks.append(Remark("warning" if twins or conflicting else "note", "images", text))
    if small := images.smaller_than_32_px:
        remarks.append(Remark("note", "images", f"{small} images are smaller than 32 px."))
    if several := images.first_of_several:
        text = f"{several} files hold several images (animations, MPO, pages); the first of each is taken."
        remarks.append(Remark("note", "images", text))
    return remarks
