"""The folder of a download: whole files, parts of files that go on, the journal of what came, and the table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

from ..data.own_csv import csv_text
from ..utils.atomic import write_text
from ..utils.errors import DataError
from ._base import Fetched, Wanted

TABLE = "media.csv"
PARTS = ".partial"
COLUMNS = (
    "file", "url", "occurrence", "licence", "rights_holder", "creator", "source_url", "sha256", "bytes", "width",
    "height", "error",
)  # fmt: skip


class Part:
    """A file that is coming: its bytes so far, and the validator that tells the host whether they are still its own.

    Args:
        folder: of all parts.
        url: as the archive lists it.
    """

    def __init__(self, folder: Path, url: str) -> None:
        self.digest = hashlib.sha256(url.encode()).hexdigest()
        self.path = folder / f"{self.digest}.part"
        self._note = folder / f"{self.digest}.json"

    def start(self) -> tuple[int, str | None]:
        """Return how many bytes are there and their validator; none without a validator, since they may be stale."""
        try:
            validator = json.loads(self._note.read_text(encoding="utf-8"))["validator"]
            size = self.path.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return 0, None
        return (size, validator) if isinstance(validator, str) and size else (0, None)

    def begin(self, validator: str | None) -> None:
        """Forget what came so far; note the validator of what will come."""
        self.remove()
        if validator is not None:
            write_text(self._note, json.dumps({"validator": validator}))

    def remove(self) -> None:
        """Remove what came so far."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self, target: Path) -> None:
        """Give the whole file its name."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(target)
        self._note.unlink(missing_ok=True)


class MediaStore:
    """Files of a download below a folder; one process at a time.

    Files are called by the SHA-256 of their URL, so that no URL can lead outside and no two get one name. What came is
    appended to a journal at once, so that a killed download continues with the rest.

    Args:
        folder: made if need be.

    Raises:
        DataError: if another process downloads into it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.parts = folder / PARTS
        self.parts.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(self.parts / "lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise DataError(f"{folder}: another process downloads into it; wait for its end.") from error
        self._journal = self.parts / "done.jsonl"
        self.done = self._read()

    def close(self) -> None:
        """Let others use the folder."""
        self._lock.release()

    def part(self, url: str) -> Part:
        """Return the part of a file, begun or not."""
        return Part(self.parts, url)

    def name(self, url: str, suffix: str) -> str:
        """Return the path below the folder that a URL's file gets."""
        digest = hashlib.sha256(url.encode()).hexdigest()
        return f"{digest[:2]}/{digest}{suffix}"

    def add(self, fetched: Fetched) -> None:
        """Note that a file is whole."""
        self.done[fetched.url] = fetched
        with self._journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(fetched), ensure_ascii=False) + "\n")

    def bytes(self) -> int:
        """Return the bytes of all whole files."""
        return sum(fetched.bytes for fetched in self.done.values())

    def write_table(self, wanted: Iterable[Wanted], errors: Mapping[str, str]) -> Path:
        """Write one row for each image of each occurrence, with its file or why there is none; return the path."""
        rows = []
        for entry in wanted:
            row: dict[str, object] = {**asdict(entry), "error": errors.get(entry.url, "")}
            if (fetched := self.done.get(entry.url)) is not None:
                row |= {**asdict(fetched), "source_url": fetched.source, "error": ""}
            elif not row["error"]:
                row["error"] = "not downloaded yet; give the same command again"
            rows.append([str(row.get(name, "")) for name in COLUMNS])
        path = self.folder / TABLE
        write_text(path, csv_text(pd.DataFrame(rows, columns=list(COLUMNS))))
        return path

    def _read(self) -> dict[str, Fetched]:
        """Return what the journal names and is still there with its size; a line that a kill cut is left out."""
        found: dict[str, Fetched] = {}
        if not self._journal.is_file():
            return found
        for line in self._journal.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                fetched = Fetched(**json.loads(line))
                whole = (self.folder / fetched.file).stat().st_size == fetched.bytes
            except (ValueError, TypeError, OSError):
                continue
            if whole:
                found[fetched.url] = fetched
        return found
