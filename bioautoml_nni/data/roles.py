"""What each column is used as: as declared, or inferred from names and values, with the reason in words.

What a column gives away about the label is not asked here: the audit screens every column before, and its findings are
what is decided by.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from ..registry import suggestion
from ..utils.errors import DataError
from .manifest import Manifest, Role
from .moments import COMPACT, DateForm, parse_moment
from .remark import Answer, ColumnFinding, Level, Remark
from .tables import cell_text
from .times import SHARE, are_days_of_years, decide_form, is_time, parse_times, texts_of, time_share
from .units import without_unit

DATE = re.compile(
    r"(^|_)(date|event_?date|day|collected|datetime|time|timestamp|tag|jour|dia|fecha|data|recoltee?|zeit|zeitpunkt)(_|$)"
    r"|datum"
)
HOUR = re.compile(
    r"(^|_)(hour|hora|heure|uhrzeit|stunde|time_of_day)(_|$)|^(time|zeit|tageszeit)$"
    r"|(^|_)(event|capture|catch|collect(ion|ing)|sampling|local|observation|start|end)_?time$"
)
"""Columns whose plain numbers may be times of day without a colon."""
HOUR_OF_DAY = re.compile(r"(^|_)(hour|hora|heure|uhrzeit|stunde|time_of_day)(_|$)")
LATITUDE = re.compile(
    r"(^|_)(lat(itude|itud)?|breitengrad|geogr(aphische)?_breite|nordl_breite)(_|$)|decimal_?latitude"
)
LONGITUDE = re.compile(
    r"(^|_)(lon|lng|long|longitude|longitud|l(ae|a)ngengrad|geogr(aphische)?_lange|ostl_lange)(_|$)|decimal_?longitude"
)
LENGTH_UNIT = re.compile(r"_(mm|cm|um|m|micras|micrometros)$")
"""Of a length, which is longitud in Spanish."""
SIZE = re.compile(
    r"(^|_)(area|length|longitud|width|height|perimeter|mass|weight|feret|major|minor|size|breite|hohe|hoehe|gewicht|flache|"
    r"flaeche|longueur|largeur|hauteur|poids|taille|largo|ancho|alto|peso|tamano|comprimento|largura|altura|tamanho)(_|$)"
    r"|(lange|laenge|grosse|groesse)(_|$)"
)
FRACTION = re.compile(r"(^|_)(fraction|share|ratio|proportion|cover|anteil|proporcion|proporcao)(_|$)")
"""Names of columns as `plain_name` gives them, in English, German, French, Spanish and Portuguese."""
MAX_CATEGORIES = 50
MEASURED = re.compile(
    r"^\s*(?:[~<>≈≤≥]|ca\.?|circa|approx\.?|about|etwa|env\.?)?\s*[+-]?\d+(?:[.,]\d+)?"
    r"(?:\s*(?:±|\+/-)\s*\d+(?:[.,]\d+)?)?\s*\??$"
)
"""A number, perhaps with a doubt, behind which a unit may stand."""
PLAIN_NUMBER = re.compile(r"^\s*[+-]?\d+(?:[.,]\d+)?\s*$")
MOSTLY = 0.8
UNUSED = ("group", "ignored")
"""Roles whose columns no network reads."""
COUNTED = {"excel": "days as spreadsheets do", "unix": "seconds since 1970", "unix_ms": "milliseconds since 1970"}


class NoMetadataError(DataError):
    """Metadata are to be used, and no column can be."""


@dataclass(frozen=True)
class Decided:
    """Roles of all columns.

    Attributes:
        manifest: the one that was given, with them.
        overridden: reason, by refused column that is used all the same.
        remarks: how roles were inferred, and what forbids training.
    """

    manifest: Manifest
    overridden: Mapping[str, str]
    remarks: tuple[Remark, ...]


def decide_roles(
    manifest: Manifest,
    table: pd.DataFrame,
    findings: Sequence[ColumnFinding],
    allow: Mapping[str, str],
    uses_metadata: bool,
) -> Decided:
    """Decide what each column is used as; refused ones are used only where the configuration gives a reason.

    Args:
        manifest: it is only read.
        table: the rows that are used; roles are inferred from them.
        findings: of the screen, one for each column.
        allow: reason, by column that is used although it is refused.

    Raises:
        NoMetadataError: if metadata are to be used and no column is left.
    """
    remarks = _unknown_columns(allow, [finding.column for finding in findings])
    roles: dict[str, Role] = {}
    for finding in findings:
        roles[finding.column], remark = _role(manifest, table, finding, allow, uses_metadata)
        if remark is not None:
            remarks.append(remark)
    overridden = {
        finding.column: allow[finding.column]
        for finding in findings
        if uses_metadata and finding.verdict == "refuse" and finding.column in allow
        if _stated(manifest, finding.column) not in UNUSED
    }
    for name, reason in pair_places(roles).items():
        level: Level = "warning" if name in manifest.declared else "note"
        answer = Answer("data.columns", {name: "ignored"})
        remarks.append(Remark(level, "columns", f"Column {name!r} is not used: {reason}.", answer))
    decided = replace(manifest, roles=roles)
    if uses_metadata and not decided.features():
        raise NoMetadataError(
            "data.modalities names metadata, but no usable metadata column is left; give roles under data.columns "
            "or set data.modalities to [image]."
        )
    return Decided(decided, overridden, tuple(remarks))


def _stated(manifest: Manifest, column: str) -> Role | None:
    return manifest.roles.get(column) or (None if manifest.infer else "ignored")


def _role(
    manifest: Manifest, table: pd.DataFrame, finding: ColumnFinding, allow: Mapping[str, str], uses_metadata: bool
) -> tuple[Role, Remark | None]:
    """Return what a column is used as, and what is to be said of that."""
    name, stated = finding.column, _stated(manifest, finding.column)
    if stated is not None and stated in UNUSED:
        return stated, None
    if finding.verdict == "refuse" and name in allow:
        return infer_role(name, table[name], manifest.forms.get(name))[0] if stated in (
            None,
            "taxonomy",
        ) else stated, None
    if finding.verdict == "refuse":
        role: Role = "taxonomy" if stated == "taxonomy" or finding.kind == "taxonomy" else "ignored"
        refused = name in manifest.declared and uses_metadata and stated != "taxonomy"
        return role, _refused(finding, manifest.rank) if refused else None
    if finding.verdict == "drop" and name not in manifest.declared:
        return "ignored", None
    if stated is not None:
        return stated, None
    role, reason = infer_role(name, table[name], manifest.forms.get(name))
    text = f"Column {name!r} taken as {role}: {reason}."
    return role, Remark("note", "columns", text, Answer("data.columns", {name: role}))


def _unknown_columns(allow: Mapping[str, str], known: list[str]) -> list[Remark]:
    return [
        Remark("refused", "columns", f"audit.allow.{name}: the table has no such column{suggestion(name, known)}.")
        for name in allow
        if name not in known
    ]


def _refused(finding: ColumnFinding, rank: str) -> Remark:
    text = (
        f"data.columns.{finding.column}: cannot be a feature for {rank!r}, since {finding.reason}. Remove it, or state "
        f"under audit.allow.{finding.column} why it must be used; every result is then marked."
    )
    return Remark("refused", "columns", text, Answer("data.columns", {finding.column: "ignored"}, sure=True))


def plain_name(name: str) -> str:
    """Return a column's name in small letters with underscores, without accents: ``Länge [mm]`` is lange_mm.

    Example:
        >>> plain_name('Länge [mm]')
        'lange_mm'
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name).strip())
    letters = unicodedata.normalize("NFKD", words.replace("ß", "ss").replace("ẞ", "ss"))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")


def infer_role(name: str, column: pd.Series, form: Mapping[str, str] | None = None) -> tuple[Role, str]:
    """Return a role for a column and why.

    Args:
        form: how it writes numbers or times, as `with_types` decides it.

    Example:
        >>> import pandas as pd
        >>> infer_role('thorax length [mm]', pd.Series([1.5, 2.25, 3.0]))[0]
        'size'
        >>> infer_role('trap', pd.Series(['A', 'B', 'A', 'B']))[0]
        'categorical'
    """
    values = column.dropna()
    if values.nunique() < 2:
        return "ignored", "it has fewer than two different values"
    if form and form.get("clock"):
        return "hour", "its name, and its values are times of day"
    if form and "pair" in form:
        return "coordinates", "its values are pairs of latitude and longitude"
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return _numeric_role(name, values, form or {})
    texts = texts_of(values)
    if time_share(values, texts) > SHARE:
        return "hour", "its values are times of day"
    if is_time(values, texts) or is_day_of_year(name, values):
        return "date", "its values are dates"
    told = nearly_numbers(values)
    if len(values) < 2 * values.nunique() or values.nunique() > MAX_CATEGORIES:
        return "ignored", f"{values.nunique()} different texts are an identifier or free text{told}"
    return "categorical", f"{values.nunique()} different texts{told}"


def nearly_numbers(values: pd.Series) -> str:
    """Return what is to be said of texts most of which are a number and something else, such as a unit."""
    texts = values.astype(str)
    begun = texts.map(lambda text: MEASURED.match(without_unit(text.strip())[0]) is not None)
    if begun.mean() < MOSTLY:
        return ""
    plain = texts.str.match(PLAIN_NUMBER)
    odd = texts[~plain]
    if odd.empty:
        return ""
    return (
        f"; {int(begun.sum())} of {len(texts)} values hold a number, such as {odd.iloc[0]!r}: write it alone to use it"
    )


def _numeric_role(name: str, values: pd.Series, form: Mapping[str, str]) -> tuple[Role, str]:
    name, notation = plain_name(name), form.get("notation", "")
    axes: tuple[Role, Role] = ("latitude", "longitude")
    if axis := next((axis for axis in axes if notation.startswith(axis)), None):
        return axis, "its values are degrees with a hemisphere"
    if DATE.search(name) and (serial := decide_form(values).form.serial):
        return "date", f"its name, and its values count {COUNTED[serial]}"
    if DATE.search(name) and values.map(_is_compact_day).all():
        return "date", "its name, and its values are days such as 20160613"
    if LATITUDE.search(name) and values.between(-90, 90).all():
        return "latitude", "its name and range"
    if HOUR_OF_DAY.search(name) and values.between(0, 24).all():
        return "hour", "its name, and its values lie between 0 and 24"
    if LONGITUDE.search(name) and values.between(-180, 180).all() and not LENGTH_UNIT.search(name):
        return "longitude", "its name and range"
    if FRACTION.search(name) and values.between(0, 1).all():
        return "fraction", "its name, and its values lie between 0 and 1"
    if SIZE.search(name) and (values >= 0).all():
        return "size", "its name, and no value is negative"
    if not form.get("unit") and bool((values % 1 == 0).all()) and values.nunique() == len(values):
        return "ignored", "it numbers the rows"
    return "numeric", "its values are numbers"


def is_day_of_year(name: str, column: pd.Series) -> bool:
    """Whether values such as 2021-153 number the days of years, as the column's name says; others number lots."""
    if DATE.search(plain_name(name)) is None or not are_days_of_years(texts_of(column)):
        return False
    return bool(parse_times(column.dropna()).notna().mean() > SHARE)


def _is_compact_day(value: float) -> bool:
    text = cell_text(value) or ""
    return COMPACT.match(text) is not None and parse_moment(text, DateForm()) is not None


def pair_places(roles: dict[str, Role]) -> dict[str, str]:
    """Let at most one latitude and one longitude stand, and neither without the other; others are ignored.

    Returns:
        For each column that is ignored now, why.
    """
    reasons: dict[str, str] = {}
    for role in ("latitude", "longitude"):
        first, *others = [name for name, value in roles.items() if value == role] or [""]
        reasons |= dict.fromkeys(others, f"{first!r} is the {role}, and there can be one")
    for role, missing in (("latitude", "longitude"), ("longitude", "latitude")):
        if missing not in roles.values():
            alone = [name for name, value in roles.items() if value == role]
            reasons |= dict.fromkeys(alone, f"a {role} needs a {missing} beside it")
    both = [name for name, value in roles.items() if value == "coordinates"]
    place = [name for name, value in roles.items() if value == "latitude" and name not in reasons] or both[:1]
    reasons |= {name: f"{place[0]!r} tells the place, and there can be one" for name in both if name not in place}
    roles.update(dict.fromkeys(reasons, "ignored"))
    return reasons
