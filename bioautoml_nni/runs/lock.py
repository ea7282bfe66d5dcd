"""One process at a time on a run directory.

filelock, which serves elsewhere, empties the lock's file before it knows whether the lock is free, and with it the
number and machine of the process that holds it; it also leaves the file behind and needs a file system that has locks.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..utils.errors import RunDirectoryError

NAME = "lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run directory's lock; the operating system releases it if this process is killed.

    Raises:
        RunDirectoryError: if another process holds it, with its number and its machine.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / NAME
    handle = _acquired(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        os.close(handle)


def _acquired(file: Path) -> int:
    """Return a descriptor that holds the lock of the file which now has this name."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 1000)
            os.close(handle)
            raise RunDirectoryError(
                f"{file.parent}: {_described(holder)} is working on this run directory; wait until it has ended, or "
                "stop it first."
            ) from None
        except OSError:  # a file system without locks
            pass
        try:
            current = os.stat(file).st_ino == os.fstat(handle).st_ino
        except FileNotFoundError:  # whoever held it has just removed it
            current = False
        if current:
            os.ftruncate(handle, 0)
            os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
            return handle
        os.close(handle)


def _described(holder: bytes) -> str:
    try:
        content = json.loads(holder)
        return f"process {content['pid']} on {content['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
