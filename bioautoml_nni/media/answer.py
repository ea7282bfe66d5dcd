"""What the head of an answer says: whether an image comes, which part of it, and when to come back."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from ._base import Limits, Refused, TryAgain

TEMPORARY = frozenset((408, 425, 429))
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def require_image(response: httpx.Response, begun: int, limits: Limits) -> tuple[int, int | None]:
    """Return at which byte the body starts, and how many bytes the whole file has, None if that is not said.

    Args:
        begun: bytes that are there already, and that were not asked for again.

    Raises:
        Refused: if no image comes.
        TryAgain: if one may come later.
    """
    status = response.status_code
    if status == 416:
        raise TryAgain("the host no longer has the rest of the file", restart=True)
    if status in TEMPORARY or status >= 500:
        raise TryAgain(f"the host answered with status {status}", _asked_to_wait(response, limits))
    if status not in (200, 206):
        raise Refused(f"the host answered with status {status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused("the host sent packed bytes, which could unpack to any size")
    if "html" in response.headers.get("Content-Type", "").lower():
        raise Refused("the host sent a web page instead of an image")
    start, total = (0, _length(response)) if status == 200 else _range(response, begun)
    if total is not None and total > limits.file_bytes:
        raise Refused(f"its {total:,} bytes are more than {limits.file_bytes:,} (--file-megabytes)")
    return start, total


def validator_of(response: httpx.Response) -> str | None:
    """Return what identifies the bytes of a file, for If-Range: a strong ETag, else the date of the last change."""
    tag = response.headers.get("ETag", "")
    if tag.startswith('"'):
        return str(tag)
    modified = response.headers.get("Last-Modified")
    return None if modified is None else str(modified)


def _length(response: httpx.Response) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _range(response: httpx.Response, begun: int) -> tuple[int, int | None]:
    found = RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if found is None or int(found[1]) != begun or begun == 0:
        raise TryAgain("the host sent another part of the file than was asked for", restart=True)
    return begun, None if found[3] == "*" else int(found[3])


def _asked_to_wait(response: httpx.Response, limits: Limits) -> float | None:
    text = response.headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        seconds = float(text) if text.isdigit() else (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    if seconds > limits.longest_wait:
        raise Refused(f"the host asks to come back in {seconds:,.0f} seconds; give the same command again then")
    return max(0.0, seconds)
