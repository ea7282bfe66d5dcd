"""Images below a URL: looked at by their folders' listings, and read by many at once, without copies of files."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import unquote

from ..utils.errors import DataError
from ..utils.remote import ATTEMPTS, WEB, RefusedError, RemoteError, RemotePath, Stamp, attempted, encoded, stamp_of

READERS = 32
"""Requests at a time."""
LISTED = 20
"""Wanted files of a folder from which on it is listed, rather than each of them asked for."""
IN_A_ROW = 32
"""Failures in a row after which it is the host that fails and not a file."""
T = TypeVar("T")


class HostFailedError(DataError):
    """A host that fails for one file after the other."""


class RemoteImages:
    """Reads images below a URL.

    Args:
        root: the URL.
    """

    def __init__(self, root: RemotePath) -> None:
        self.root = root
        self._failed = 0
        self._lock = threading.Lock()

    def stamps(self, paths: Sequence[str]) -> dict[str, Stamp | None]:
        """Return what tells the content of each file from another, None for one that is not there or not readable.

        Raises:
            HostFailedError: if the host fails for many in a row.
        """
        found: dict[str, Stamp | None] = {}
        single: list[str] = []
        folders: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            folders[path.rpartition("/")[0]].append(path)
        many = {}
        for folder, names in folders.items():
            if self.root.kind in WEB or len(names) < LISTED:
                single += names
            else:
                many[folder] = names
        with ThreadPoolExecutor(READERS) as pool:
            for listing, names in zip(pool.map(self._listing, many), many.values(), strict=True):
                found |= {name: listing.get(name.rpartition("/")[2]) for name in names}
            found |= dict(zip(single, pool.map(self._stamp, single), strict=True))
        return found

    def read(self, path: str, member: tuple[int, int] | None = None, size: int = -1) -> bytes:
        """Return a file's bytes, or those of a member of a shard.

        Args:
            size: of the file, as the host said before; -1 where it did not.

        Raises:
            FileNotFoundError: if it is missing.
            OSError: if it cannot be read whole, saying why.
            HostFailedError: if the host fails for many in a row.
        """
        wanted = size if member is None else member[1]

        def fetch() -> bytes:
            fs, _ = self.root.target()
            place = fs._strip_protocol(encoded(self.root, path))
            start, end = (None, None) if member is None else (member[0], sum(member))
            data: bytes = fs.cat_file(place, start=start, end=end)
            if member is not None and len(data) > member[1]:  # a server that gives no parts of files
                data = data[member[0] : sum(member)]
            if wanted >= 0 and len(data) != wanted:
                raise RemoteError(f"{len(data):,} bytes came of {wanted:,}")
            return data

        return self._counted(fetch)

    def names(self) -> list[str]:
        """Return the paths of all files below the root, in order.

        Raises:
            DataError: if the host cannot be asked.
        """
        fs, base = self.root.target()
        try:
            found = attempted(lambda: fs.find(base))
        except OSError as error:
            raise DataError(f"{self.root}: cannot be listed ({error}); name a table of its images instead.") from error
        names = [str(name)[len(base) :].lstrip("/") for name in found]
        return sorted(unquote(name) if self.root.kind in WEB else name for name in names if name)

    def _listing(self, folder: str) -> dict[str, Stamp]:
        def fetch() -> list[dict[str, Any]]:
            fs, base = self.root.target()
            listed: list[dict[str, Any]] = fs.ls(f"{base.rstrip('/')}/{folder}".rstrip("/"), detail=True)
            return listed

        try:
            entries = self._counted(fetch)
        except OSError:
            return {}
        return {
            str(entry["name"]).rpartition("/")[2]: stamp_of(entry) for entry in entries if entry.get("type") == "file"
        }

    def _stamp(self, path: str) -> Stamp | None:
        def fetch() -> dict[str, Any]:
            fs, _ = self.root.target()
            info: dict[str, Any] = fs.info(fs._strip_protocol(encoded(self.root, path)))
            return info

        try:
            info = self._counted(fetch)
        except (OSError, ValueError):
            return None
        return stamp_of(info) if info.get("type") == "file" else None

    def _counted(self, action: Callable[[], T]) -> T:
        """Return what an action gives, and count failures in a row."""
        try:
            value = attempted(action)
        except FileNotFoundError:
            self._count(None)
            raise
        except RefusedError as error:
            self._count(error)
            raise OSError(f"the host does not let it be read ({error})") from error
        except RemoteError as error:
            self._count(error)
            raise OSError(f"could not be fetched ({error}); {ATTEMPTS} attempts") from error
        self._count(None)
        return value

    def _count(self, error: OSError | None) -> None:
        with self._lock:
            self._failed = 0 if error is None else self._failed + 1
            failed = self._failed
        if failed >= IN_A_ROW and error is not None:
            what = "does not let its files be read" if isinstance(error, RefusedError) else "cannot be read"
            raise HostFailedError(
                f"{self.root}: {what} ({error}), for {failed} files in a row; check the address, the network and your "
                "credentials. What has arrived is kept, and the same command goes on."
            ) from error


@lru_cache(maxsize=64)
def images_at(root: RemotePath) -> RemoteImages:
    """Return the reader of a URL's images, one for each URL, so that failures in a row are counted together."""
    return RemoteImages(root)


def require_names_below(root: RemotePath, paths: Iterable[str]) -> None:
    """Check that no name leads out of a URL.

    Raises:
        DataError: naming the first one that does.
    """
    for path in paths:
        if not stays_below(path):
            raise DataError(f"image path {path!r} leads outside the image root {root}; correct it in the table.")


def stays_below(name: str) -> bool:
    """Whether a name leads to a place below the folder that it is looked for in."""
    return not name.startswith("/") and ".." not in name.replace("\\", "/").split("/")
