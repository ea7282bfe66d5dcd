"""A file by which machines tell that they see the same folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def seen_by_all(folder: Path) -> Iterator[Path]:
    """Give a file by which other machines tell that they see the folder; what killed commands left of such goes.

    A command holds a lock of its file, which the operating system gives back if the command is killed. A file whose
    lock is free is therefore stale, if it is of this machine: a network's file system may not know of others' locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    start = f".seen-{_machine()}-"
    _remove_stale(folder, start)
    mark = folder / f"{start}{secrets.token_hex(8)}"
    # So that no other command sees it before its lock; what a kill leaves is a leftover as of any file.
    unlocked = folder / f".partial{mark.name}.partial-{secrets.token_hex(4)}"
    handle = os.open(unlocked, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlocked.rename(mark)
        yield mark
    finally:
        unlocked.unlink(missing_ok=True)
        mark.unlink(missing_ok=True)
        os.close(handle)


def _machine() -> str:
    """Return what tells this machine, since it was started, from all others."""
    try:
        told = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        told = f"{uuid.getnode()} {socket.gethostname()}"
    return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()


def _remove_stale(folder: Path, start: str) -> None:
    """Remove files of this machine whose commands have ended without doing so."""
    for mark in folder.glob(f"{start}*"):
        with suppress(OSError):  # its command is at work, or another one has just removed it
            handle = os.open(mark, os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                mark.unlink()
            finally:
                os.close(handle)
