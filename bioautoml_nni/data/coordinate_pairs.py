"""Latitude and longitude in one column: ``52.52, 13.40``, ``52°31' N 13°24' E``, ``POINT (13.40 52.52)``.

Which of two plain numbers is the latitude is decided once for a column, from all of it (`decide_pairs`); then each text
is read by itself (`parse_pair`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from .coordinates import DECIMAL, SIGNS, Axis, parse_angle
from .tables import cell_text
from .times import SHARE

Order = Literal["latitude_first", "longitude_first"]
"""Of two numbers of which neither names its hemisphere."""
ORDERS: tuple[Order, ...] = get_args(Order)

LOOKED_AT = 200
"""Values from all over a column, one of which must be a pair if it is to be read as pairs."""
FINE = 3
"""Digits behind the point of two numbers that are coordinates, whatever their column is called: 110 metres."""
BETWEEN = tuple(re.compile(pattern) for pattern in (r"\s*[;|/]\s*", r",\s+", r"\s*,\s*", r"\s+"))
"""What stands between the two; the first that makes two of a text is it, so that 52,5; 13,4 keeps its commas."""
HEMISPHERES = (re.compile(r"^(.+?[NS])[\s,;]+(.+[EWO])$", re.I), re.compile(r"^([NS].+?)[\s,;]+([EWO].+)$", re.I))
POINT = re.compile(r"^(?:SRID=\d+;)?\s*POINT\s*Z?\s*\(\s*([^\s()]+)\s+([^\s()]+)(?:\s+[^\s()]+)?\s*\)$", re.I)
"""Well-known text, as databases write places: the longitude comes first."""


@dataclass(frozen=True)
class PairReport:
    """What a column says as places.

    Attributes:
        order: of its plain numbers.
        read: values that are places.
        fine: those among them that can be nothing else.
        total: all values that are there.
        example: one that is read.
        sure: whether something says the order, or nothing has to.
    """

    order: Order
    read: int
    fine: int
    total: int
    example: str
    sure: bool

    @property
    def certain(self) -> bool:
        """Whether the column holds places, whatever it is called."""
        return self.total > 0 and self.fine >= SHARE * self.total

    def state(self) -> dict[str, str]:
        """Return how the column writes places, ready for JSON."""
        return {"pair": self.order}


@dataclass(frozen=True)
class _Pair:
    """Two numbers or angles of a text.

    Attributes:
        degrees: of both, as they are written, south and west negative.
        axes: which coordinate each is known to be; empty where nothing says it.
        fine: whether they can be nothing else than a place.
    """

    degrees: tuple[float, float]
    axes: tuple[Axis, Axis]
    fine: bool

    def place(self, order: Order) -> tuple[float, float] | None:
        """Return latitude and longitude, None where there is no such place.

        Args:
            order: of two that do not say which they are.
        """
        first: Axis = "latitude" if order == "latitude_first" else "longitude"
        axes = self.axes if any(self.axes) else (first, "")
        if self.axes not in (("", ""), ("latitude", "longitude"), ("longitude", "latitude")):
            return None
        latitude, longitude = self.degrees if axes[0] == "latitude" else self.degrees[::-1]
        return (latitude, longitude) if abs(latitude) <= 90 and -180 <= longitude <= 360 else None


def decide_pairs(column: pd.Series) -> PairReport:
    """Decide from all values of a column which of two numbers is the latitude.

    It is the first, as on maps, unless some first number is above 90 and no second one is.
    """
    there = column.dropna()
    some = there.iloc[:: max(1, len(there) // LOOKED_AT)].iloc[:LOOKED_AT]
    if not any(_pair(cell_text(value) or "") for value in some):  # most columns of text: nothing more is looked at
        return PairReport("latitude_first", 0, 0, len(there), "", sure=True)
    counts = {cell_text(value) or "": int(count) for value, count in there.value_counts().items()}
    pairs = {text: pair for text in counts if (pair := _pair(text)) is not None}
    plain = [pair.degrees for pair in pairs.values() if not any(pair.axes)]
    large = [any(abs(degrees[place]) > 90 for degrees in plain) for place in (0, 1)]
    order: Order = "longitude_first" if large[0] and not large[1] else "latitude_first"
    read = {text: pair for text, pair in pairs.items() if pair.place(order) is not None}
    fine = sum(counts[text] for text, pair in read.items() if pair.fine)
    return PairReport(
        order, sum(counts[text] for text in read), fine, sum(counts.values()), next(iter(read), ""),
        sure=not plain or any(large),
    )  # fmt: skip


def parse_pair(text: str, order: Order) -> tuple[float, float]:
    """Return latitude and longitude in degrees, both NaN where a text is not a place.

    Example:
        >>> parse_pair("(52.52, 13.40)", "latitude_first"), parse_pair("POINT (13.40 52.52)", "latitude_first")
        ((52.52, 13.4), (52.52, 13.4))
        >>> parse_pair("52°30' N 13°24' W", "longitude_first")
        (52.5, -13.4)
    """
    pair = _pair(text)
    return (pair.place(order) if pair else None) or (np.nan, np.nan)


def parse_pairs(column: pd.Series, order: Order) -> tuple[np.ndarray, np.ndarray]:
    """Return latitudes and longitudes (N,) in degrees; what is not a place is NaN."""
    codes, values = pd.factorize(column)
    pairs = [parse_pair(cell_text(value) or "", order) for value in values]
    found = np.array([*pairs, (np.nan, np.nan)], dtype=float)[codes]
    return found[:, 0], found[:, 1]


def order_of(form: Mapping[str, str] | None) -> Order | None:
    """Return the order that `PairReport.state` keeps, None where a column is none of pairs."""
    kept = (form or {}).get("pair")
    return next((order for order in ORDERS if order == kept), None)


def _pair(text: str) -> _Pair | None:
    """Return the two numbers or angles of a text, None if there are not just two."""
    text = text.strip()
    if point := POINT.match(text):
        first, second = (DECIMAL.match(part) and _number(part) for part in point.groups())
        return None if first is None or second is None else _Pair((first, second), ("longitude", "latitude"), True)
    text = text.strip("()[] ")
    for pattern in HEMISPHERES:
        found = pattern.match(text)
        if found and all(parse_angle(part) for part in found.groups()):
            return _of_parts(found.groups())
    for pattern in BETWEEN:
        parts = pattern.split(text)
        if len(parts) == 2 and all(DECIMAL.match(part) or parse_angle(part) for part in parts):
            return _of_parts(parts)
    return None


def _of_parts(parts: Sequence[str]) -> _Pair:
    (first, axis), (second, other) = (_read(part) for part in parts)
    fine = all(not DECIMAL.match(part) or len(re.split("[.,]", part)[-1]) >= FINE for part in parts)
    return _Pair((first, second), (axis, other), fine or bool(axis or other))


def _read(part: str) -> tuple[float, Axis]:
    """Return the degrees of a part, and which coordinate its hemisphere says it is; empty without one."""
    if DECIMAL.match(part):
        return _number(part), ""
    angle = parse_angle(part)
    assert angle is not None  # it was split off as one
    axes: tuple[Axis, Axis] = ("latitude", "longitude")
    for axis in axes:
        if angle.hemisphere in SIGNS[axis]:
            return SIGNS[axis][angle.hemisphere] * angle.degrees, axis
    return (np.nan, "longitude") if angle.hemisphere else (angle.degrees, "")  # an O is east or west


def _number(part: str) -> float:
    return float(part.replace(",", "."))
