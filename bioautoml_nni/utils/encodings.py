"""Text files as people save them: UTF-8, UTF-16, UTF-32 with or without a mark, code pages of Windows and Macs."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
PAGES = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp850", "mac_roman", "shift_jis", "gb18030", "big5",
    "euc_kr",
)  # fmt: skip
"""Encodings that are tried where the file is not Unicode; what a specimen table was saved in, if not in UTF-8."""
SAMPLE = 1 << 16
SIGNS = "\u00a3\u00a5\u00a6\u00a8\u00ac\u00af\u00b3\u00b4\u00b8\u00b9\u0192\u02c6\u2020\u2021\u2030\u2039\u203a\u2122"
ODD_WORD = re.compile(
    rf"[^\W\d_][{SIGNS}][^\W\d_]|\b[{SIGNS}][^\W\d_]|[a-z][\u00c0-\u00de\u0160\u017d\u0152\u0178][a-z]"
)
"""A sign within a word, or a capital letter with an accent within small ones: another code page's letter."""
WORD = re.compile(r"[^\W\d_]{3,}")


def read_text(path: Path, encoding: str | None = None) -> str:
    """Return a file's text; see `encoding_of`.

    Raises:
        OSError: if the file cannot be read.
        UnicodeDecodeError: if it does not hold text in the encoding that is given.
    """
    data = path.read_bytes()
    return data.decode(encoding or encoding_of(io.BytesIO(data)))


def encoding_of(file: BinaryIO) -> str:
    """Return the name of the encoding that a text was saved in; the file is read through, block by block.

    A byte order mark decides; without one zero bytes in every second place are UTF-16, and what decodes as UTF-8 is
    UTF-8. Among code pages Western European is taken where its words look like words, else what charset-normalizer
    finds; the same bytes are legal in many, so that the choice has to be shown where it matters.
    """
    file.seek(0)
    head = file.read(SAMPLE)
    candidates = [name for mark, name in MARKS if head.startswith(mark)]
    if not candidates and b"\0" in head:
        candidates = _without_mark(head)
    for name in [*candidates, "utf-8"]:
        if decodes(file, name):
            return name
    sample = _unusual_lines(file)
    if _looks_western(sample.decode("cp1252", "ignore")) and decodes(file, "cp1252"):
        return "cp1252"
    from charset_normalizer import from_bytes

    found = from_bytes(sample, cp_isolation=list(PAGES)).best()
    return found.encoding if found is not None and decodes(file, found.encoding) else "latin-1"


def is_unicode(encoding: str) -> bool:
    """Whether an encoding is one that says itself what it is, so that nothing had to be guessed."""
    return encoding.startswith("utf")


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(1 << 22):
        yield block


def decodes(file: BinaryIO, encoding: str) -> bool:
    """Whether a whole file is text in an encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for block in _blocks(file):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeError:
        return False
    return True


def _unusual_lines(file: BinaryIO) -> bytes:
    """Return lines that are not plain ASCII, which say most about the code page."""
    sample = b""
    for block in _blocks(file):
        sample += b"\n".join(line for line in block.splitlines() if not line.isascii())
        if len(sample) >= SAMPLE:
            break
    return sample[:SAMPLE]


def _without_mark(head: bytes) -> list[str]:
    """Return which UTF-16 or UTF-32 puts its zero bytes where these are, if the text is mostly Latin."""
    sample = head[: len(head) - len(head) % 4]
    shares = [sample[place::4].count(0) / max(1, len(sample) // 4) for place in range(4)]
    kinds = {"utf-32-le": (1, 2, 3), "utf-32-be": (0, 1, 2), "utf-16-le": (1, 3), "utf-16-be": (0, 2)}
    return [
        name
        for name, zeros in kinds.items()
        if all((shares[place] > 0.6) if place in zeros else (shares[place] < 0.2) for place in range(4))
    ]


def _looks_western(text: str) -> bool:
    """Whether words hold plain letters besides others, and no sign that belongs into no word."""
    if ODD_WORD.search(text):
        return False
    words = [word for word in WORD.findall(text) if not word.isascii()]
    return all(sum(letter.isascii() for letter in word) > len(word) / 4 for word in words)
