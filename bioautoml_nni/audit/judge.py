"""What the audit says of finished data, in sentences and in facts; the data are only read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from ..artifacts.audit import AuditRecord, ColumnRecord, EventRecord, ImagesRecord, RemarkRecord, Tail
from ..config.schema import DataConfig
from ..data import splits
from ..data.manifest import FEATURE_ROLES, ID, IMAGE, LABEL, Role
from ..data.misfits import misfit_remarks
from ..data.remark import ColumnFinding, Remark
from ..data.specimens import Specimens
from .columns import Screen, brand
from .images import image_findings
from .remarks import judge_columns, judge_images, judge_split
from .taxa import taxa_remarks

HEAD, TAIL = 100, 20

AuditVerdict = Literal["clean", "warnings", "refused"]


@dataclass(frozen=True)
class Audit:
    """What the audit says.

    Attributes:
        remarks: all findings in words, those of the data's loading first.
        record: everything for audit.json.
    """

    remarks: tuple[Remark, ...]
    record: AuditRecord

    @property
    def verdict(self) -> AuditVerdict:
        """The worst of the remarks."""
        return verdict_of(self.remarks)


def verdict_of(remarks: Sequence[Remark]) -> AuditVerdict:
    """Return the worst that is remarked."""
    levels = {remark.level for remark in remarks}
    return "refused" if "refused" in levels else "warnings" if "warning" in levels else "clean"


def audit(data: Specimens, found: Screen, settings: DataConfig) -> Audit:
    """Judge finished data.

    Args:
        data: it is only read.
        found: the screen's findings on its columns.
        settings: that it was made with.
    """
    images = None
    if data.facts is not None and data.pixels is not None:
        images = image_findings(data.table, data.facts, data.pixels, data.in_test, data.in_training)
    uses_metadata = "metadata" in settings.modalities
    remarks = (
        *data.remarks,
        *judge_columns(found, data.manifest, data.overridden, uses_metadata, settings.split),
        *(misfit_remarks(data.manifest, data.table) if uses_metadata else ()),
        *taxa_remarks(data.learned_rows[0], data.manifest.rank),
        *judge_split(*data.learned_rows, settings.split, found),
        *(judge_images(images) if images is not None else ()),
    )
    return Audit(remarks, _record(data, found, remarks, images, settings.split.group))


def _record(
    data: Specimens, found: Screen, remarks: Sequence[Remark], images: ImagesRecord | None, group: str | None
) -> AuditRecord:
    table, part = data.learned_rows
    counts = pd.crosstab(table[LABEL], part).reindex(columns=list(splits.PARTS), fill_value=0)
    return AuditRecord(
        verdict=verdict_of(remarks),
        remarks=[RemarkRecord(**remark.record()) for remark in remarks],
        rank=data.manifest.rank,
        specimens=len(table),
        held_out={str(name): int(n) for name, n in data.table[LABEL][~data.learned].value_counts().items()},
        labels_dropped=dict(data.labels_dropped),
        labels_joined=dict(data.labels_joined),
        unreadable_images=len(data.unreadable),
        unreadable=data.unreadable.rename(columns={ID: "id", IMAGE: "image"}).head(1000).to_dict("records"),
        split_sizes={name: int((part == name).sum()) for name in splits.PARTS},
        groups_that_cross_into_test=_crossing(table, part, group) if group else None,
        class_counts={str(name): row for name, row in counts.to_dict("index").items()},
        tail=_tail(counts[[*splits.TRAINING]].sum(axis=1)),
        columns=[
            _column(finding, data.manifest.roles.get(finding.column, "ignored"), remarks) for finding in found.findings
        ],
        event=_event(found),
        images=images,
        overridden=dict(data.overridden),
        brand=brand(data.overridden),
    )


def _column(finding: ColumnFinding, role: Role, remarks: Sequence[Remark]) -> ColumnRecord:
    """Return what is recorded of a column; one that passed and yet is not a feature says why."""
    record = {**vars(finding), "role": role}
    used = role in FEATURE_ROLES
    if finding.verdict == "drop" and used:
        record["verdict"] = "warn"  # it was declared
    if finding.verdict == "warn" and not used:
        record["verdict"] = "drop"
    if finding.verdict == "pass" and role == "ignored":
        start = f"Column {finding.column!r} taken as ignored: "
        said = next((remark for remark in remarks if remark.text.startswith(start)), None)
        why = "" if said is None else said.plain.removeprefix(start)
        record |= {"verdict": "drop", "kind": "ignored", "reason": why.rstrip(".") or "its role is ignored"}
    return ColumnRecord(**record)


def _crossing(table: pd.DataFrame, part: pd.Series, group: str) -> int:
    """Return how many groups have specimens both inside and outside of the test split."""
    tested = pd.Series(splits.mask(part, splits.TEST), part.index)
    return int((tested.groupby(table[group]).nunique() > 1).sum())


def _tail(training: pd.Series) -> Tail:
    """Return which classes have many, some and few training specimens."""
    return Tail(
        head=sorted(str(name) for name in training.index[training > HEAD]),
        medium=sorted(str(name) for name in training.index[(training >= TAIL) & (training <= HEAD)]),
        tail=sorted(str(name) for name in training.index[training < TAIL]),
    )


def _event(found: Screen) -> EventRecord | None:
    if found.event is None:
        return None
    return EventRecord(
        key=list(found.event.key),
        columns=list(found.event.followers),
        events=len(np.unique(found.event.codes[found.event.codes >= 0])),
        share_of_test_in_training_events=round(found.event_in_training, 4),
    )
