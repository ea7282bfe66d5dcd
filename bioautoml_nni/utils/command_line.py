"""The command that started this process, as a person would type it."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def command_line() -> str:
    """Return the command in one line; our own processes, which start as `python -c`, are `bioautoml`."""
    name, *arguments = sys.argv
    return shlex.join(["bioautoml" if name == "-c" and arguments else Path(name).name, *arguments])
