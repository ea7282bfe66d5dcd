"""Labels that mean one thing and are written in several ways: case, spaces, letters' form, authors, qualifiers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import get_args

from ..config.schema import LabelWay

WAYS: tuple[LabelWay, ...] = get_args(LabelWay)
"""In what two spellings of a label may differ; docs/how-to/your-data.md explains each."""
SPELLING: frozenset[LabelWay] = frozenset(("case", "spaces", "unicode"))
"""Ways that say nothing of the specimen."""

GIVEN_UP: tuple[LabelWay, ...] = ("qualifiers", "authors", "case", "unicode", "spaces")
"""Which ways are tried to do without first: the case of one letter may be the form of another."""

QUALIFIERS = frozenset(("cf", "cfr", "aff", "nr", "near", "prope", "?"))
"""Stand between the parts of a name whose determination is unsure."""
OPEN = frozenset(("sp", "spp", "spec", "species", "indet"))
"""End a name of which only the genus or family is known; what follows one (``sp. A``) is a morphospecies of its own."""
RANK_MARKS = frozenset(("subsp", "ssp", "var", "f", "forma", "morph"))
PARTICLES = frozenset((
    "de", "van", "von", "der", "den", "du", "la", "le", "da", "dos", "di", "del", "zu", "et", "ex", "in", "and", "&",
    "al", "auct", "sensu", "nec", "non", "s.l", "s.s", "s.str",
))  # fmt: skip
"""Words in small letters among authors."""
WORD = re.compile(r"[^\s_]+")
GENUS = re.compile(r"[^\W\d_][^\W\d_]+(?:-[^\W\d_]+)?")
SUBGENUS = re.compile(r"\([^\W\d_]+\)")
YEAR = re.compile(r"\b1[789]\d\d\b|\b20\d\d\b")


def key_of(name: str, ways: Collection[str]) -> str:
    """Return what all spellings of a label have in common, if they differ in these ways alone."""
    shown = shown_name(name, ways)
    return shown.casefold() if "case" in ways else shown


def shown_name(name: str, ways: Collection[str]) -> str:
    """Return a label without what is left out in these ways; its case is kept."""
    if "unicode" in ways:
        name = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    if "qualifiers" in ways:
        name = without_qualifiers(name)
    if "authors" in ways:
        name = without_authors(name)
    return " ".join(name.replace("_", " ").split()) if "spaces" in ways else name


def without_qualifiers(name: str) -> str:
    """Return a name without cf., aff. and the like between its parts, and without sp. at its end.

    Example:
        >>> without_qualifiers('Carabus cf. nemoralis')
        'Carabus nemoralis'
        >>> without_qualifiers('Carabus sp.')
        'Carabus'
    """
    words = list(WORD.finditer(name))
    if len(words) < 2:
        return name
    for word in reversed(words[1:]):
        plain = word[0].rstrip(".").lower()
        last = not name[word.end() :].strip(" _")
        if plain in OPEN and last:
            name = name[: word.start()].rstrip(" _")
        elif plain in QUALIFIERS and not last:
            name = name[: word.start()] + name[word.end() :].lstrip(" _")
    return name


def without_authors(name: str) -> str:
    """Return a scientific name without its authors and their year; any other label as it is.

    A genus alone has authors only where a year follows, since ``Red Admiral`` has none.

    Example:
        >>> without_authors('Carabus nemoralis O.F. Müller, 1764')
        'Carabus nemoralis'
    """
    words = list(WORD.finditer(name))
    if not words or not GENUS.fullmatch(words[0][0]) or not words[0][0][0].isupper():
        return name
    place = 2 if len(words) > 2 and SUBGENUS.fullmatch(words[1][0]) and words[2][0].islower() else 1
    epithets = 0
    while place < len(words):
        word = words[place][0]
        plain = word.rstrip(".")
        if plain in OPEN:
            return name
        if plain not in QUALIFIERS | RANK_MARKS:
            if word in PARTICLES or not word.islower() or not word.replace("-", "").isalpha():
                break
            epithets += 1
        place += 1
    if place == len(words):
        return name
    authors = name[words[place].start() :]
    known = _are_authors(authors) and (epithets > 0 or YEAR.search(authors))
    return name[: words[place - 1].end()] if known else name


def _are_authors(text: str) -> bool:
    words = [word.strip("(),;[]") for word in text.replace("&", " & ").replace("_", " ").split()]
    words = [word for word in words if word]
    named = [word for word in words if word[0].isupper() or word.startswith(("d'", "d’"))]
    return bool(named) and all(
        word in named or word.rstrip(".,") in PARTICLES or YEAR.fullmatch(word.rstrip("abc")) for word in words
    )


def twins(counts: Mapping[str, int]) -> list[list[str]]:
    """Return labels that are most likely one, in several spellings, the commonest of each first.

    Args:
        counts: of the labels.

    Example:
        >>> twins({'Carabus nemoralis': 9, 'carabus  nemoralis': 1, 'Carabus auratus': 4})
        [['Carabus nemoralis', 'carabus  nemoralis']]
    """
    found: dict[str, list[str]] = {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        found.setdefault(key_of(name, WAYS), []).append(name)
    return [names for names in found.values() if len(names) > 1]


def ways_between(names: Iterable[str]) -> list[LabelWay]:
    """Return in what ways spellings of one label differ: as few as make them one."""
    names = list(names)
    ways = list(WAYS)
    for way in GIVEN_UP:
        fewer = [other for other in ways if other != way]
        if len({key_of(name, fewer) for name in names}) == 1:
            ways = fewer
    return ways


def merged(counts: Mapping[str, int], ways: Collection[str]) -> dict[str, str]:
    """Return the name that each label gets if spellings are merged: the commonest one, without what is left out.

    Of equally common ones one that is not all in capitals.

    Args:
        counts: of the labels.
    """
    best: dict[str, Counter[str]] = {}
    for name, count in counts.items():
        best.setdefault(key_of(name, ways), Counter())[shown_name(name, ways)] += count
    chosen = {key: min(names, key=lambda name: (-names[name], name.isupper(), name)) for key, names in best.items()}
    return {name: chosen[key_of(name, ways)] for name in counts}
