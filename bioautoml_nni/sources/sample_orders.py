"""Body plans of the built-in sample: what tells the drawn orders apart, and what the table tells about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Wings = Literal["none", "two", "four", "scales", "elytra", "tegmina", "hemelytra", "fringed"]


@dataclass(frozen=True)
class BodyPlan:
    """An order's drawing and its statistics.

    Attributes:
        taxonomic_class: class in the taxonomic sense.
        families: two families, each with its own colour range.
        weight: share in the sample (before normalisation).
        body: length and width of head, thorax and abdomen, relative to the body's length.
        wings: kind of wings.
        wing_length: relative to the body's length.
        legs: number of legs; `leg_length` relative to the body's length; `jumping` enlarges the hind legs.
        antenna: length relative to the body's length.
        stripes: probability of a striped abdomen.
        length_mm: median of the log-normal body length.
        north: mean of the normalised latitude at which it is most frequent (0 south, 1 north).
        look_alike: order that its mimics, nymphs and worn specimens are drawn as; its size differs at least 1.5 times,
            so that the table tells them apart and the image does not.
    """

    taxonomic_class: str
    families: tuple[str, str]
    weight: float
    body: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    wings: Wings
    wing_length: float
    legs: int
    leg_length: float
    jumping: bool
    antenna: float
    stripes: float
    hue: tuple[float, float]
    length_mm: float
    north: float
    look_alike: str


ORDERS: dict[str, BodyPlan] = {
    "Diptera": BodyPlan(
        "Insecta", ("Cecidomyiidae", "Syrphidae"), 0.34, ((0.16, 0.20), (0.30, 0.28), (0.50, 0.24)),
        "two", 0.85, 6, 0.75, False, 0.14, 0.35, (0.06, 0.12), 2.6, 0.60, "Hymenoptera",
    ),
    "Hymenoptera": BodyPlan(
        "Insecta", ("Braconidae", "Formicidae"), 0.18, ((0.16, 0.19), (0.28, 0.20), (0.48, 0.22)),
        "four", 0.80, 6, 0.75, False, 0.42, 0.45, (0.04, 0.13), 4.2, 0.40, "Diptera",
    ),
    "Coleoptera": BodyPlan(
        "Insecta", ("Carabidae", "Chrysomelidae"), 0.13, ((0.14, 0.24), (0.20, 0.36), (0.66, 0.44)),
        "elytra", 0.66, 6, 0.45, False, 0.22, 0.15, (0.02, 0.45), 6.5, 0.45, "Hemiptera",
    ),
    "Lepidoptera": BodyPlan(
        "Insecta", ("Tortricidae", "Gelechiidae"), 0.08, ((0.13, 0.15), (0.25, 0.20), (0.60, 0.16)),
        "scales", 0.95, 6, 0.50, False, 0.45, 0.25, (0.05, 0.16), 9.5, 0.50, "Hymenoptera",
    ),
    "Hemiptera": BodyPlan(
        "Insecta", ("Cicadellidae", "Miridae"), 0.10, ((0.14, 0.26), (0.26, 0.36), (0.58, 0.34)),
        "hemelytra", 0.70, 6, 0.55, False, 0.30, 0.20, (0.10, 0.36), 4.0, 0.35, "Coleoptera",
    ),
    "Araneae": BodyPlan(
        "Arachnida", ("Linyphiidae", "Lycosidae"), 0.06, ((0.10, 0.16), (0.36, 0.30), (0.52, 0.38)),
        "none", 0.0, 8, 1.05, False, 0.0, 0.20, (0.06, 0.10), 3.2, 0.70, "Collembola",
    ),
    "Collembola": BodyPlan(
        "Collembola", ("Entomobryidae", "Sminthuridae"), 0.05, ((0.20, 0.20), (0.28, 0.22), (0.50, 0.24)),
        "none", 0.0, 6, 0.28, False, 0.30, 0.40, (0.55, 0.75), 1.3, 0.80, "Araneae",
    ),
    "Orthoptera": BodyPlan(
        "Insecta", ("Acrididae", "Gryllidae"), 0.025, ((0.16, 0.18), (0.22, 0.20), (0.60, 0.18)),
        "tegmina", 0.75, 6, 0.70, True, 0.55, 0.10, (0.10, 0.30), 14.0, 0.25, "Hemiptera",
    ),
    "Blattodea": BodyPlan(
        "Insecta", ("Ectobiidae", "Blattidae"), 0.02, ((0.10, 0.18), (0.26, 0.42), (0.62, 0.42)),
        "tegmina", 0.70, 6, 0.60, False, 0.80, 0.05, (0.05, 0.08), 10.5, 0.15, "Coleoptera",
    ),
    "Thysanoptera": BodyPlan(
        "Insecta", ("Thripidae", "Phlaeothripidae"), 0.025, ((0.14, 0.14), (0.24, 0.17), (0.62, 0.15)),
        "fringed", 0.62, 6, 0.32, False, 0.20, 0.20, (0.10, 0.14), 1.1, 0.55, "Hymenoptera",
    ),
}  # fmt: skip
