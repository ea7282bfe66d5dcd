"""Places elsewhere: a path that is a URL, of any kind that fsspec reads (s3, gs, http, ssh, ...).

A `RemotePath` answers what a path of this machine does (`/`, `is_file`, `glob`, `stat`), but asks the host. Whoever
opens it gets a copy in the user's cache, which is fetched again when the file there has changed. Images are read
without copies, see `data.remote_images`. Credentials stand where the protocol's own package looks for them.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import random
import re
import shutil
import stat
import time
from collections.abc import Callable, Generator
from pathlib import Path, PosixPath
from typing import IO, Any, NamedTuple, TypeVar
from urllib.parse import quote, urlsplit

from .atomic import replacing
from .errors import DataError

URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
EXTRAS = {
    "http": "http", "https": "http", "s3": "s3", "gs": "gs", "gcs": "gs", "ssh": "ssh", "sftp": "ssh", "memory": None,
}  # fmt: skip
"""Kinds of URLs that are read, and the extra that brings the package for them."""
WEB = ("http", "https")
"""Kinds that know neither folders nor credentials."""
CUT_SHORT = ("ContentLengthError", "TransferEncodingError")
"""Errors of aiohttp for an answer that is not whole."""
MARKS = (
    "ETag", "etag", "md5Hash", "Content-MD5", "mtime", "LastModified", "Last-Modified", "modified", "updated",
    "created",
)  # fmt: skip
"""What filesystems call the fact that tells one content of a file from the next; the surest first."""

ATTEMPTS = 4
BACK_OFF = 0.5
"""Seconds before the second attempt; doubled before each further one."""
STALL_SECONDS = 30.0
"""After which a web server that sends nothing is given up."""
TRUSTED_SECONDS = 60.0
"""For which a copy is taken as it is, without asking whether the file has changed."""

T = TypeVar("T")
_copies: dict[str, tuple[float, str]] = {}


class Stamp(NamedTuple):
    """What tells one content of a file from another: its size, -1 where the host does not say, and a number made of its
    ETag or date, 0 without one."""

    size: int
    mark: int


class RemoteError(OSError):
    """A file that could not be fetched for a reason that may pass."""


class RefusedError(PermissionError):
    """A file that the host does not let us read."""


class RemotePath(PosixPath):
    """A path below a URL."""

    __slots__ = ()

    def __str__(self) -> str:
        scheme, mark, rest = super().__str__().partition(":")
        return f"{scheme}:/{rest or '/'}" if mark and scheme in EXTRAS else super().__str__()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __fspath__(self) -> str:
        return local_copy(self)

    @property
    def kind(self) -> str:
        """The URL's scheme."""
        return self.parts[0].rstrip(":")

    def target(self) -> tuple[Any, str]:
        """Return the filesystem, and what it calls this place.

        Raises:
            DataError: if the package for this kind of URL is missing.
        """
        return filesystem(self)

    def is_absolute(self) -> bool:
        return True

    def resolve(self, strict: bool = False) -> RemotePath:
        return self

    def absolute(self) -> RemotePath:
        return self

    def expanduser(self) -> RemotePath:
        return self

    def is_symlink(self) -> bool:
        return False

    def samefile(self, other_path: Any) -> bool:
        return self == other_path

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        try:
            return stat.S_ISREG(self.stat().st_mode)
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        if self.kind in WEB and not self.suffix:
            return True  # the web has no folders: what lies below may be there
        fs, path = self.target()
        return bool(asked(str(self), lambda: fs.isdir(path)))

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Return size and, as time of modification, the `Stamp`'s mark.

        Raises:
            FileNotFoundError: if there is nothing of this name.
            DataError: if the host cannot be reached, or does not let us look.
        """
        fs, path = self.target()
        info = asked(str(self), lambda: fs.info(path))
        folder = info.get("type") == "directory" or str(info.get("url", "")).endswith("/")
        found = stamp_of(info)
        mode = stat.S_IFDIR if folder else stat.S_IFREG
        return os.stat_result(
            (mode | 0o444, 0, 0, 1, 0, 0, max(found.size, 0), 0, found.mark // 10**9, 0), {"st_mtime_ns": found.mark}
        )

    def iterdir(self) -> Generator[RemotePath, None, None]:
        fs, path = self.target()
        for entry in sorted(asked(str(self), lambda: fs.ls(path, detail=False)), key=str):
            name = str(entry).rstrip("/").rpartition("/")[2]
            if name:
                yield self / name

    def glob(self, pattern: str) -> Generator[RemotePath, None, None]:
        """Yield files in this very folder whose names fit a pattern; a name without wildcards is not listed for."""
        if not any(letter in pattern for letter in "*?["):
            yield from [self / pattern] if (self / pattern).is_file() else []
            return
        yield from (path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, pattern))

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        raise OSError("a URL is only read")


def is_url(text: str) -> bool:
    """Whether a text is a URL and no path of this machine.

    Example:
        >>> is_url('s3://traps/2026'), is_url('C:/traps/2026')
        (True, False)
    """
    return URL.match(text) is not None


def without_password(text: str) -> str:
    """Return a text without the passwords of the URLs in it.

    Example:
        >>> without_password('ssh://ana:secret@host/traps')
        'ssh://...@host/traps'
    """
    return re.sub(r"://[^/@\s]*:[^/@\s]*@", "://...@", text)


def place(text: str | Path) -> Path:
    """Return the path that a text means: a `RemotePath` for a URL.

    Raises:
        ValueError: for a URL of a kind that is not read, with a password in it, or with ``..``.
    """
    if isinstance(text, Path) or (found := URL.match(text)) is None:
        return Path(text)
    kind, _, rest = text.partition("://")
    if kind.lower() not in EXTRAS:
        kinds = ", ".join(f"{name}://" for name in EXTRAS)
        raise ValueError(
            f"{found[1]}:// is not a kind of URL that is read; use {kinds}, or a folder of this machine as it is"
        )
    if "@" in rest.partition("/")[0] and ":" in rest.partition("@")[0]:
        raise ValueError("the URL holds a password, which would stand in every run; put it where its package looks")
    if ".." in rest.split("/"):
        raise ValueError("the URL holds '..'; write where the data lie")
    return RemotePath(f"{kind.lower()}://{rest}")


def joined(root: Path, name: str) -> Path:
    """Return a place below a root, or the place itself where the name is a URL.

    Raises:
        DataError: for a URL that cannot be read.
    """
    try:
        return place(name) if is_url(name) else root / name
    except ValueError as error:
        raise DataError(f"{without_password(name)}: {error}.") from error


def streamed(path: Path) -> IO[bytes]:
    """Open a file for reading in pieces, without a copy of it."""
    if not isinstance(path, RemotePath):
        return path.open("rb")
    fs, inner = path.target()
    opened: IO[bytes] = asked(str(path), lambda: fs.open(inner, "rb"))
    return opened


def filesystem(path: RemotePath) -> tuple[Any, str]:
    """Return fsspec's filesystem of a URL, which may be another one after a fork, and the name of the place in it."""
    options: dict[str, Any] = {}
    extra = EXTRAS[path.kind]
    try:
        import fsspec

        if path.kind in WEB:
            import aiohttp

            seconds = aiohttp.ClientTimeout(total=None, sock_connect=STALL_SECONDS, sock_read=STALL_SECONDS)
            options = {"client_kwargs": {"timeout": seconds}, "encoded": True}
        if path.kind in (*WEB, "s3", "gs", "gcs"):
            options["use_listings_cache"] = False
        fs, inner = fsspec.url_to_fs(encoded(path), **options)
    except ImportError as error:
        raise DataError(
            f"{path}: {path.kind}:// needs a package that is not installed; install it with "
            f"pip install 'bioautoml-nni[{extra}]'."
        ) from error
    except Exception as error:  # an SSH host is connected to at once
        raise _sentence(str(path), explained(error)) from error
    return fs, inner


def encoded(path: RemotePath, name: str = "") -> str:
    """Return the URL of a path, or of a name below it, as it is sent: a web server's names are quoted."""
    url = str(path)
    if path.kind not in WEB:
        return f"{url.rstrip('/')}/{name}" if name else url
    parts = urlsplit(url)
    base = f"{parts.scheme}://{parts.netloc}" + quote(url.partition(parts.netloc)[2], safe="/%")
    return f"{base.rstrip('/')}/{quote(name, safe='/')}" if name else base


def stamp_of(info: dict[str, Any]) -> Stamp:
    """Return the stamp of what a filesystem says of a file."""
    size = info.get("size")
    said = next((str(info[key]) for key in MARKS if info.get(key)), "")
    mark = int.from_bytes(hashlib.blake2b(said.encode(), digest_size=7).digest(), "big") if said else 0
    return Stamp(-1 if size is None else int(size), mark)


def explained(error: BaseException) -> OSError:
    """Return what an error of a filesystem, or the one behind it, means: missing, refused, or what may pass."""
    causes = [error]
    while (behind := causes[-1].__cause__) is not None:
        causes.append(behind)
    for cause in reversed(causes):
        status = _status(cause)
        if status in (404, 410):
            return FileNotFoundError(str(error))
        if status in (401, 403) or isinstance(cause, PermissionError) or "Credentials" in type(cause).__name__:
            return RefusedError(_said(cause))
    if isinstance(causes[-1], FileNotFoundError):
        return FileNotFoundError(str(error))
    return RemoteError(_said(causes[-1]))


def _status(error: BaseException) -> int | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) or None
    status = getattr(error, "status", None) or getattr(error, "code", None)
    return status if isinstance(status, int) else None


def _said(error: BaseException) -> str:
    status, message, name = _status(error), getattr(error, "message", ""), type(error).__name__
    said = f"status {status}{f' {message}' if message else ''}" if status else str(error)
    if name in CUT_SHORT:  # whose status is none that the server gave
        said = f"the answer ended early: {message or error}"
    return " ".join(said.split()).rstrip(".") or ("no answer in time" if "Timeout" in name else name)


def attempted(action: Callable[[], T]) -> T:
    """Return what an action gives, tried again with growing pauses where what hinders it may pass.

    Raises:
        FileNotFoundError: at once, for what is not there.
        RefusedError: at once, for what may not be read.
        RemoteError: after the last attempt.
    """
    for number in range(1, ATTEMPTS + 1):
        try:
            return action()
        except Exception as error:
            meaning = explained(error)
            if not isinstance(meaning, RemoteError) or number == ATTEMPTS:
                raise meaning from error
            time.sleep(BACK_OFF * 2 ** (number - 1) * random.uniform(0.5, 1.0))  # so that readers do not return as one
    raise AssertionError("ATTEMPTS is positive")


def asked(url: str, action: Callable[[], T]) -> T:
    """Return what an action gives; see `attempted`.

    Raises:
        FileNotFoundError: for what is not there.
        DataError: in a sentence, for a host that cannot be reached or does not let us read.
    """
    try:
        return attempted(action)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _sentence(url, error) from error


def _sentence(url: str, error: OSError) -> DataError:
    if isinstance(error, RefusedError):
        way_out = "give credentials where its package looks for them"
        if urlsplit(url).scheme in WEB:
            way_out = "give an address that needs no login, or a copy on this machine"
        return DataError(f"{url}: may not be read ({error}); {way_out}.")
    return DataError(
        f"{url}: cannot be read ({error}) in {ATTEMPTS} attempts; check the address and the network. What has arrived "
        "is kept, and the same command goes on."
    )


def local_copy(path: RemotePath) -> str:
    """Return the path of a whole and present copy of a file, fetched if there is none.

    Raises:
        FileNotFoundError: if there is no such file.
        DataError: if it cannot be fetched whole.
    """
    url = str(path)
    known = _copies.get(url)
    if known is not None and time.monotonic() - known[0] < TRUSTED_SECONDS and os.path.isfile(known[1]):
        return known[1]
    fs, inner = path.target()
    found = stamp_of(asked(url, lambda: fs.info(inner)))
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bioautoml-nni" / "remote"
    folder = caches / hashlib.blake2b(url.encode(), digest_size=10).hexdigest()
    version = folder / f"{found.size}-{found.mark:x}"
    copy = version / path.name
    if not copy.is_file() or not found.mark:

        def fetch() -> None:
            with replacing(copy) as temporary:
                fs.get_file(inner, str(temporary))
                size = temporary.stat().st_size
                if found.size >= 0 and size != found.size:
                    raise RemoteError(f"{size:,} bytes came of {found.size:,}")

        asked(url, fetch)
        for other in folder.iterdir():
            if other != version:
                shutil.rmtree(other, ignore_errors=True)
    _copies[url] = (time.monotonic(), str(copy))
    return str(copy)
