"""Metadata fields of places."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ._field import Field, column_of, numbers_of
from .coordinate_pairs import Order, parse_pairs

EARTH_RADIUS_KM = 6371.0


def is_nowhere(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return which places (N,) are exactly (0, 0), as those are exported that nobody knows."""
    return (latitude == 0) & (longitude == 0)


class LocationField(Field):
    """A place as a point on the unit sphere, on which neither date line nor pole is a border.

    Args:
        columns: that hold latitude and longitude, in degrees.
        resolution_km: 0 gives the three coordinates alone; otherwise sines and cosines of them are added, of
            wavelengths that halve from the Earth's diameter down to this length. Finer resolutions tell neighbouring
            sites apart, and let the network memorise them.
        nowhere: whether exactly (0, 0) is no place, as in what is exported without one; 0 in one of them is a value.
    """

    def __init__(self, columns: list[str], resolution_km: float = 0.0, nowhere: bool = False) -> None:
        super().__init__(columns)
        self.resolution_km = resolution_km
        self.nowhere = nowhere

    def degrees(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return latitudes and longitudes (N,), NaN where there is none."""
        raise NotImplementedError

    @property
    def scales(self) -> int:
        """Number of wavelengths besides the coordinates."""
        if self.resolution_km <= 0:
            return 0
        return max(0, int(np.ceil(np.log2(2 * EARTH_RADIUS_KM / self.resolution_km))))

    def names(self) -> list[str]:
        waves = [f"place_{axis}_{wave}{s}" for s in range(self.scales) for wave in ("sin", "cos") for axis in "xyz"]
        return [*(f"place_{axis}" for axis in "xyz"), *waves]

    def encode(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        latitude, longitude = self.degrees(table)
        present = np.isfinite(latitude) & np.isfinite(longitude) & (np.abs(latitude) <= 90)
        present &= ~self._is_nowhere(latitude, longitude)
        latitude, longitude = (np.radians(np.where(present, degrees, 0.0)) for degrees in (latitude, longitude))
        point = np.column_stack(
            [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
        )
        parts = [point]
        for scale in range(self.scales):
            parts += [np.sin(np.pi * 2**scale * point), np.cos(np.pi * 2**scale * point)]
        return np.concatenate(parts, axis=1) * present[:, None], present

    def doubts(self, table: pd.DataFrame) -> list[tuple[str, str, str]]:
        """Return the values that cannot be read, and those that are no place."""
        count = int(self._is_nowhere(*self.degrees(table)).sum())
        name = self.columns[0]
        return [
            *super().doubts(table),
            *[(name, "are part of (0, 0), which stands for no place, and count as missing", "0")] * count,
        ]

    def _is_nowhere(self, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        return is_nowhere(latitude, longitude) & self.nowhere


class GeoField(LocationField):
    """A place of two columns, latitude and longitude.

    Args:
        form, longitude_form: how texts write the two numbers; see `NumberForm`.
    """

    kind = "place"

    def __init__(
        self,
        columns: list[str],
        resolution_km: float = 0.0,
        form: Mapping[str, str] | None = None,
        longitude_form: Mapping[str, str] | None = None,
        nowhere: bool = False,
    ) -> None:
        super().__init__(columns, resolution_km, nowhere)
        self.form = dict(form) if form else None
        self.longitude_form = dict(longitude_form) if longitude_form else None

    def degrees(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        latitude, longitude = self.columns
        return numbers_of(table, latitude, self.form), numbers_of(table, longitude, self.longitude_form)

    def _unread(self, table: pd.DataFrame, name: str) -> list[str]:
        first = name == self.columns[0]
        numbers = numbers_of(table, name, self.form if first else self.longitude_form)
        return self._texts(table[name], np.isfinite(numbers) & ((np.abs(numbers) <= 90) | (not first)))


class PairField(LocationField):
    """A place of one column that holds both.

    Args:
        order: of two plain numbers; see `coordinate_pairs`.
    """

    kind = "pair"

    def __init__(
        self,
        columns: list[str],
        resolution_km: float = 0.0,
        order: Order = "latitude_first",
        nowhere: bool = False,
    ) -> None:
        super().__init__(columns, resolution_km, nowhere)
        self.order = order

    def degrees(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        return parse_pairs(column_of(table, self.columns[0]), self.order)

    def _unread(self, table: pd.DataFrame, name: str) -> list[str]:
        return self._texts(table[name], np.isfinite(self.degrees(table)[0]))
