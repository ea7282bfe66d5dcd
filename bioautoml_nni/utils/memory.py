"""How this process keeps memory that it has freed."""

from __future__ import annotations

import ctypes
import sys

import pyarrow

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Numbers of glibc's mallopt(3)."""
MEGABYTE = 2**20


def keep_freed_memory() -> bool:
    """Let glibc keep freed feature maps for the next ones, instead of returning every one to the system.

    Training frees and takes the same maps in every step; a map that comes from the system costs a page fault for every
    four kilobytes. Elsewhere than on glibc nothing happens.

    Returns:
        Whether it was set.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = {MMAP_THRESHOLD: 32 * MEGABYTE, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 64 * MEGABYTE}
    answers = [mallopt(name, value) for name, value in settings.items()]
    return all(answer == 1 for answer in answers)


def return_freed_memory() -> None:
    """Give the memory of columns that are gone back to the system.

    Arrow's own allocator keeps nearly half as much again as a table of many rows has; the C library's returns it. What
    lies between things that are still there that one keeps, too, until it is told (glibc's malloc_trim(3)).
    """
    if pyarrow.default_memory_pool().backend_name != "system":
        pyarrow.set_memory_pool(pyarrow.system_memory_pool())
    pyarrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)
