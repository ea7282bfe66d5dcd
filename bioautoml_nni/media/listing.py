"""Which images an archive lists, and at which hosts."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd

from ..sources._archive import Archive, read_archive
from ..utils.errors import DataError
from ._base import Wanted

URLS = ("identifier", "accessURI", "goodQualityAccessURI", "bestQualityAccessURI")
RIGHTS = {
    "licence": ("license", "rights", "UsageTerms"),
    "rights_holder": ("rightsHolder", "Owner"),
    "creator": ("creator", "recordedBy"),
}
IMAGES = ("image", "stillimage")
OTHERS = ("sound", "movingimage", "text", "interactiveresource", "dataset")


def list_wanted(path: Path, notes: list[str]) -> list[Wanted]:
    """Return the images that an archive lists, each once for every occurrence that it shows.

    Args:
        notes: receives what is left out, and why.

    Raises:
        DataError: if the archive cannot be read or lists no image.
    """
    archive = read_archive(path, notes)
    media = _media_of(archive, notes)
    if media is None or media.empty:
        raise DataError(
            f"{path}: lists no images, only occurrences. A simple CSV of GBIF holds no URLs; download the same records "
            "as a Darwin Core archive, or the columns license and image_url with an export of iNaturalist."
        )
    known = set(archive.core["_core"])
    rights = archive.core.drop_duplicates("_core").set_index("_core")
    found: dict[tuple[str, str], Wanted] = {}
    left: Counter[str] = Counter()
    for entry in media.to_dict("records"):
        url = next((text.strip() for name in URLS if isinstance(text := entry.get(name), str) and text.strip()), None)
        occurrence = str(entry["_core"])
        reason = _left_out(entry, url, occurrence in known)
        if reason is not None:
            left[reason] += 1
        elif url is not None:
            own = {kind: _first(entry, names) or _of(rights, occurrence, names) for kind, names in RIGHTS.items()}
            found.setdefault((occurrence, url), Wanted(occurrence, url, **own))
    notes += [f"{count} media left out: {reason}." for reason, count in left.items()]
    if not found:
        raise DataError(f"{path}: lists no image with a URL; {'; '.join(notes[-len(left) :]) or 'download it again.'}")
    return list(found.values())


def hosts_of(wanted: Iterable[Wanted]) -> Counter[str]:
    """Return the number of URLs at each host, those with most first."""
    counts = Counter(host_of(url) for url in {entry.url for entry in wanted})
    return Counter(dict(counts.most_common()))


def host_of(url: str) -> str:
    """Return the host of a URL in small letters, an empty text if it has none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def confirmed_hosts(
    path: Path, counts: Counter[str], patterns: Sequence[str], every: bool, ask: Callable[[str], bool] | None
) -> tuple[str, ...]:
    """Return the hosts, or patterns of hosts, that may be asked.

    Args:
        path: the archive.
        counts: hosts that it names, with the number of their images.
        patterns: what the user confirmed; ``*.example.org`` stands for all hosts below example.org.
        every: whether all that the archive names are confirmed.
        ask: asks the user about one host; None where nobody can answer.

    Raises:
        DataError: if none is confirmed and nobody can be asked, or a pattern fits no host of the archive.
    """
    named = {host for host in counts if host}
    fitting = {host for host in named if is_among(host, patterns)}
    listed = ", ".join(f"{host} ({counts[host]})" for host in counts if host)
    if patterns and not fitting:
        raise DataError(f"--host {', '.join(patterns)}: {path} lists no image there; its hosts are {listed}.")
    if every:
        return tuple(sorted(named | set(patterns)))
    if patterns:
        return tuple(patterns)
    if ask is None:
        raise DataError(
            f"{path}: lists images at {listed}. Confirm which may be asked: --host NAME for each, or --yes for all."
        )
    chosen = tuple(host for host in counts if host and ask(f"Download {counts[host]} images from {host}?"))
    if not chosen:
        raise DataError(f"{path}: no host was confirmed, so that nothing is downloaded.")
    return chosen


def is_among(host: str, patterns: Sequence[str]) -> bool:
    """Whether a host fits one of the patterns."""
    return any(fnmatch.fnmatchcase(host, pattern.lower().rstrip(".")) for pattern in patterns)


def _media_of(archive: Archive, notes: list[str]) -> pd.DataFrame | None:
    if archive.media is not None and any(name in archive.media for name in URLS):
        return archive.media
    if "associatedMedia" not in archive.core:
        return None
    core = archive.core[archive.core["associatedMedia"].notna()]
    urls = core["associatedMedia"].str.split(r"\s*[|;]\s*(?=https?://)", regex=True)
    notes.append("The archive has no table of media; the URLs are those of associatedMedia.")
    return pd.DataFrame({"_core": core["_core"], "identifier": urls}).explode("identifier")


def _left_out(entry: dict[str, object], url: str | None, known: bool) -> str | None:
    kind = str(entry.get("type", "")).strip().lower().rpartition("/")[2]
    form = str(entry.get("format", "")).strip().lower()
    if kind in OTHERS or form.startswith(("audio/", "video/", "text/")):
        return f"they are no images ({kind if kind in OTHERS else form})"
    if url is None:
        return "they have no URL"
    if not known:
        return "their occurrence is not in the archive"
    return None


def _first(entry: dict[str, object], names: Iterable[str]) -> str:
    return next((text.strip() for name in names if isinstance(text := entry.get(name), str) and text.strip()), "")


def _of(rights: pd.DataFrame, occurrence: str, names: Iterable[str]) -> str:
    for name in names:
        if name in rights and isinstance(text := rights.at[occurrence, name], str):
            return text.strip()
    return ""
