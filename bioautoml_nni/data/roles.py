"""Inference of the columns' roles, with the reason in words. Whatever could give the label away is ignored."""

from __future__ import annotations

import re

import pandas as pd

from .manifest import Role, as_strings

TAXONOMY = re.compile(
    r"^(kingdom|phylum|(sub|super|infra)?class|(sub|super|infra)?order|(sub|super)?family|(sub)?tribe|(sub)?genus"
    r"|(sub)?species|taxon.*|scientific_?name.*|vernacular_?name|label.*|target.*|identif.*|det_?level"
    r"|(dna_)?bin(_uri)?|(dna_)?barcode|nucleotides?|is_(insect|arthropod))$",
    re.IGNORECASE,
)
DATE = re.compile(r"(^|_)(date|eventdate|day|collected)($|_)", re.IGNORECASE)
LATITUDE = re.compile(r"(^|[_-])lat(itude)?($|[_-])|decimallatitude", re.IGNORECASE)
LONGITUDE = re.compile(r"(^|[_-])(lon|lng|long(itude)?)($|[_-])|decimallongitude", re.IGNORECASE)
SIZE = re.compile(r"(^|_)(area|length|width|height|perimeter|mass|weight|feret|major|minor|size)(_|$)", re.IGNORECASE)
MOST_CATEGORIES = 50


def infer_role(name: str, column: pd.Series, label: pd.Series) -> tuple[Role, str]:
    """Return a role for a column and why.

    Args:
        name: the column's name.
        column: its values.
        label: the label of each row; used only to find columns that give it away.
    """
    values = column.dropna()
    if TAXONOMY.match(name):
        return "ignored", "its name says that it states or follows from the identification"
    if values.nunique() < 2:
        return "ignored", "it has fewer than two different values"
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    repeats = len(values) / values.nunique()
    if not numeric or repeats >= 2:
        agreement = _gives_label_away(column, label)
        if agreement is not None:
            return "ignored", f"its values name the label for {agreement:.0%} of the rows that share a value"
    if numeric:
        if LATITUDE.search(name) and values.between(-90, 90).all():
            return "latitude", "its name and range"
        if LONGITUDE.search(name) and values.between(-180, 180).all():
            return "longitude", "its name and range"
        if _is_integer(values) and values.nunique() == len(values):
            return "ignored", "it numbers the rows"
        if SIZE.search(name) and (values >= 0).all():
            return "size", "its name, and no value is negative"
        return "numeric", "its values are numbers"
    if DATE.search(name) and pd.to_datetime(values.astype(str), errors="coerce", format="mixed").notna().mean() > 0.95:
        return "date", "its values are dates"
    if repeats < 2 or values.nunique() > MOST_CATEGORIES:
        return "ignored", f"{values.nunique()} different texts are an identifier or free text"
    return "categorical", f"{values.nunique()} different texts"


def _is_integer(values: pd.Series) -> bool:
    return bool((values % 1 == 0).all())


def _gives_label_away(column: pd.Series, label: pd.Series) -> float | None:
    """Return the leave-one-out accuracy of naming the label by the column's value, if it is nearly perfect."""
    frame = pd.DataFrame({"value": as_strings(column), "label": label.to_numpy()}).dropna()
    sizes = frame.groupby("value")["label"].transform("size")
    frame = frame[sizes >= 2]
    if len(frame) < max(20, 0.2 * len(column)) or frame["label"].nunique() < 2:
        return None
    counts = frame.groupby(["value", "label"]).size().rename("n").reset_index()
    own = frame.merge(counts, on=["value", "label"])
    best_other = own.merge(counts.rename(columns={"label": "rival", "n": "rival_n"}), on="value")
    best_other = best_other[best_other["label"] != best_other["rival"]].groupby(["value", "label"])["rival_n"].max()
    rivals = own.set_index(["value", "label"]).index.map(best_other).to_numpy(dtype=float)
    rivals = pd.Series(rivals).fillna(0).to_numpy()
    accuracy = float(((own["n"].to_numpy() - 1) > rivals).mean())
    majority = float(frame["label"].value_counts(normalize=True).iloc[0])
    return accuracy if accuracy > 0.98 and accuracy > majority + 0.01 else None
