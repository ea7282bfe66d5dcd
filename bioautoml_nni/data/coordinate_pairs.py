"""Latitude and longitude in one column: ``52.52, 13.40``, ``52°31' N 13°24' E``, ``POINT (13.40 52.52)``.

Which of two plain numbers is the latitude is decided once for a column, from all of it (`decide_pairs`); then each text
is read by itself (`parse_pair`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd

from .coordinates import DECIMAL, SIGNS, parse_angle
from .tables import cell_text
from .times import SHARE

Order = Literal["latitude_first", "longitude_first"]
"""Of two numbers of which neither names its hemisphere."""

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


def decide_pairs(column: pd.Series) -> PairReport:
    """Decide from all values of a column which of two numbers is the latitude.

    It is the first, as on maps, unless some first number is above 90 and no second one is.
    """
    there = column.dropna()
    some = there.iloc[:: max(1, len(there) // LOOKED_AT)].iloc[:LOOKED_AT]
    if not any(_split(cell_text(value) or "") for value in some):  # most columns of text: nothing more is looked at
        return PairReport("latitude_first", 0, 0, len(there), "", sure=True)
    counts = there.value_counts()
    texts = {cell_text(value) or "": int(count) for value, count in counts.items()}
    total = sum(texts.values())
    plain = [pair for text in texts if (pair := _plain_pair(text)) is not None]
    large = [any(abs(pair[place]) > 90 for pair in plain) for place in (0, 1)]
    order: Order = "longitude_first" if large[0] and not large[1] else "latitude_first"
    read = {text: count for text, count in texts.items() if np.isfinite(parse_pair(text, order)[0])}
    fine = sum(count for text, count in read.items() if _is_fine(text))
    return PairReport(order, sum(read.values()), fine, total, next(iter(read), ""), sure=not plain or any(large))


def parse_pair(text: str, order: Order) -> tuple[float, float]:
    """Return latitude and longitude in degrees, both NaN where a text is no place.

    Example:
        >>> parse_pair("(52.52, 13.40)", "latitude_first"), parse_pair("POINT (13.40 52.52)", "latitude_first")
        ((52.52, 13.4), (52.52, 13.4))
        >>> parse_pair("52°30' N 13°24' W", "longitude_first")
        (52.5, -13.4)
    """
    found = _split(text)
    if found is None:
        return np.nan, np.nan
    degrees, letters = zip(*(_read(part) for part in found), strict=True)
    if POINT.match(text.strip()):
        latitude, longitude = degrees[1], degrees[0]
    elif letters[0] or letters[1]:
        if letters not in (("latitude", "longitude"), ("longitude", "latitude")):
            return np.nan, np.nan
        latitude, longitude = degrees if letters[0] == "latitude" else degrees[::-1]
    else:
        latitude, longitude = degrees if order == "latitude_first" else degrees[::-1]
    return (latitude, longitude) if abs(latitude) <= 90 and -180 <= longitude <= 360 else (np.nan, np.nan)


def parse_pairs(column: pd.Series, order: Order) -> tuple[np.ndarray, np.ndarray]:
    """Return latitudes and longitudes (N,) in degrees; what is no place is NaN."""
    codes, values = pd.factorize(column)
    pairs = [parse_pair(cell_text(value) or "", order) for value in values]
    found = np.array([*pairs, (np.nan, np.nan)], dtype=float)[codes]
    return found[:, 0], found[:, 1]


def order_of(form: Mapping[str, str] | None) -> Order | None:
    """Return the order that `PairReport.state` keeps, None where a column is none of pairs."""
    found = (form or {}).get("pair")
    return found if found in get_args(Order) else None  # type: ignore[return-value]


def _split(text: str) -> tuple[str, str] | None:
    """Return the two numbers or angles of a text, None if there are not just two."""
    text = text.strip()
    if point := POINT.match(text):
        return (point[1], point[2]) if DECIMAL.match(point[1]) and DECIMAL.match(point[2]) else None
    text = text.strip("()[] ")
    for pattern in HEMISPHERES:
        found = pattern.match(text)
        if found and all(parse_angle(part) for part in found.groups()):
            return found[1], found[2]
    for pattern in BETWEEN:
        parts = pattern.split(text)
        if len(parts) == 2 and all(DECIMAL.match(part) or parse_angle(part) for part in parts):
            return parts[0], parts[1]
    return None


def _read(part: str) -> tuple[float, str]:
    """Return the degrees of a part, and which coordinate its hemisphere says it is; empty without one."""
    if DECIMAL.match(part):
        return float(part.replace(",", ".")), ""
    angle = parse_angle(part)
    assert angle is not None  # it was split off as one
    for name in ("latitude", "longitude_ost"):
        if angle.hemisphere in SIGNS[name] and angle.hemisphere != "O":  # which is east or west
            return SIGNS[name][angle.hemisphere] * angle.degrees, name.partition("_")[0]
    return (np.nan, "longitude") if angle.hemisphere else (angle.degrees, "")


def _plain_pair(text: str) -> tuple[float, float] | None:
    """Return the numbers of a text that says of neither which it is."""
    found = _split(text)
    if found is None or POINT.match(text.strip()):
        return None
    (first, letter), (second, other) = (_read(part) for part in found)
    return None if letter or other else (first, second)


def _is_fine(text: str) -> bool:
    found = _split(text)
    assert found is not None  # it was read
    if _plain_pair(text) is None:
        return True
    return all(len(re.split("[.,]", part)[-1]) >= FINE if DECIMAL.match(part) else True for part in found)
