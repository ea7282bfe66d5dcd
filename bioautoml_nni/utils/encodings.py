"""Text files as people save them: UTF-8, UTF-16, UTF-32 with or without a mark, code pages of Windows and Macs."""

from __future__ import annotations

import codecs
import io
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
PAGES = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1257", "cp850", "mac_roman", "shift_jis", "gb18030", "big5",
    "euc_kr", "koi8_r",
)  # fmt: skip
"""Encodings that are tried where the file is not Unicode; what a specimen table was saved in, if not in UTF-8."""
SAMPLE = 1 << 16
MIXED = "utf8_or_cp1252"
"""The encoding of files that were put together from others: UTF-8, and cp1252 where that cannot be read."""
SIGNS = "\u00a2\u00a4\u00a9\u00ae\u201a\u201e\u2022\u2026"
SIGNS += "\u00a3\u00a5\u00a6\u00a8\u00ac\u00af\u00b3\u00b4\u00b8\u00b9\u0192\u02c6\u2020\u2021\u2030\u2039\u203a\u2122"
ODD_WORD = re.compile(
    rf"[^\W\d_][{SIGNS}][^\W\d_]|\b[{SIGNS}][^\W\d_]|[a-z][\u00c0-\u00de\u0160\u017d\u0152\u0178][a-z]"
    r"|\b[A-Z][\u0160\u017d\u0152\u0178][a-z]"
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
    finds, else the first whose words look like words; the same bytes are legal in many, so that the choice has to be
    shown where it matters.
    """
    file.seek(0)
    head = file.read(SAMPLE)
    candidates = [name for mark, name in MARKS if head.startswith(mark)]
    if not candidates and b"\0" in head:
        candidates = _without_mark(head) or _of_other_scripts(head)
    for name in [*candidates, "utf-8"]:
        if decodes(file, name):
            return name
    sample = _unusual_lines(file)
    if _is_mixed(sample):
        return MIXED
    if _looks_western(sample.decode("cp1252", "ignore")) and decodes(file, "cp1252"):
        return "cp1252"
    from charset_normalizer import from_bytes

    found = from_bytes(sample, cp_isolation=list(PAGES)).best()
    best = found.encoding if found is not None and decodes(file, found.encoding) else "latin-1"
    if found is not None and _are_words(sample.decode(best, "ignore")):
        return best
    return next((page for page in PAGES if _are_words(sample.decode(page, "ignore")) and decodes(file, page)), best)


def _is_mixed(sample: bytes) -> bool:
    """Whether some lines are UTF-8 with words in it, and the others words of Western Europe in cp1252."""
    readable: list[str] = []
    others: list[str] = []
    for line in sample.split(b"\n"):
        try:
            readable.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            others.append(line.decode("cp1252", "replace"))
    text = "\n".join(readable)
    return bool(others) and _are_words(text) and not text.isascii() and _looks_western("\n".join(others))


def _are_words(text: str) -> bool:
    """Whether each word is of one script, small or capital throughout but for its first letter, and without signs."""
    if ODD_WORD.search(text):
        return False
    for word in WORD.findall(text):
        scripts = {unicodedata.name(letter, "?").partition(" ")[0] for letter in word}
        if len(scripts - {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}) > 1:
            return False
        if word[1:] not in (word[1:].lower(), word[1:].upper()) or (word[:1].islower() and word[1:].isupper()):
            return False
        if "LATIN" in scripts and sum(letter.isascii() for letter in word) <= len(word) / 4:
            return False
    return True


def is_unicode(encoding: str) -> bool:
    """Whether an encoding is one that says itself what it is, so that nothing had to be guessed."""
    return encoding.startswith("utf") and encoding != MIXED


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


def _of_other_scripts(head: bytes) -> list[str]:
    """Return which UTF-16 without a mark gives lines of letters, if its zero bytes are too few to say it."""
    found = []
    for name in ("utf-16-le", "utf-16-be"):
        text = head[: len(head) - len(head) % 2].decode(name, "replace")
        fitting = sum(letter.isalnum() or letter in "\r\n\t ,;|.:-_/'\"()" for letter in text)
        if "\n" in text and "\0" not in text and fitting > 0.95 * len(text):
            found.append(name)
    return found


def _looks_western(text: str) -> bool:
    """Whether words hold plain letters besides others, and no sign that belongs into no word."""
    if ODD_WORD.search(text):
        return False
    words = [word for word in WORD.findall(text) if not word.isascii()]
    return all(sum(letter.isascii() for letter in word) > len(word) / 4 for word in words)


class _MixedDecoder(codecs.BufferedIncrementalDecoder):
    def _buffer_decode(self, data: Buffer, errors: str, final: bool) -> tuple[str, int]:
        return codecs.utf_8_decode(data, MIXED, final)


def _stray(error: UnicodeError) -> tuple[str, int]:
    """Return what bytes that are no UTF-8 mean, and where to go on."""
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


def _mixed(name: str) -> codecs.CodecInfo | None:
    if name != MIXED:
        return None
    utf8 = codecs.lookup("utf-8")
    return codecs.CodecInfo(
        utf8.encode, lambda data, errors="strict": codecs.utf_8_decode(data, MIXED, True), name=MIXED,
        incrementalencoder=utf8.incrementalencoder, incrementaldecoder=_MixedDecoder, streamreader=utf8.streamreader,
        streamwriter=utf8.streamwriter,
    )  # fmt: skip


codecs.register_error(MIXED, _stray)
codecs.register(_mixed)
