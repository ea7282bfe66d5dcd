"""Inference of the columns' roles from names and values, with the reason in words.

What a column gives away about the label is not asked here: the audit screens every column before.
"""

from __future__ import annotations

import re

import pandas as pd

from .manifest import Role

DATE = re.compile(r"(^|_)(date|eventdate|day|collected|datetime|time|timestamp)($|_)", re.IGNORECASE)
LATITUDE = re.compile(r"(^|[_-])lat(itude)?($|[_-])|decimallatitude", re.IGNORECASE)
LONGITUDE = re.compile(r"(^|[_-])(lon|lng|long(itude)?)($|[_-])|decimallongitude", re.IGNORECASE)
SIZE = re.compile(r"(^|_)(area|length|width|height|perimeter|mass|weight|feret|major|minor|size)(_|$)", re.IGNORECASE)
FRACTION = re.compile(r"(^|_)(fraction|share|ratio|proportion|cover)(_|$)", re.IGNORECASE)
MOST_CATEGORIES = 50


def infer_role(name: str, column: pd.Series) -> tuple[Role, str]:
    """Return a role for a column and why."""
    values = column.dropna()
    if values.nunique() < 2:
        return "ignored", "it has fewer than two different values"
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return _numeric_role(name, values)
    if DATE.search(name):
        from .metadata import parse_times

        if parse_times(values).notna().mean() > 0.95:
            return "date", "its values are dates"
    if len(values) < 2 * values.nunique() or values.nunique() > MOST_CATEGORIES:
        return "ignored", f"{values.nunique()} different texts are an identifier or free text"
    return "categorical", f"{values.nunique()} different texts"


def _numeric_role(name: str, values: pd.Series) -> tuple[Role, str]:
    if LATITUDE.search(name) and values.between(-90, 90).all():
        return "latitude", "its name and range"
    if LONGITUDE.search(name) and values.between(-180, 180).all():
        return "longitude", "its name and range"
    if bool((values % 1 == 0).all()) and values.nunique() == len(values):
        return "ignored", "it numbers the rows"
    if FRACTION.search(name) and values.between(0, 1).all():
        return "fraction", "its name, and its values lie between 0 and 1"
    if SIZE.search(name) and (values >= 0).all():
        return "size", "its name, and no value is negative"
    return "numeric", "its values are numbers"


def pair_places(roles: dict[str, Role]) -> None:
    """Let at most one latitude and one longitude stand, and neither without the other; others are ignored."""
    for role in ("latitude", "longitude"):
        for name in [name for name, value in roles.items() if value == role][1:]:
            roles[name] = "ignored"
    if ("latitude" in roles.values()) != ("longitude" in roles.values()):
        for name, value in list(roles.items()):
            if value in ("latitude", "longitude"):
                roles[name] = "ignored"
