"""Encoding of metadata columns as numbers, categories and a mask of what is present.

* numeric: standardised; size: log1p, then standardised; date: sine and cosine of the day of the year;
* latitude and longitude together: a point on the unit sphere (x, y, z), on which the date line is no border;
* categorical: an index, 0 for missing (<na>), 1 for unseen in training (<unk>).

Every field has one mask bit. A missing value is encoded as 0 with its bit off; 0.0 itself is a value with its bit on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .manifest import Role, as_strings

MISSING, UNKNOWN = 0, 1
DAYS = 365.25


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
    """

    def __init__(self, roles: Mapping[str, Role]) -> None:
        self.roles = dict(roles)
        self.numeric_ = [name for name, role in roles.items() if role in ("numeric", "size")]
        self.dates_ = [name for name, role in roles.items() if role == "date"]
        self.categorical_ = [name for name, role in roles.items() if role == "categorical"]
        latitude = [name for name, role in roles.items() if role == "latitude"]
        longitude = [name for name, role in roles.items() if role == "longitude"]
        self.place_ = (latitude[0], longitude[0]) if latitude and longitude else None
        self.center_: dict[str, float] = {}
        self.scale_: dict[str, float] = {}
        self.categories_: dict[str, list[str]] = {}

    def fit(self, table: pd.DataFrame) -> MetadataPreprocessor:
        """Learn means, scales and categories from the training rows; gaps are left out."""
        for name in self.numeric_:
            values = self._number(table[name], name)
            present = values[np.isfinite(values)]
            self.center_[name] = float(present.mean()) if len(present) else 0.0
            deviation = float(present.std()) if len(present) else 0.0
            self.scale_[name] = deviation if deviation > 1e-12 else 1.0
        for name in self.categorical_:
            self.categories_[name] = sorted({value for value in as_strings(table[name]) if value is not None})
        return self

    def transform(self, table: pd.DataFrame) -> EncodedMetadata:
        """Encode rows; columns that the table lacks count as missing."""
        numeric: list[np.ndarray] = []
        masks: list[np.ndarray] = []
        empty = pd.Series(np.nan, index=table.index, dtype=object)
        for name in self.numeric_:
            values = self._number(table.get(name, empty), name)
            present = np.isfinite(values)
            standard = (np.where(present, values, 0.0) - self.center_[name]) / self.scale_[name]
            numeric.append(np.where(present, np.clip(standard, -10, 10), 0.0))
            masks.append(present)
        for name in self.dates_:
            days = pd.to_datetime(table.get(name, empty).astype("string"), errors="coerce", format="mixed").dt.dayofyear
            angle = 2 * np.pi * days.to_numpy(dtype=float, na_value=np.nan) / DAYS
            present = np.isfinite(angle)
            numeric += [np.where(present, np.sin(angle), 0.0), np.where(present, np.cos(angle), 0.0)]
            masks.append(present)
        if self.place_:
            latitude, longitude = (
                np.radians(pd.to_numeric(table.get(name, empty), errors="coerce").to_numpy(dtype=float))
                for name in self.place_
            )
            present = np.isfinite(latitude) & np.isfinite(longitude)
            xyz = (np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude))
            numeric += [np.where(present, axis, 0.0) for axis in xyz]
            masks.append(present)
        categorical: list[np.ndarray] = []
        for name in self.categorical_:
            index = {value: position + 2 for position, value in enumerate(self.categories_[name])}
            values = as_strings(table.get(name, empty))
            codes = np.array([MISSING if value is None else index.get(value, UNKNOWN) for value in values], np.int64)
            categorical.append(codes)
            masks.append(codes != MISSING)
        rows = len(table)
        return EncodedMetadata(
            _stack(numeric, rows, np.float32), _stack(categorical, rows, np.int64), _stack(masks, rows, np.float32)
        )

    def specification(self) -> dict[str, Any]:
        """Return what a metadata encoder has to know: ``numeric``, ``categories`` and ``fields``."""
        numeric = len(self.numeric_) + 2 * len(self.dates_) + (3 if self.place_ else 0)
        fields = len(self.numeric_) + len(self.dates_) + len(self.categorical_) + bool(self.place_)
        return {
            "numeric": numeric,
            "categories": [len(self.categories_[name]) + 2 for name in self.categorical_],
            "fields": fields,
        }

    def get_feature_names_out(self) -> list[str]:
        """Names of the numeric inputs followed by the categorical ones."""
        names = list(self.numeric_)
        for name in self.dates_:
            names += [f"{name}_sin", f"{name}_cos"]
        if self.place_:
            names += ["place_x", "place_y", "place_z"]
        return names + self.categorical_

    def to_dict(self) -> dict[str, Any]:
        """Return the fitted state, ready for JSON."""
        return {
            "roles": self.roles,
            "center": self.center_,
            "scale": self.scale_,
            "categories": self.categories_,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> MetadataPreprocessor:
        """Rebuild a fitted preprocessor from `to_dict`."""
        restored = cls(state["roles"])
        restored.center_ = dict(state["center"])
        restored.scale_ = dict(state["scale"])
        restored.categories_ = {name: list(values) for name, values in state["categories"].items()}
        return restored

    def _number(self, column: pd.Series, name: str) -> np.ndarray:
        values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        if self.roles[name] == "size":
            with np.errstate(invalid="ignore"):
                values = np.log1p(np.where(values >= 0, values, np.nan))
        return values


def _stack(columns: list[np.ndarray], rows: int, dtype: Any) -> np.ndarray:
    return np.column_stack(columns).astype(dtype) if columns else np.zeros((rows, 0), dtype)
