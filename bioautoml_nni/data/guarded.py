"""Decoding in processes of their own, with limits of time and memory, for kinds whose decoders have none themselves.

A decoder in C cannot be stopped within a process: one that a few bytes keep busy for an hour, or that takes all memory,
would take the command with it. Processes are kept for the next image; one that breaks a limit is replaced.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from queue import Empty, LifoQueue
from typing import IO, NamedTuple

SECONDS = 10.0
"""Of processor time that an image may take, beside what reading a large file does."""
BYTES_A_SECOND = 2_000_000
WALL_SECONDS = 120.0
"""After which a decoder is taken for stuck, however busy the machine is."""
MEGABYTES = 1000
"""Of memory that an image may take, beside `TIMES` the size of its file."""
TIMES = 8
COMMAND = [sys.executable, "-m", "bioautoml_nni.data.decoder_process"]
REQUEST = struct.Struct("<QIqdQ?4q")
"""Bytes of the file, edge of the square, most pixels, seconds, bytes of memory, whether there is a box, the box."""
ANSWER = struct.Struct("<BIIQ")
"""Outcome, width, height, and bytes of what follows: the square, or why there is none."""
PIXELS, SEVERAL, SENTENCE, MEMORY = range(4)
TOO_LARGE = "its decoder needs more than {} MB of memory for it, and was stopped"
TOO_SLOW = "its decoder needs more than {:g} seconds for it, and was stopped"


class Decoded(NamedTuple):
    """The bytes of a square, the width and height of its image, and whether that is the first of several."""

    square: bytes
    width: int
    height: int
    several: bool


_idle: LifoQueue[subprocess.Popen[bytes]] = LifoQueue()
_alive: set[subprocess.Popen[bytes]] = set()


def decode_apart(data: bytes, size: int, box: tuple[int, int, int, int] | None, limit: int) -> Decoded:
    """Decode an image to a square of `size` pixels in another process; see `decoding.decode`.

    Args:
        limit: most pixels of the image.

    Raises:
        OSError: with the reason, that a limit was broken among them.
    """
    process = _taken()
    clock = threading.Timer(WALL_SECONDS, process.kill)
    clock.daemon = True
    clock.start()
    try:
        answer = _asked(process, data, size, box, limit)
    finally:
        clock.cancel()
    if answer is None:
        _alive.discard(process)
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        raise OSError(_death(code))
    _idle.put(process)
    outcome, width, height, content = answer
    if outcome == MEMORY:
        raise OSError(TOO_LARGE.format(MEGABYTES))
    if outcome == SENTENCE:
        raise OSError(content.decode("utf-8", "replace"))
    return Decoded(content, width, height, outcome == SEVERAL)


def _taken() -> subprocess.Popen[bytes]:
    while True:
        try:
            process = _idle.get_nowait()
        except Empty:
            break
        if process.poll() is None:
            return process
        _alive.discard(process)
    process = subprocess.Popen(
        COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
    )
    _alive.add(process)
    return process


def _asked(
    process: subprocess.Popen[bytes], data: bytes, size: int, box: tuple[int, int, int, int] | None, limit: int
) -> tuple[int, int, int, bytes] | None:
    """Return the answer of a process, None if it ended."""
    assert process.stdin is not None and process.stdout is not None
    memory = MEGABYTES * 10**6 + TIMES * len(data)
    seconds = SECONDS + len(data) / BYTES_A_SECOND
    head = REQUEST.pack(len(data), size, limit, seconds, memory, box is not None, *(box or (0, 0, 0, 0)))
    try:
        for part in (head, data):
            left = memoryview(part)
            while left:
                left = left[process.stdin.write(left) :]
    except OSError:  # it is gone
        return None
    found = read_exactly(process.stdout, ANSWER.size)
    if found is None:
        return None
    outcome, width, height, length = ANSWER.unpack(found)
    rest = read_exactly(process.stdout, length)
    return None if rest is None else (outcome, width, height, rest)


def read_exactly(pipe: IO[bytes], length: int) -> bytes | None:
    """Return so many bytes of a pipe, None if it ends before."""
    content = bytearray()
    while len(content) < length:
        block = pipe.read(min(length - len(content), 1 << 20))
        if not block:
            return None
        content += block
    return bytes(content)


def _death(code: int) -> str:
    """Return why a process ended in the middle of an image."""
    import signal

    if -code == getattr(signal, "SIGPROF", None):
        return TOO_SLOW.format(SECONDS)
    if -code == signal.SIGKILL:
        return f"its decoder was stopped after {WALL_SECONDS:g} seconds, or by the system for want of memory"
    return f"its decoder crashed (code {code})"


def _forget() -> None:
    """Leave the processes of the parent to it, in a process that was forked."""
    global _idle
    for process in _alive:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.returncode = 0  # not a child of this process
    _alive.clear()
    _idle = LifoQueue()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
