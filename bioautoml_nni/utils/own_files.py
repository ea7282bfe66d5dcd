"""Reading of files that this project wrote: whole, or one sentence that names the file that is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import BioAutoMLError, RunDirectoryError, outside_cause

if TYPE_CHECKING:
    import numpy as np

WAY_OUT = "copy it again, or remove it and give the command that wrote it again"


@contextmanager
def reading(path: Path, way_out: str = WAY_OUT, kind: type[BioAutoMLError] = RunDirectoryError) -> Iterator[None]:
    """Turn whatever a reader raises of a damaged file into one sentence.

    Args:
        way_out: what to do about it, as the end of the sentence.

    Raises:
        BioAutoMLError: of the kind given; our own errors and what the machine lacks pass as they are.
    """
    try:
        yield
    except (BioAutoMLError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise kind(f"{path}: is missing; {way_out}.") from error
    except Exception as error:  # readers of JSON, CSV, Parquet and arrays have no common base
        if outside_cause(error) is not None:
            raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise kind(f"{path}: is damaged or cut short ({reason}); {way_out}.") from error


def read_json(path: Path, way_out: str = WAY_OUT, kind: type[BioAutoMLError] = RunDirectoryError) -> Any:
    """Return what a file of JSON holds; see `reading`."""
    with reading(path, way_out, kind):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
        return content


def read_json_lines(path: Path, way_out: str = WAY_OUT) -> list[dict[str, Any]]:
    """Return the lines of a file of JSON lines, of which the last one ends as the others do; see `reading`."""
    with reading(path, way_out):
        text = path.read_text(encoding="utf-8")
        require_last_line(path)
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def require_last_line(path: Path) -> None:
    """Raise `ValueError` if the last line of a text has no end, as those that were cut within a line; see `reading`."""
    with open(path, "rb") as file:
        if file.seek(0, 2) == 0:
            raise ValueError("it is empty")
        file.seek(-1, 2)
        if file.read(1) not in (b"\n", b"\r"):
            raise ValueError("its last line has no end")


def read_array(path: Path, way_out: str = WAY_OUT) -> np.ndarray:
    """Return the array of a file .npy; see `reading`."""
    import numpy as np

    with reading(path, way_out):
        found: np.ndarray = np.load(path, allow_pickle=False)
        return found
