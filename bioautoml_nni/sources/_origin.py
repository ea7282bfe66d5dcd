"""Where the data of an archive come from, as its own metadata (EML) say it: DOI, title and citation."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from ..utils.errors import DataError

DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"'<>,;]+")
FILES = ("eml.xml", "EML.xml", "metadata.xml")
LARGEST = 50_000_000
CITATION_CHARACTERS = 2000


def read_origin(folder: Path, named: str | None, notes: list[str]) -> dict[str, str]:
    """Return ``doi``, ``title``, ``citation`` and ``rights`` of an unpacked archive, as far as its metadata have them.

    Args:
        folder: with the archive's files.
        named: the file of metadata that meta.xml names.
        notes: receives what cannot be read.
    """
    file = next((folder / name for name in (named, *FILES) if name and _is_inside(folder, name)), None)
    if file is None:
        return {}
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError("it is larger than 50 MB")
        root = ET.fromstring(file.read_bytes())
    except (ET.ParseError, OSError, ValueError, LookupError) as error:
        reason = " ".join(str(error).split())
        notes.append(f"{file.name}: the archive's metadata cannot be read ({reason}); nothing is known of its DOI.")
        return {}
    return _origin(root)


def as_doi(text: str) -> str:
    """Return the DOI in a text such as https://doi.org/10.15468/dl.abc.

    Raises:
        DataError: if there is none.

    Example:
        >>> as_doi('https://doi.org/10.15468/dl.abc')
        '10.15468/dl.abc'
    """
    found = DOI.search(text)
    if found is None:
        raise DataError(
            f"data.doi: {text!r} holds no DOI, such as 10.15468/dl.abcdef; copy it from the download's page."
        )
    return found[0].rstrip(".)]")


def _origin(root: ET.Element) -> dict[str, str]:
    texts: dict[str, list[str]] = {"alternateIdentifier": [], "title": [], "citation": [], "intellectualRights": []}
    identifiers: list[str] = []
    for element in root.iter():
        name = element.tag.rpartition("}")[2]
        if name in texts:
            texts[name].append(" ".join("".join(element.itertext()).split()))
        if name == "citation":
            identifiers.append(element.get("identifier", ""))
    sources = [
        *texts["alternateIdentifier"],
        root.get("packageId", ""),
        *identifiers,
        *texts["citation"],
        *texts["title"],
    ]
    doi = next((found[0].rstrip(".)]") for text in sources if (found := DOI.search(text))), "")
    first = {name: next((text for text in found if text), "") for name, found in texts.items()}
    origin = {
        "doi": doi,
        "title": first["title"],
        "citation": first["citation"][:CITATION_CHARACTERS],
        "rights": first["intellectualRights"][:CITATION_CHARACTERS],
    }
    return {name: text for name, text in origin.items() if text}


def _is_inside(folder: Path, name: str) -> bool:
    path = (folder / name).resolve()
    return path.is_relative_to(folder.resolve()) and path.is_file()
