"""Coordinates as people write them: degrees, minutes and seconds, with the hemisphere as a letter or a word.

Which letters a column has is decided once, from all of it (`decide_notation`); then each text is read by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

Notation = Literal["", "degrees", "latitude", "longitude", "longitude_ost", "longitude_oeste"]
"""How a column writes angles: not at all, without a hemisphere, or with one. O is east in German (Ost), west in French,
Spanish, Portuguese and Italian (Ouest, Oeste, Ovest); it is read where W or E beside it tells which."""
Axis = Literal["", "latitude", "longitude"]
"""What a column is known to hold: one of the two, or no coordinate for all that is known."""

WORDS: Mapping[str, str] = {
    **dict.fromkeys(("n", "north", "nord", "norte", "nbr"), "N"),
    **dict.fromkeys(("s", "south", "süd", "sued", "sud", "sur", "sul", "sbr"), "S"),
    **dict.fromkeys(("e", "east", "est", "este", "leste", "ost", "öl"), "E"),
    **dict.fromkeys(("w", "west", "ouest", "oeste", "ovest", "wl"), "W"),
    "o": "O",
}
"""Hemispheres in six languages, in small letters without points and spaces; n. Br. and ö. L. are German."""
SIGNS: Mapping[Notation, Mapping[str, int]] = {
    "": {}, "degrees": {}, "latitude": {"N": 1, "S": -1}, "longitude": {"E": 1, "W": -1},
    "longitude_ost": {"E": 1, "O": 1, "W": -1}, "longitude_oeste": {"E": 1, "O": -1, "W": -1},
}  # fmt: skip
PRIMES = str.maketrans({
    **dict.fromkeys("º˚ᵒ⁰∘", "°"), **dict.fromkeys("′’‘´`ʹʼ＇", "'"), **dict.fromkeys("″”“„ʺ˝＂", '"'),
    **dict.fromkeys("−–", "-"), **dict.fromkeys("\u00a0\u202f\u2009", " "),
})  # fmt: skip
WORD, TWO_WORDS = r"([^\W\d_]+\.?)", r"([^\W\d_]+\.\s?[^\W\d_]+\.?)"
PLACES = tuple(
    re.compile(pattern)
    for word in (WORD, TWO_WORDS)
    for pattern in (rf"^{word}\s*(?=[\d+-])", rf"(?<=[\d\s°'\".]){word}$")
)
"""Where a hemisphere stands."""
NUMBER = r"\d+(?:[.,]\d+)?"
BETWEEN = r"\s*[:\s-]\s*"
ANGLE = re.compile(
    rf"^([+-]?)\s*(\d{{1,3}}(?:[.,]\d+)?)(?:\s*(°|deg\.?|degrees|grad|d)\s*|{BETWEEN}|$)"
    rf"(?:({NUMBER})(?:\s*('|min\.?|m)\s*|{BETWEEN}|$)(?:({NUMBER})\s*(\"|''|sec\.?|s)?)?)?$",
    re.IGNORECASE,
)
DECIMAL = re.compile(r"^[+-]?\d+(?:[.,]\d+)?$")
LOOKED_AT = 20
"""Texts of a column of which one has to be an angle, if the others are looked at."""


@dataclass(frozen=True)
class Angle:
    """What a text says as an angle.

    Attributes:
        degrees: with the sign that was written.
        hemisphere: N, S, E, W, O, or empty.
        signed: whether plus or minus was written.
        parts: how many of degrees, minutes and seconds were.
        unmistakable: whether it is an angle whatever its column is called: it has a sign for degrees, or a hemisphere
            and more than a short number, which could be a code such as 12E.
    """

    degrees: float
    hemisphere: str
    signed: bool
    parts: int
    unmistakable: bool


def parse_angle(text: str) -> Angle | None:
    """Return the angle that a text names, None if it names none or two.

    Example:
        >>> parse_angle('48°12′30″ N').degrees
        48.208333333333336
        >>> parse_angle("48°75' N") is None
        True
    """
    text = " ".join(text.translate(PRIMES).split())
    hemisphere, rest = _hemisphere(text)
    found = ANGLE.match(rest)
    if found is None:
        return None
    sign, degrees, mark, minutes, minute_mark, seconds, second_mark = found.groups()
    given = [part.replace(",", ".") for part in (degrees, minutes, seconds) if part is not None]
    if any("." in part for part in given[:-1]) or any(float(part) > 60 for part in given[1:]):
        return None
    if any(float(part) == 60 for part in given[1:-1]):
        return None
    size = sum(float(part) / 60**place for place, part in enumerate(given))
    marked = mark == "°" or bool(mark and (minute_mark or second_mark or hemisphere))
    long = len(given) > 1 or len(given[0].partition(".")[2]) > 2
    return Angle(
        -size if sign == "-" else size, hemisphere, bool(sign), len(given), marked or (bool(hemisphere) and long)
    )


def _hemisphere(text: str) -> tuple[str, str]:
    """Return the hemisphere that a text begins or ends with, and the rest."""
    for pattern in PLACES:
        found = pattern.search(text)
        word = re.sub(r"[\s.]", "", found[1]).lower() if found else ""
        if found and word in WORDS:
            if word == "s" and found[1] == "s" and re.search(r"\d\s*(?:m|min\.?)\s*[\d.,]+\s*$", text[: found.start()]):
                continue  # 33d52m10s: seconds
            return WORDS[word], (text[: found.start()] + text[found.end() :]).strip()
    return "", text


def parse_degrees(text: str, notation: Notation) -> float:
    """Return the decimal degrees that a text names in a column of this notation, NaN for none.

    Decimal degrees without a hemisphere are read by their sign. An angle of minutes that lacks the hemisphere of its
    column is none, and neither is one with a hemisphere and a minus.
    """
    if DECIMAL.match(text):
        return float(text.replace(",", "."))
    angle = parse_angle(text)
    if angle is None:
        return np.nan
    signs = SIGNS[notation]
    if not angle.hemisphere:
        return angle.degrees if not signs or angle.signed else np.nan
    if angle.hemisphere not in signs or angle.degrees < 0 or (angle.signed and angle.hemisphere not in "NE"):
        return np.nan
    return signs[angle.hemisphere] * angle.degrees


def decide_notation(texts: Callable[[], Iterable[tuple[str, int]]], axis: Axis) -> Notation:
    """Return how a column writes angles, empty if it does not.

    Args:
        texts: gives its different texts with their counts, each time anew.
        axis: what is known of the column; without that only such texts count as can be nothing else.
    """
    if not any(_counts(text, axis) for text, _ in islice(texts(), LOOKED_AT)):
        return ""
    letters: Counter[str] = Counter()
    for text, count in texts():
        angle = parse_angle(text)
        if angle is not None and (axis or angle.unmistakable):
            letters[angle.hemisphere] += count
    if not letters:
        return ""
    north, east = letters["N"] + letters["S"], letters["E"] + letters["W"] + letters["O"]
    if not north + east:
        return "degrees"
    found = axis or ("latitude" if north >= east else "longitude")
    if found == "latitude":
        return "latitude"
    if letters["O"] and bool(letters["W"]) != bool(letters["E"]):
        return "longitude_ost" if letters["W"] else "longitude_oeste"
    return "longitude"


def _counts(text: str, axis: Axis) -> bool:
    angle = None if DECIMAL.match(text) else parse_angle(text)
    return angle is not None and (bool(axis) or angle.unmistakable)
