"""Columns whose name alone says that they state, follow from or document the identification.

Terms of BIOSCAN, BOLD, Darwin Core (dwc.tdwg.org/terms), GBIF downloads, iNaturalist and NEON.
"""

from __future__ import annotations

import re

from ..data.roles import plain_name as snake

__all__ = ["snake"]

_RANKS = """
domain realm superkingdom kingdom subkingdom superphylum phylum subphylum superclass class subclass infraclass
superorder order suborder infraorder superfamily family subfamily supertribe tribe subtribe genus subgenus section
species subspecies variety form cultivar morphospecies morphotype
""".split()  # noqa: SIM905

RANKS: tuple[str, ...] = ("phylum", "class", "order", "family", "subfamily", "tribe", "genus", "species")
"""Ranks in which results are rolled up, coarse to fine."""

_TAXON = re.compile(
    rf"^(?:{'|'.join(_RANKS)}|{'|'.join(rank + '_?(name|id|key)' for rank in _RANKS)}"
    r"|tax(a|on)|taxon_.*|taxonomy.*|.*_taxon|taxon(id|key|rank|omicstatus|remarks)|(accepted|original|parent)_?name.*"
    r"|.*scientific_?name.*|.*vernacular_?name.*|common_name|.*specific_epithet|generic_?name|higher_?classification"
    r"|nomenclatural.*|name_?according_?to.*|name_?published.*|iucn.*category|label.*|target.*"
    r"|is_(insect|arthropod|arachnid|beetle|fly|moth))$"
)
_IDENTIFICATION = re.compile(
    r"^(.*identification.*|identified_?by.*|date_?identified|.*_?det(ermin(er|ed|ation).*|_?level|_?by|_?date)?"
    r"|type_status|voucher_status|inferred_ranks|verbatim_(identification|taxon.*))$"
)
_DNA = re.compile(
    r"^((dna_?)?bin(_uri)?|bin_?uri|uri|otu(_id)?|(dna_?)?barcode.*|nuc(leotides?|raw)(_.*)?|sequence|genbank.*|"
    r"(coi|cox1|its|16s).*|haplotype.*|associated_sequences|marker_?code)$"
)

KINDS = {
    "taxonomy": (_TAXON, "its name says that it states the taxon at some rank"),
    "identification": (_IDENTIFICATION, "its name says that it documents the identification, which produced the label"),
    "dna": (_DNA, "its name says that it holds a barcode or what was derived from one, which determines the taxon"),
}


def proxy_by_name(name: str) -> tuple[str, str] | None:
    """Return kind and reason if the column's name marks it as a proxy of the label."""
    normal = snake(name)
    for kind, (pattern, reason) in KINDS.items():
        if pattern.match(normal):
            return kind, reason
    return None


def is_rank(name: str) -> str | None:
    """Return the standard rank that the column states, such as ``order`` for ``Order``, or None.

    Example:
        >>> is_rank('Order')
        'order'
        >>> is_rank('length_mm')
    """
    normal = snake(name)
    return normal if normal in RANKS else None


_BOTH = "coordinates?|coords|gps|koordinaten?|coordenadas|coordonnees"
_PLACE_TIME = (
    "site|plot|transect|locality|location|habitat|country|province|state|county|region|municipality|island|lat|"
    f"latitude|lon|long|lng|longitude|{_BOTH}|elevation|altitude|date|year|month|day|week|season|event_date|"
    "fundort|standort|ort|gemeinde|lieu|localite|commune|localidad|lugar|sitio|local|parcelle|parcela|habitat|"
    "hohe|hoehe|[a-z]*datum|jahr|monat|tag|jour|annee|mois|fecha|dia|ano|mes|data"
)
_CATCH = "event|sample|sampling|batch|deployment|session|visit|field_number|night|ereignis|evenement|evento|begehung"
"""What is caught at one place and time."""
_COLLECTING = f"{_CATCH}|trap|station|tray|plate|falle|piege|trampa|armadilha"
_ONE_PLACE = (
    rf"(^|_)(site|plot|locality|location|lat|latitude|lon|lng|longitude|{_BOTH}|fundort|standort|lieu|localite|"
    r"localidad|lugar|sitio|parcelle|parcela)(_|$)"
)
_ONE_DAY = r"(^|_)(date|day|datetime|time|timestamp|night|[a-z]*datum|tag|jour|fecha|dia)(_|$)"
_PLACE_OR_TIME = re.compile(rf"(^|_)({_PLACE_TIME})(_|$)")
_EVENT = re.compile(rf"(^|_)({_PLACE_TIME}|{_COLLECTING})(_|$)")


def is_place_or_time(name: str) -> bool:
    """Whether the name says where or when a specimen was taken."""
    return bool(_PLACE_OR_TIME.search(snake(name)))


def is_place(name: str) -> bool:
    """Whether the name says a single place: coordinates, or a site.

    Example:
        >>> is_place('decimalLatitude'), is_place('trap'), is_place('mass')
        (True, False, False)
    """
    return bool(re.search(_ONE_PLACE, snake(name)))


def is_date(name: str) -> bool:
    """Whether the name says a day or a time."""
    return bool(re.search(_ONE_DAY, snake(name)))


def is_catch(name: str) -> bool:
    """Whether the name says in which catch, at one place and time, a specimen was taken."""
    return bool(re.search(rf"(^|_)({_CATCH})(_|$)", snake(name)))


def is_collecting(name: str) -> bool:
    """Whether the name says where, when or in which catch a specimen was taken."""
    return bool(_EVENT.search(snake(name)))
