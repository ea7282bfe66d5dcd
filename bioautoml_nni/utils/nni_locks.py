"""What killed processes leave on NNI's list of experiments."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

LEFT_OVER_SECONDS: Final = 60.0
"""NNI holds the lock of its list of experiments for some milliseconds; a lock that is older was left by a kill."""


def remove_left_over_locks(home: Path | None = None) -> int:
    """Remove the locks that killed processes left on NNI's list of experiments; return how many.

    NNI ignores a lock that is more than two seconds old, but waits for one whose time lies ahead, which a clock
    that was set back makes of every one of them, until the clock has caught up.

    Args:
        home: where NNI keeps its list of experiments; nni-experiments in the home folder by default.
    """
    home = home or Path("~/nni-experiments").expanduser()
    removed = 0
    for lock in home.glob(".experiment.lock.*"):
        with suppress(OSError):
            if abs(time.time() - lock.stat().st_mtime) > LEFT_OVER_SECONDS:
                lock.unlink()
                removed += 1
    return removed
