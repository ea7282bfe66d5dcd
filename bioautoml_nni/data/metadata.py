"""Encoding of metadata columns as numbers, categories and a mask of what is present.

* numeric: standardised; size: log1p, then standardised; fraction: logit, then standardised;
* date: day of the year and, where times of day are given, the hour, each as two harmonics; hour: the same alone;
* latitude and longitude together, or coordinates that hold both: a point on the unit sphere, optionally with finer
  wavelengths; exactly (0, 0) is missing;
* categorical: an index, 0 for missing (<na>), 1 for rare or unseen in training (<unk>);
* text: a hashed bag of words.

Every field has one mask bit. A missing value is encoded as 0 with its bit off; 0.0 itself is a value with its bit on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ._field import Field
from .column_names import with_names
from .coordinate_pairs import decide_pairs, order_of
from .coordinates import Axis
from .fields import CategoryField, CycleField, NumberField, TextField, restore
from .gaps import without_gaps
from .hours import HourReport, decide_hours
from .manifest import Role
from .moments import restore_form
from .numerals import decide_numbers
from .place_fields import GeoField, PairField
from .times import FormReport, decide_form, parse_moments

TRANSFORMS = {"numeric": "none", "size": "log1p", "fraction": "logit"}
VERSION = 2
READABLE = (1, VERSION)
"""1: exports of 0.1, whose fields do not say how texts write numbers and dates."""


@dataclass(frozen=True)
class EncodedMetadata:
    """Arrays of N rows: numeric (N, n) float32, categorical (N, k) int64, mask (N, f) float32."""

    numeric: np.ndarray
    categorical: np.ndarray
    mask: np.ndarray


class MetadataPreprocessor:
    """Fits on training rows and transforms any rows, in the manner of scikit-learn.

    Args:
        roles: role of each feature column; latitude and longitude must come as a pair.
        place_resolution_km: see `LocationField`.
        rare_below: see `CategoryField`.
        text_width: see `TextField`.
        forms: how columns write numbers and dates, as `with_types` decides it; what is not there is decided from the
            training rows.
        missing: texts that mean a gap in tables as they come, which `readable` takes out.
    """

    def __init__(
        self,
        roles: Mapping[str, Role],
        place_resolution_km: float = 0.0,
        rare_below: int = 3,
        text_width: int = 64,
        forms: Mapping[str, Mapping[str, str]] | None = None,
        missing: Sequence[str] = (),
    ) -> None:
        self.roles = dict(roles)
        self.missing = tuple(missing)
        self.place_resolution_km = place_resolution_km
        self.rare_below = rare_below
        self.text_width = text_width
        self.forms = {name: dict(form) for name, form in (forms or {}).items()}
        self.fields_: list[Field] = []

    def fit(self, table: pd.DataFrame) -> MetadataPreprocessor:
        """Learn means, scales and categories from the training rows; gaps are left out."""
        self.fields_ = self._fields(table)
        for field in self.fields_:
            field.fit(table)
        return self

    def transform(self, table: pd.DataFrame) -> EncodedMetadata:
        """Encode rows; columns that the table lacks count as missing."""
        numeric: list[np.ndarray] = []
        categorical: list[np.ndarray] = []
        masks: list[np.ndarray] = []
        for field in self.fields_:
            values, present = field.encode(table)
            (categorical if field.categories else numeric).append(values)
            masks.append(present[:, None])
        rows = len(table)
        return EncodedMetadata(
            _join(numeric, rows, np.float32), _join(categorical, rows, np.int64), _join(masks, rows, np.float32)
        )

    def readable(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table as it comes from a user with the names of columns and the gaps that training saw."""
        named = with_names(table, self.roles)
        own = [name for name in self.roles if name in named] if self.missing else []
        return named.assign(**{name: without_gaps(named[name], self.missing) for name in own})

    def doubts(self, table: pd.DataFrame) -> list[tuple[str, str, str]]:
        """Return column, what is wrong and text of each value that is there and cannot be read or is not known."""
        return [
            doubt
            for field in self.fields_
            if not (isinstance(field, CycleField) and field.period == "hour" and self.roles[field.columns[0]] == "date")
            for doubt in field.doubts(table)
        ]

    def specification(self) -> dict[str, Any]:
        """Return what a metadata encoder has to know.

        ``numeric_fields``: for each number the position of its field in the mask; ``categories``: for each categorical
        field its number of values; ``category_fields``: their positions in the mask; ``fields``: number of mask bits.
        """
        return {
            "numeric_fields": [
                n for n, field in enumerate(self.fields_) if not field.categories for _ in field.names()
            ],
            "categories": [field.categories for field in self.fields_ if field.categories],
            "category_fields": [n for n, field in enumerate(self.fields_) if field.categories],
            "fields": len(self.fields_),
        }

    def get_feature_names_out(self) -> list[str]:
        """Names of the numeric inputs followed by the categorical ones."""
        numeric = [name for field in self.fields_ if not field.categories for name in field.names()]
        return numeric + [name for field in self.fields_ if field.categories for name in field.names()]

    def input_schema(self) -> list[dict[str, Any]]:
        """Return for each column its role and, where it has known values, these."""
        values = {field.columns[0]: field.values for field in self.fields_ if isinstance(field, CategoryField)}
        return [{"column": name, "role": role, "values": values.get(name)} for name, role in self.roles.items()]

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted state, ready for JSON; a prediction elsewhere needs nothing else."""
        told = {"missing": list(self.missing)} if self.missing else {}
        return {"version": VERSION, "roles": self.roles, "fields": [field.state() for field in self.fields_], **told}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> MetadataPreprocessor:
        """Rebuild a fitted preprocessor from `to_dict`.

        Raises:
            ValueError: for a state of another version.
        """
        if state.get("version") not in READABLE:
            raise ValueError(f"preprocessing of version {state.get('version')!r} cannot be read; this is {VERSION}")
        restored = cls(state["roles"], missing=[str(text) for text in state.get("missing", [])])
        restored.fields_ = [restore(field) for field in state["fields"]]
        return restored

    def _fields(self, table: pd.DataFrame) -> list[Field]:
        fields: list[Field] = []
        for name, role in self.roles.items():
            if role in TRANSFORMS:
                fields.append(NumberField([name], TRANSFORMS[role], form=self._number_form(table, name)))
            elif role == "date":
                form = self._date_form(table, name)
                fields.append(CycleField([name], "day", form))
                times, timed = parse_moments(table[name], restore_form(form))
                if (timed & ((times.dt.hour != 0) | (times.dt.minute != 0))).any():
                    fields.append(CycleField([name], "hour", form))
            elif role == "hour":
                form = self._date_form(table, name, decide_hours)
                fields.append(CycleField([name], "hour", form))
            elif role == "categorical":
                fields.append(CategoryField([name], self.rare_below, spelling="text"))
            elif role == "coordinates":
                order = order_of(self.forms.get(name)) or decide_pairs(table[name]).order
                fields.append(PairField([name], self.place_resolution_km, order, nowhere=True))
            elif role == "text":
                fields.append(TextField([name], self.text_width))
        latitude = [name for name, role in self.roles.items() if role == "latitude"]
        longitude = [name for name, role in self.roles.items() if role == "longitude"]
        if latitude and longitude:
            first, second = (self._number_form(table, name) for name in (latitude[0], longitude[0]))
            fields.append(GeoField([latitude[0], longitude[0]], self.place_resolution_km, first, second, nowhere=True))
        return fields

    def _number_form(self, table: pd.DataFrame, name: str) -> dict[str, str]:
        form, role = self.forms.get(name, {}), self.roles[name]
        if "decimal" in form:
            return form
        return decide_numbers(table[name], _axis(role), share=role == "fraction").form.state()

    def _date_form(
        self, table: pd.DataFrame, name: str, decide: Callable[[pd.Series], FormReport | HourReport] = decide_form
    ) -> dict[str, str]:
        form = self.forms.get(name, {})
        return form if "order" in form else decide(table[name]).form.state()


def _axis(role: Role) -> Axis:
    return role if role in ("latitude", "longitude") else ""


def _join(columns: list[np.ndarray], rows: int, dtype: Any) -> np.ndarray:
    return np.concatenate(columns, axis=1).astype(dtype) if columns else np.zeros((rows, 0), dtype)
