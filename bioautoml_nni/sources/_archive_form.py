"""Darwin Core archives that the library that reads them cannot take as they are: in UTF-16, UTF-32 or an unknown
encoding, with lines that end otherwise or break within fields, packed again with the folder around them, or with files
in another case than meta.xml says."""

from __future__ import annotations

import codecs
import io
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from ..utils.encodings import decodes, encoding_of

META = "meta.xml"
BLOCK = 1 << 20
BREAK = re.compile(r"\r\n|\r|\n")
ENDING = re.compile(r"""(linesTerminatedBy\s*=\s*)(["'])[^"']*\2""")
ENCODING = re.compile(r"""(encoding\s*=\s*)(["'])[^"']*\2""")


@contextmanager
def in_plain_form(path: Path, notes: list[str]) -> Iterator[Path]:
    """Give the archive, or a copy of its tables in UTF-8, at the top and as meta.xml calls them, where it has not that.

    Raises:
        ValueError: for a file that leads out of the archive.
        ElementTree.ParseError: for a meta.xml that is none.
    """
    names = _names_in(path)
    place = _place_of_meta(names)
    meta = None if place is None else _content(path, place)
    if place is None or meta is None:
        yield path
        return
    sections = _sections(meta)
    declared = {name: section.get("encoding") or "utf-8" for name, section in sections.items()}
    endings = {name: _as_written(section.get("linesTerminatedBy") or "\\n") for name, section in sections.items()}
    quotes = {name: section.get("fieldsEnclosedBy", '"') for name, section in sections.items()}
    odd = not _is_plain_xml(meta) or any(map(_is_odd, declared.values()))
    odd |= any(_ends_otherwise(path, _called(name, place, names), end) for name, end in endings.items())
    if not odd and place == META and not any(_is_misnamed(name, names) for name in declared):
        yield path
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "archive"
        if path.is_dir():
            wanted = {Path(name).name.lower() for name in (place, *declared)}
            shutil.copytree(path, folder, ignore=lambda inside, found: _others(Path(inside), found, wanted))
        else:
            shutil.unpack_archive(path, folder, "zip")  # whose names `_require_sane` has looked at
        here = (folder / place).parent
        (folder / place).rename(here / META)
        for name, encoding in declared.items():
            if not (here / name).resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"{name} leads outside of the archive")
            _take_other_case(here, name, notes)
            if odd and (here / name).is_file():
                _as_utf8(here / name, encoding, notes, endings[name], quotes[name])
        if odd:
            text = meta.decode(encoding_of(io.BytesIO(meta)))
            text = ENDING.sub(r"\1\2\\n\2", ENCODING.sub(r"\1\2UTF-8\2", text))
            (here / META).write_text(text, encoding="utf-8")
        yield here


def _names_in(path: Path) -> list[str]:
    """Return the names at the top of a folder, or all those in a ZIP file."""
    if path.is_dir():
        return [child.name for child in path.iterdir()]
    if not zipfile.is_zipfile(path):
        return []
    try:
        with zipfile.ZipFile(path) as packed:
            return packed.namelist()
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):  # as reading the archive will say
        return []


def _place_of_meta(names: list[str]) -> str | None:
    """Return where meta.xml is, in whatever case and the nearest to the top, None without one."""
    found = [name for name in names if name.rpartition("/")[2].lower() == META]
    return min(found, key=lambda name: (name.count("/"), name != META)) if found else None


def _called(name: str, place: str, names: list[str]) -> str:
    """Return where a file is that meta.xml names, beside which it lies; what is there in one other case only is it."""
    wanted = place.rpartition("/")[0] + "/" + name.removeprefix("./")
    wanted = wanted.removeprefix("/")
    others = [other for other in names if other.lower() == wanted.lower()]
    return others[0] if wanted not in names and len(others) == 1 else wanted


def _is_misnamed(name: str, names: list[str]) -> bool:
    """Whether a file that meta.xml names is there in another case only."""
    name = name.removeprefix("./")
    return name not in names and name.lower() in map(str.lower, names)


def _others(folder: Path, found: list[str], wanted: set[str]) -> list[str]:
    """Return the files of a folder that are not read, such as its images."""
    return [name for name in found if name.lower() not in wanted and not (folder / name).is_dir()]


def _content(path: Path, place: str) -> bytes | None:
    """Return what meta.xml says, None if it is damaged."""
    if path.is_dir():
        return (path / place).read_bytes() if (path / place).is_file() else None
    try:
        with zipfile.ZipFile(path) as packed:
            return packed.read(place)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):  # as reading the archive will say
        return None


def _take_other_case(here: Path, name: str, notes: list[str]) -> None:
    """Give a file the name that meta.xml has for it, if it is the only one that is called so in another case."""
    if (here / name).exists():
        return
    others = [child for child in here.iterdir() if child.name.lower() == name.lower()]
    if len(others) == 1:
        notes.append(f"{others[0].name}: is read as {name}, as meta.xml calls it.")
        others[0].rename(here / name)


def _is_plain_xml(meta: bytes) -> bool:
    try:
        meta.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in meta


def _sections(meta: bytes) -> dict[str, ElementTree.Element]:
    """Return for each file of the archive the section that declares, for example, its encoding."""
    return {
        location.text.strip(): section
        for section in ElementTree.fromstring(meta)
        for location in section.iter()
        if location.tag.rpartition("}")[2] == "location" and location.text
    }


def _as_written(end: str) -> str:
    r"""Return the end of lines that meta.xml writes as \r\n or the like."""
    return end.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t")


def _ends_otherwise(path: Path, name: str, end: str) -> bool:
    """Whether lines end in what no reader takes for an end, or hold breaks that are none, as meta.xml says."""
    if end in ("\n", "\r"):
        return False
    if end != "\r\n":
        return True
    whole = lone = 0
    before = b""
    for block in _blocks(path, name):
        ends = block.count(b"\r\n") + (before == b"\r" and block[:1] == b"\n")
        whole, lone, before = whole + ends, lone + block.count(b"\n") - ends, block[-1:]
        if whole and lone:
            return True
    return False


def _blocks(path: Path, name: str) -> Iterator[bytes]:
    """Yield what a table says, block by block; of a damaged one what comes before the damage."""
    with ExitStack() as opened:
        try:
            if path.is_dir():
                file: IO[bytes] = opened.enter_context((path / name).open("rb"))
            else:
                file = opened.enter_context(opened.enter_context(zipfile.ZipFile(path)).open(name))
            while block := file.read(BLOCK):
                yield block
        except (OSError, KeyError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):  # as reading it will say
            return


def _is_odd(name: str) -> bool:
    try:
        return "a".encode(name) != b"a"
    except LookupError:
        return True


def _as_utf8(path: Path, declared: str, notes: list[str], end: str, quote: str) -> None:
    """Write a table anew in UTF-8, with lines that end as everywhere.

    Breaks within a field become spaces; where fields are quoted they may stay.
    """
    data = path.read_bytes()
    try:
        name = codecs.lookup(declared).name
    except LookupError:
        name = ""
    if not name or not decodes(io.BytesIO(data), name):
        name = encoding_of(io.BytesIO(data))
        notes.append(f"{path.name}: is not in the encoding {declared!r} that meta.xml declares; read as {name}.")
    text = data.decode(name).removeprefix("\ufeff")
    if end not in ("\n", "\r") and end in text:
        lines = text.split(end)
        broken = sum("\n" in line.strip("\r\n") for line in lines)
        quoted = bool(quote) and quote in text
        if broken and not quoted:
            notes.append(f"{path.name}: {broken} rows have breaks of lines in a field, which are read as spaces.")
        if not quoted:
            lines = [BREAK.sub(" ", line.strip("\r\n")) for line in lines]
        text = "\n".join(lines)
    path.write_bytes(text.encode("utf-8"))
