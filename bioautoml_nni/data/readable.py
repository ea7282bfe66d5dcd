"""Specimens whose images can be read; the others are left out, and told with the reason."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd
from rich.console import Console

from ..utils.errors import DataError
from ..utils.progress import make_progress
from .image_store import ImageStore
from .manifest import ID, IMAGE
from .remark import Answer, Remark


@dataclass(frozen=True)
class Readable:
    """Specimens with a readable image.

    Attributes:
        table: their rows, renumbered.
        facts: of their images, from the image store, row by row.
        unreadable: id, image and reason of the images that cannot be read.
        remarks: what that means.
    """

    table: pd.DataFrame
    facts: pd.DataFrame
    unreadable: pd.DataFrame
    remarks: tuple[Remark, ...]


NONE_UNREADABLE = pd.DataFrame(columns=[ID, IMAGE, "reason"])


def readable(table: pd.DataFrame, store: ImageStore, limit: float, console: Console) -> Readable:
    """Look at the image of every specimen, and decode what the store lacks.

    Args:
        table: a manifest's rows.
        limit: share of unreadable images above which the data are refused.

    Raises:
        DataError: if no image can be read, or a path leads out of the image root.
    """
    references = table[IMAGE].tolist()
    with make_progress(console) as progress:
        task = progress.add_task("images", total=len(references), note="")
        facts = store.ensure(references, lambda count: progress.advance(task, count))
    kept = facts["failure"].isna().to_numpy()
    if not kept.any():
        raise DataError(
            f"None of the {len(table)} images can be read; the first is {references[0]} "
            f"({facts['failure'].iloc[0]}). Check data.root and where its image paths start from."
        )
    unreadable = table.loc[~kept, [ID, IMAGE]].assign(reason=facts.loc[~kept, "failure"].to_numpy())
    return Readable(
        (table if kept.all() else table[kept]).reset_index(drop=True),
        (facts if kept.all() else facts[kept]).reset_index(drop=True),
        unreadable,
        () if unreadable.empty else (_remark(unreadable, len(table), limit),),
    )


def _remark(unreadable: pd.DataFrame, total: int, limit: float) -> Remark:
    share, first = len(unreadable) / total, unreadable.iloc[0]
    text = f"{len(unreadable)} of {total} images ({share:.1%}) cannot be read"
    if share > limit:
        text += f", more than data.max_unreadable={limit:g}; the first is {first[IMAGE]} ({first['reason']})."
        return Remark("refused", "unreadable", text, Answer("data.max_unreadable", math.ceil(share * 100) / 100))
    text += f" and are left out; the first is {first[IMAGE]} ({first['reason']})."
    return Remark("warning", "unreadable", text)
