"""Darwin Core archives whose encoding the library that reads them cannot take: UTF-16, UTF-32, and unknown ones."""

from __future__ import annotations

import codecs
import io
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from ..utils.encodings import decodes, encoding_of

META = "meta.xml"
ENCODING = re.compile(r"""(encoding\s*=\s*)(["'])[^"']*\2""")


@contextmanager
def in_plain_encoding(path: Path, notes: list[str]) -> Iterator[Path]:
    """Give the archive, or a copy of it in UTF-8 where its files declare an encoding in which ASCII is not itself.

    Raises:
        ValueError: for a file that leads out of the archive.
        ElementTree.ParseError: for a meta.xml that is none.
    """
    meta = _meta(path)
    if meta is None or (_is_plain_xml(meta) and not any(map(_is_odd, _declared(meta).values()))):
        yield path
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "archive"
        if path.is_dir():
            shutil.copytree(path, folder)
        else:
            shutil.unpack_archive(path, folder, "zip")  # whose names `_require_sane` has looked at
        here = next(iter(sorted(folder.rglob(META)))).parent
        for name, declared in _declared(meta).items():
            if not (here / name).resolve().is_relative_to(folder.resolve()):
                raise ValueError(f"{name} leads outside of the archive")
            _as_utf8(here / name, declared, notes)
        text = meta.decode(encoding_of(io.BytesIO(meta)))
        (here / META).write_text(ENCODING.sub(r"\1\2UTF-8\2", text), encoding="utf-8")
        yield here


def _meta(path: Path) -> bytes | None:
    """Return what meta.xml says, None without one."""
    if path.is_dir():
        return (path / META).read_bytes() if (path / META).is_file() else None
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as packed:
            name = next((name for name in packed.namelist() if name.rpartition("/")[2] == META), None)
            return None if name is None else packed.read(name)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):  # as reading the archive will say
        return None


def _is_plain_xml(meta: bytes) -> bool:
    try:
        meta.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in meta


def _declared(meta: bytes) -> dict[str, str]:
    """Return the encoding that is declared for each file of the archive."""
    found: dict[str, str] = {}
    for section in ElementTree.fromstring(meta):
        for location in section.iter():
            if location.tag.rpartition("}")[2] == "location" and location.text:
                found[location.text.strip()] = section.get("encoding") or "utf-8"
    return found


def _is_odd(name: str) -> bool:
    try:
        return "a".encode(name) != b"a"
    except LookupError:
        return True


def _as_utf8(path: Path, declared: str, notes: list[str]) -> None:
    data = path.read_bytes()
    try:
        name = codecs.lookup(declared).name
    except LookupError:
        name = ""
    if not name or not decodes(io.BytesIO(data), name):
        name = encoding_of(io.BytesIO(data))
        notes.append(f"{path.name}: is not in the encoding {declared!r} that meta.xml declares; read as {name}.")
    path.write_bytes(data.decode(name).removeprefix("\ufeff").encode("utf-8"))
