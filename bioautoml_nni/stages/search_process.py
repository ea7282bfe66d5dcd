"""One of several processes that search together; `bioautoml search` starts them for `search.devices` above one."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from ..runs.directory import RunDirectory
from ..training.group import is_rank_zero
from ..utils.errors import BioAutoMLError
from .search import search


def main() -> None:
    """Search; only the first process writes and speaks."""
    console = Console(quiet=not is_rank_zero())
    try:
        search(RunDirectory.open(Path(sys.argv[1])), console)
    except BioAutoMLError as error:
        console.print(f"[red]{error}", highlight=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
