"""Values that their column's role cannot have: a latitude in metres, a fraction in per cent, an hour of 2100."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from .coordinate_pairs import decide_pairs, order_of, parse_pairs
from .hours import parse_hours
from .manifest import FEATURE_ROLES, Manifest, Role, Unread
from .moments import DateForm, restore_form
from .numerals import parse_numbers
from .place_fields import is_nowhere
from .remark import Answer, Level, Remark
from .tables import cell_text
from .times import parse_times

MANY = 0.05
"""Share of a column's values above which its role must be a mistake."""
RANGES: Mapping[Role, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "latitude": (lambda values: np.abs(values) <= 90, "degrees from -90 to 90"),
    "longitude": (lambda values: (values >= -180) & (values <= 360), "degrees from -180 to 360"),
    "fraction": (lambda values: (values >= 0) & (values <= 1), "shares from 0 to 1 (35 % is 0.35)"),
    "size": (lambda values: values >= 0, "numbers that are not negative"),
    "numeric": (lambda values: np.isfinite(values), "numbers"),
}
WORDS: Mapping[Role, str] = {
    "date": "dates",
    "hour": "hours from 0 to 24 or times such as 23:30",
    "coordinates": "pairs of latitude and longitude such as 52.52, 13.40",
}


def misfit_remarks(manifest: Manifest, table: pd.DataFrame) -> list[Remark]:
    """Remark on columns whose values are outside of what their role can be, and count as missing for it.

    More than `MANY` of a column whose role the user declared forbid training: the role, or the unit, is a mistake.
    """
    remarks = []
    for name, role in manifest.roles.items():
        if role not in FEATURE_ROLES or name not in table:
            continue
        wrong = _outside(table[name], role, manifest.forms.get(name))
        unread = manifest.unread.get(name, Unread(0, ()))
        count, total = len(wrong) + unread.count, int(table[name].notna().sum()) + unread.count
        if not count:
            continue
        examples = ", ".join(list(dict.fromkeys([*unread.examples, *wrong]))[:3])
        many = count > MANY * total
        text = f"Column {name!r} is {role}, but {count} of its {total} values ({examples}) are no {_meant(role)}"
        if many and name in manifest.declared:
            text += ". Convert them, or give the column another role."
        else:
            text += "; they count as missing."
        level: Level = "note" if not many else "refused" if name in manifest.declared else "warning"
        other = "numeric" if role in RANGES and role != "numeric" and not unread.count else "ignored"
        remarks.append(Remark(level, "columns", text, Answer("data.columns", {name: other}) if many else None))
    return [*remarks, *_nowhere_remarks(manifest, table)]


def _nowhere_remarks(manifest: Manifest, table: pd.DataFrame) -> list[Remark]:
    """Say how many places are exactly (0, 0), which is what programs write for an unknown one."""
    columns = {role: name for name, role in manifest.features().items() if name in table}
    if {"latitude", "longitude"} <= set(columns):
        places = [parse_numbers(table[columns[axis]]) for axis in ("latitude", "longitude")]
    elif name := columns.get("coordinates"):
        order = order_of(manifest.forms.get(name)) or decide_pairs(table[name]).order
        places = list(parse_pairs(table[name], order))
    else:
        return []
    count = int(is_nowhere(*places).sum())
    text = f"The place of {count} specimens is (0, 0), as programs write one that nobody knows; it counts as missing."
    return [Remark("note", "columns", text)] if count else []


def _meant(role: Role) -> str:
    return RANGES[role][1] if role in RANGES else WORDS.get(role, role)


def _date_form(form: Mapping[str, str] | None) -> DateForm | None:
    return restore_form(form) if form and "order" in form else None


def _outside(column: pd.Series, role: Role, form: Mapping[str, str] | None) -> list[str]:
    """Return the values, as text, that are there and cannot be of the role."""
    present = column.notna().to_numpy()
    if role in RANGES:
        values = parse_numbers(column)
        fits = np.isfinite(values) & RANGES[role][0](np.where(np.isfinite(values), values, 0.0))
    elif role == "date":
        fits = parse_times(column, _date_form(form)).notna().to_numpy()
    elif role == "hour":
        fits = np.isfinite(parse_hours(column, _date_form(form)))
    elif role == "coordinates":
        fits = np.isfinite(parse_pairs(column, order_of(form) or decide_pairs(column).order)[0])
    else:
        return []
    return [cell_text(value) or "" for value in column[present & ~fits]]
