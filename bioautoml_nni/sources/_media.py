"""Which file of a media folder belongs to which entry of an archive: never one of several candidates."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

from ..data.finding import ImageFinder, longest_tail
from ..data.image_files import Links, list_images
from ..data.manifest import IMAGE
from ..data.remark import Lost
from ..data.tables import read_table
from ..utils.addresses import parts_of
from ..utils.errors import DataError

MEDIA_KEYS = ("identifier", "accessURI", "goodQualityAccessURI", "bestQualityAccessURI", "references")
DIGESTS = ("md5", "sha1", "sha256")
URL_COLUMNS = ("url", "identifier", "accessURI")
OCCURRENCE_COLUMNS = ("occurrence", "occurrenceID", "gbifID", "coreid", "id")
FILE_COLUMNS = ("file", "path", "image", "filename")
LICENCE_COLUMNS = ("licence", "license")

Pairs = list[tuple[str, str]]
"""Occurrence and path of a file below the media folder."""


class MediaFolder:
    """The files of a media folder, and the rules that find them.

    Args:
        folder: the media folder.
        table: a table that says for URLs or occurrences which file is theirs, or None.
        notes: receives how files were found, and which were not.
        links: where symbolic links may lead.
    """

    def __init__(self, folder: Path, table: Path | None, notes: list[str], links: Links = "inside") -> None:
        self.folder = folder
        self.links = links
        self.notes = notes
        listing = list_images(folder, links=links)
        notes += listing.notes()
        self.files = listing.files
        self.by_name: dict[str, list[str]] = defaultdict(list)
        self.by_stem: dict[str, list[str]] = defaultdict(list)
        for file in self.files:
            name = _plain(file.rpartition("/")[2])
            self.by_name[name].append(file)
            self.by_stem[name.rpartition(".")[0]].append(file)
        self.licence_of: dict[str, str] = {}
        self.told = {} if table is None else self._read(table)

    def match(self, core: pd.DataFrame, media: pd.DataFrame | None) -> pd.DataFrame:
        """Return pairs of ``_core`` and image path: by the table, by URL or its digest, else by the occurrence's id."""
        rows = self._as_told(core, "occurrence", set())
        matched = {identifier for identifier, _ in rows}
        if media is not None:
            rows += self._by_url(media, matched)
            matched |= {identifier for identifier, _ in rows}
        rows += self._as_told(core, "owner", matched)
        matched |= {identifier for identifier, _ in rows}
        by_id = self._by_id(core, matched, {file for _, file in rows})
        if by_id:
            self.notes.append(f"{len(by_id)} images found by the occurrence's id.")
        self._tell_strangers(core, media)
        pairs = pd.DataFrame(rows + by_id, columns=["_core", IMAGE]).drop_duplicates()
        shared = pairs[IMAGE][pairs[IMAGE].duplicated()]
        if len(shared):
            self.notes.append(
                f"{shared.nunique()} images stand for several occurrences, such as {shared.iloc[0]}: their archive "
                "lists them so."
            )
        return pairs

    def _tell_strangers(self, core: pd.DataFrame, media: pd.DataFrame | None) -> None:
        """Say which images, and which entries of the table of media, are for nothing that the archive lists."""
        listed = {str(key) for key in core["_core"]}
        if media is not None and (of_none := [key for key in media["_core"] if str(key) not in listed]):
            self.notes.append(
                Lost(
                    f"{len(of_none)} listed images are left out, since their occurrence is not, such as that of "
                    f"{of_none[0]!r}."
                )
            )
        urls: set[str] | None = None
        if media is not None:
            texts = [url for name in MEDIA_KEYS if name in media for url in media[name].dropna()]
            urls = {_without_scheme(str(url)) for url in texts}
        known = {"occurrence": listed} | ({"owner": listed} if urls is None else {"url": urls})
        others = [key for kind, key in self.told if kind in known and key not in known[kind]]
        if others:
            self.notes.append(
                Lost(f"{len(others)} entries of data.media_table are for nothing that is listed, such as {others[0]}.")
            )

    def _as_told(self, core: pd.DataFrame, kind: str, matched: set[str]) -> Pairs:
        keys = [key for key in core["_core"] if key not in matched]
        return [(key, file) for key in keys for file in self.told.get((kind, str(key)), ())]

    def _by_url(self, media: pd.DataFrame, matched: set[str]) -> Pairs:
        keys = [name for name in MEDIA_KEYS if name in media]
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        rules: Counter[str] = Counter()
        listed = missing = 0
        ambiguous: list[str] = []
        absent: list[str] = []
        for entry in media.to_dict("records"):
            urls = [str(entry[key]) for key in keys if isinstance(entry[key], str) and entry[key].strip()]
            if not urls or str(entry["_core"]) in matched:
                continue
            listed += 1
            candidates, rule, url = self._of(urls)
            if len(candidates) == 1:
                found[candidates[0]].append((str(entry["_core"]), url))
                rules[rule] += 1
            elif candidates:
                ambiguous.append(url)
            else:
                missing += 1
                absent.append(str(entry["_core"]))
        rows, contested = self._uncontested(found)
        ambiguous += contested
        if ambiguous:
            self.notes.append(
                Lost(
                    f"{len(ambiguous)} of {listed} listed images are left out, since several URLs or files have the "
                    f"same name, such as {ambiguous[0]}: keep the folders of their URLs below {self.folder.name}, or "
                    "say in data.media_table which file is whose."
                )
            )
        self.notes += [f"{count} images found {rule}." for rule, count in rules.items() if rule != "by name"]
        if missing:
            taken = {file for _, file in rows}
            names = {str(key) for key, _ in self._by_id(pd.DataFrame({"_core": absent}), set(), taken)}
            missing -= sum(key in names for key in absent)
        if missing:
            self.notes.append(f"{missing} of {listed} listed images are not in {self.folder.name}.")
        return rows

    @staticmethod
    def _uncontested(found: Mapping[str, Sequence[tuple[str, str]]]) -> tuple[Pairs, list[str]]:
        """Return pairs, and the URLs of files that different URLs claim: none of them gets it."""
        rows: Pairs = []
        contested: list[str] = []
        for file, claims in found.items():
            different = list(dict.fromkeys(_without_scheme(url) for _, url in claims))
            if len(different) > 1:
                contested += [url for _, url in claims]
            else:
                rows += [(occurrence, file) for occurrence, _ in claims]
        return rows, contested

    def _of(self, urls: Sequence[str]) -> tuple[list[str], str, str]:
        """Return candidates for an entry with these URLs, the rule that found them, and the URL that did."""
        for url in urls:
            if files := self.told.get(("url", _without_scheme(url))):
                return files, "by data.media_table", url
        for url in urls:
            for kind in DIGESTS:
                digest = hashlib.new(kind, url.encode(), usedforsecurity=False).hexdigest()
                if digest in self.by_stem or digest in self.by_name:
                    return self.by_stem.get(digest) or self.by_name[digest], f"by the {kind} of their URL", url
        for url in urls:
            parts = [part for part in unquote(parts_of(url).path).replace("\\", "/").split("/") if part]
            if not parts:
                continue
            name = _plain(parts[-1])
            same = (
                self.by_name.get(name)
                or self.by_stem.get(name)
                or self.by_stem.get(name.rpartition(".")[0] or name, [])
            )
            if same:
                return longest_tail(parts, same), "by name", url
        return [], "", urls[0]

    def _by_id(self, core: pd.DataFrame, matched: set[str], taken: set[str]) -> Pairs:
        """Return pairs of occurrences and files that bear their id, but for files that are another's by their URL."""
        by_id: dict[str, list[str]] = defaultdict(list)
        ids = {str(identifier) for identifier in core["_core"]}
        for file in self.files:
            if file in taken:
                continue
            stem = file.rpartition("/")[2].rpartition(".")[0]
            by_id[stem].append(file)
            head, mark, number = stem.rpartition("_")
            if mark and number.isdigit() and stem not in ids:
                by_id[head].append(file)
        rows: Pairs = []
        for identifier in core["_core"]:
            name = str(identifier).replace("/", "_").replace(":", "_")
            if identifier not in matched:
                rows += [(str(identifier), file) for file in by_id.get(str(identifier), by_id.get(name, []))]
        return rows

    def licences(self, used: pd.Series) -> dict[str, int]:
        """Return how many of the images used have which licence, as the table of media says it."""
        if not self.licence_of:
            return {}
        counts = Counter(self.licence_of.get(str(file), "not stated") for file in used.unique())
        return dict(sorted(counts.items()))

    def _read(self, path: Path) -> dict[tuple[str, str], list[str]]:
        """Return the files that a table names: by URL, by the ``owner`` of a URL, by occurrence without URL."""
        table = read_table(path, notes=self.notes)
        columns = {
            kind: next((name for name in names if name in table), None)
            for kind, names in (("url", URL_COLUMNS), ("occurrence", OCCURRENCE_COLUMNS), ("file", FILE_COLUMNS))
        }
        if columns["file"] is None or (columns["url"] is None and columns["occurrence"] is None):
            raise DataError(
                f"{path}: data.media_table needs a column file, and url or occurrence; it has {', '.join(table)}."
            )
        finder = ImageFinder(self.folder, self.links)
        told: dict[tuple[str, str], list[str]] = defaultdict(list)
        known, absent = set(self.files), list[str]()
        licence = next((name for name in LICENCE_COLUMNS if name in table), None)
        rows = table[table[columns["file"]].notna()]
        places = finder.find_apart(rows[columns["file"]].astype(str))
        for row, found in zip(rows.to_dict("records"), places, strict=True):
            if found not in known:
                absent.append(str(row[columns["file"]]))
                continue
            url, occurrence = (row[name] if (name := columns[kind]) else None for kind in ("url", "occurrence"))
            address = _without_scheme(url) if isinstance(url, str) else None
            for kind, key in (("url", address), ("owner" if address else "occurrence", occurrence)):
                if isinstance(key, str) and found not in told[kind, key]:
                    told[kind, key].append(found)
            if licence is not None:
                self.licence_of[found] = str(row[licence]) if isinstance(row[licence], str) else "not stated"
        if absent:
            self.notes.append(
                Lost(f"{path.name}: {len(absent)} rows name files that are not in {self.folder.name}: {absent[0]!r}.")
            )
        return told


def _without_scheme(url: str) -> str:
    parts = parts_of(url)
    return f"{parts.netloc.lower()}{parts.path}?{parts.query}"


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
