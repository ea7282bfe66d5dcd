"""Units behind numbers, as people write them, and how one becomes another of the same kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache

SHARES = "share"
_KINDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    # by kind and unit: how many of the first one it is, and in which other ways it is written
    "length": {
        "m": (
            "1", "m_asl masl m_amsl msnm m_snm m_NN m_üNN m_ü_NN m_ü_M meter meters metre metres metro metros mètre "
            "mètres",
        ),
        "nm": ("1e-9", "nanometer nanometers"),
        "um": ("1e-6", "µm micron microns micrometer micrometers micrometre micrometres mikrometer"),
        "mm": ("1e-3", "MM millimeter millimeters millimetre millimetres milímetros millimètres"),
        "cm": ("1e-2", "CM centimeter centimeters centimetre centimetres zentimeter centímetros centimètres"),
        "dm": ("1e-1", "decimeter decimetre dezimeter"),
        "km": ("1e3", "KM kilometer kilometers kilometre kilometres kilómetros kilomètres"),
        "in": ("0.0254", "inch inches"), "ft": ("0.3048", "foot feet"), "mi": ("1609.344", "mile miles"),
    },
    "mass": {
        "g": ("1", "gr gram grams gramm gramme grammes gramos gramas"), "ug": ("1e-6", "microgram micrograms"),
        "mg": ("1e-3", "milligram milligrams milligramm miligramos"), "kg": ("1e3", "KG kilogram kilograms kilogramm"),
        "oz": ("28.349523125", "ounce ounces"), "lb": ("453.59237", "lbs pound pounds"),
    },
    "volume": {
        "l": ("1", "L liter liters litre litres litro litros"), "ul": ("1e-6", "uL microliter microlitre"),
        "ml": ("1e-3", "mL ML cc milliliter millilitre mililitros"), "cl": ("1e-2", "cL"), "dl": ("1e-1", "dL"),
        "mm3": ("1e-6", "mm^3 cmm"), "cm3": ("1e-3", "cm^3 ccm"), "m3": ("1e3", "m^3 cbm"),
    },
    "area": {
        "m2": ("1", "m^2 qm sqm sq_m"), "mm2": ("1e-6", "mm^2 qmm sq_mm"), "cm2": ("1e-4", "cm^2 qcm sq_cm"),
        "ha": ("1e4", "hectare hectares hektar hectáreas"), "km2": ("1e6", "km^2 qkm sq_km"),
    },
    "temperature": {
        "°C": ("1", "ºC deg_C degC °_C degrees_C degrees_Celsius celsius grad_C"),
        "°F": ("5/9", "ºF deg_F degF °_F degrees_F degrees_Fahrenheit fahrenheit"),
    },
    "speed": {"m/s": ("1", "m_s-1 ms-1"), "km/h": ("5/18", "kmh kph"), "mph": ("0.44704", "")},
    "pressure": {"hPa": ("1", "mbar"), "Pa": ("0.01", ""), "kPa": ("10", "")},
    "light": {"lx": ("1", "lux"), "klx": ("1000", "klux")},
    "pixels": {"px": ("1", "pixel pixels pix")},
    SHARES: {"%": ("1", "percent per_cent pct prozent pour_cent por_ciento por_cento"), "‰": ("1/10", "permille")},
}  # fmt: skip
ZEROS: Mapping[str, Fraction] = {"°F": Fraction(32)}
"""What a unit says where the first one of its kind says 0."""
KIND_OF = {unit: kind for kind, units in _KINDS.items() for unit in units}
SAME = str.maketrans({"µ": "u", "μ": "u", "²": "2", "³": "3", "ℓ": "l", "\u00a0": " "})
_SPELT = {
    spelling.replace("_", " ").translate(SAME): unit
    for units in _KINDS.values()
    for unit, (_, others) in units.items()
    for spelling in (unit, *others.split())
}
_WORDS = {
    spelling.casefold(): unit
    for spelling, unit in _SPELT.items()
    if len(spelling) > 3 and spelling.replace(" ", "").isalpha()
}
BEHIND = re.compile(r"^(?P<number>[+-]?[\d.,' ]*\d[.,]?(?:[eE][+-]?\d+)?)\s*(?P<unit>[^\W\d_].{0,21}|[%‰°º].{0,21})$")


def without_unit(text: str) -> tuple[str, str]:
    """Return a text without the unit behind its number, and the unit by its usual sign; empty if it has none.

    Example:
        >>> without_unit("12,5 µm"), without_unit("3 Millimeter"), without_unit("12.5")
        (('12,5', 'um'), ('3', 'mm'), ('12.5', ''))
    """
    found = BEHIND.match(text.translate(SAME))
    if not found:
        return text, ""
    spelt = " ".join(found["unit"].replace(".", "").split())
    unit = _SPELT.get(spelt) or _WORDS.get(spelt.casefold(), "")
    return (found["number"].strip(), unit) if unit else (text, "")


def is_unit(unit: object) -> bool:
    """Whether a column's numbers can be in it: a unit, or "share", of which 35 % is 0.35; empty is none."""
    return isinstance(unit, str) and (unit in ("", SHARES) or unit in KIND_OF)


def same_kind(units: Iterable[str]) -> bool:
    """Whether one of the units can become each of the others."""
    return len({KIND_OF[unit] for unit in units}) < 2


def converted(number: float, unit: str, wanted: str) -> float:
    """Return a number of one unit in another; one of the unit itself stays as it is, to the last bit.

    Example:
        >>> converted(1.2, "cm", "mm"), converted(35, "%", "share"), converted(212, "°F", "°C")
        (12.0, 0.35, 100.0)

    Raises:
        ValueError: for units of two kinds.
    """
    if unit == wanted:
        return number
    zero, numerator, denominator, shift = _conversion(unit, wanted)
    return (number - zero) * numerator / denominator + shift


@cache
def _conversion(unit: str, wanted: str) -> tuple[float, int, int, float]:
    """Return what is taken off a number, multiplies it, divides it and is added, in this order."""
    kind = KIND_OF.get(unit)
    if kind is None or kind != KIND_OF.get(wanted, wanted):
        raise ValueError(f"{unit} cannot be read as {wanted}")
    ratio = _size(unit) / _size(wanted)
    return float(ZEROS.get(unit, 0)), ratio.numerator, ratio.denominator, float(ZEROS.get(wanted, 0))


def _size(unit: str) -> Fraction:
    return Fraction(100) if unit == SHARES else Fraction(_KINDS[KIND_OF[unit]][unit][0])
