"""The process that `guarded` starts: it decodes what comes in, within limits of time and memory."""

from __future__ import annotations

import os
import signal
import sys
import warnings

import numpy as np
from PIL import Image

from .decoding import decode_here
from .guarded import ANSWER, MEMORY, PIXELS, REQUEST, SENTENCE, SEVERAL, read_exactly

START = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q"
    b"\0\0\0\0IEND\xaeB`\x82"
)
"""An image of one pixel."""


def main() -> None:
    """Answer requests; the process ends with its standard input, or by the signal of the timer."""
    warnings.simplefilter("ignore")
    decode_here(START, 1, None, np.empty((1, 1, 3), np.uint8))  # loads what decoders are made of
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whatever a decoder prints must not reach the answers
    while (head := read_exactly(sys.stdin.buffer, REQUEST.size)) is not None:
        length, size, limit, seconds, memory, has_box, *box = REQUEST.unpack(head)
        data = read_exactly(sys.stdin.buffer, length)
        if data is None:
            return
        Image.MAX_IMAGE_PIXELS = limit
        answers.write(_answer(data, size, (box[0], box[1], box[2], box[3]) if has_box else None, seconds, memory))
        answers.flush()


def _answer(
    data: bytes, size: int, box: tuple[int, int, int, int] | None, seconds: float, memory: int
) -> bytes:  # fmt: skip
    try:
        _limit(seconds, memory)
        square = np.empty((size, size, 3), np.uint8)
        width, height, several = decode_here(data, size, box, square)
        outcome, content = (SEVERAL if several else PIXELS), square.tobytes()
    except MemoryError:
        outcome, width, height, content = MEMORY, 0, 0, b""
    except OSError as error:
        outcome, width, height, content = SENTENCE, 0, 0, str(error).encode("utf-8", "replace")
    finally:
        _limit(0.0, None)
    return ANSWER.pack(outcome, width, height, len(content)) + content


def _limit(seconds: float, memory: int | None) -> None:
    """Set the timer, whose signal ends the process, and what may be allocated beyond what it has; None lifts it."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        import resource
    except ImportError:  # not on Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    most = hard if memory is None else _allocated() + memory
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _allocated() -> int:
    """Return the bytes of this process's address space; where the system does not say, more than it will be."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 10**10


if __name__ == "__main__":
    main()
