"""Places elsewhere: a path that is a URL, of any kind that fsspec reads (s3, gs, http, ssh, ...).

A `RemotePath` answers what a path of this machine does (`/`, `is_file`, `glob`, `stat`), but asks the host. Whoever
opens it gets a copy in the user's cache, which is fetched again when the file there has changed. Images are read
without copies, see `data.remote_images`. Credentials stand where the protocol's own package looks for them.
"""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import random
import re
import shutil
import stat
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path, PosixPath
from typing import IO, Any, NamedTuple, TypeVar, cast
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
FILES = frozenset(
    (".csv", ".tsv", ".tab", ".txt", ".parquet", ".feather", ".xlsx", ".xlsm", ".xlsb", ".xls", ".ods", ".json",
     ".jsonl", ".ndjson", ".sqlite", ".sqlite3", ".db", ".xml", ".yml", ".yaml", ".html", ".htm", ".pdf",
     ".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz", ".7z", ".rar",
     ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".mpo", ".avif", ".jp2",
     ".heic", ".heif", ".hif")
)  # fmt: skip
"""Suffixes of tables, archives and images; what is called otherwise on the web is taken for a folder."""
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

PIECE = 8 * 2**20
"""Bytes of a large file that are fetched, and kept, at a time."""

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


class UnlistedError(DataError):
    """A folder whose host does not say what lies in it."""


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
        return self._is_folder_of_the_web() or self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        try:
            return stat.S_ISREG(self.stat().st_mode)
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        if self._is_folder_of_the_web():
            return True
        fs, path = self.target()
        return bool(asked(str(self), lambda: fs.isdir(path)))

    def _is_folder_of_the_web(self) -> bool:
        """Whether this is a bare host, or called as no file is: the web has no folders, so that it may hold some."""
        return self.kind in WEB and (len(self.parts) < 3 or self.suffix.lower() not in FILES)

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
        """Yield what lies in this folder.

        Raises:
            UnlistedError: if the host does not list it.
            DataError: if the host cannot be reached.
        """
        fs, path = self.target()
        try:
            entries = attempted(lambda: fs.ls(path, detail=False))
        except (FileNotFoundError, RefusedError) as error:
            raise UnlistedError(f"{self}: cannot be listed; name the files in it.") from error
        except OSError as error:
            raise _sentence(str(self), error) from error
        for entry in sorted(entries, key=str):
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


def without_secrets(text: str) -> str:
    """Return a text without the passwords of the URLs in it, and without the query of one on the web.

    Example:
        >>> without_secrets('ssh://ana:secret@host/traps'), without_secrets('https://host/traps.csv?sig=secret')
        ('ssh://...@host/traps', 'https://host/traps.csv?...')
    """
    text = re.sub(r"://[^/@\s]*:[^/@\s]*@", "://...@", text)
    return re.sub(r"(https?://[^?]*\?).*", r"\1...", text, flags=re.IGNORECASE | re.DOTALL)


def place(text: str | Path) -> Path:
    """Return the path that a text means: a `RemotePath` for a URL.

    Raises:
        ValueError: for a URL of a kind that is not read, with a password or a query in it, or with ``..``.
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
    if kind.lower() in WEB and "?" in rest:
        raise ValueError(
            "the URL holds a query (from the ? on), which may be a key and would stand in every run; leave it out if "
            "the address works without it, or download the file and give its place on this machine"
        )
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
        raise DataError(f"{without_secrets(name)}: {error}.") from error


class _Streamed(io.RawIOBase):
    """A file of a host that is read in pieces, each of which is asked for again where what hinders it may pass."""

    def __init__(self, url: str, file: Any) -> None:
        self._url = url
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("only places from the start are known")
        self._at = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        whole = getattr(self._file, "size", None)
        if whole is not None and self._at >= whole:
            return b""

        def piece() -> bytes:
            self._file.seek(self._at)
            data: bytes = self._file.read(size)
            return data

        data = asked(self._url, piece)
        self._at += len(data)
        return data

    def close(self) -> None:
        self._file.close()
        super().close()


def streamed(path: Path) -> IO[bytes]:
    """Open a file for reading in pieces, without a copy of it."""
    if not isinstance(path, RemotePath):
        return path.open("rb")
    fs, inner = path.target()
    return cast("IO[bytes]", _Streamed(str(path), asked(str(path), lambda: fs.open(inner, "rb"))))


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


def asked(url: str, action: Callable[[], T], kept: bool = False) -> T:
    """Return what an action gives; see `attempted`.

    Args:
        kept: whether what arrives before a failure is there for the next command.

    Raises:
        FileNotFoundError: for what is not there.
        DataError: in a sentence, for a host that cannot be reached or does not let us read.
    """
    try:
        return attempted(action)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _sentence(url, error, kept) from error


def _sentence(url: str, error: OSError, kept: bool = False) -> DataError:
    if isinstance(error, RefusedError):
        way_out = "give credentials where its package looks for them"
        if urlsplit(url).scheme in WEB:
            way_out = "give an address that needs no login, or a copy on this machine"
        return DataError(f"{url}: may not be read ({error}); {way_out}.")
    goes_on = " What has arrived is kept, and the same command goes on." if kept else ""
    return DataError(
        f"{url}: cannot be read ({error}) in {ATTEMPTS} attempts; check the address and the network.{goes_on}"
    )


def local_copy(path: RemotePath) -> str:
    """Return the path of a whole and present copy of a file, fetched if there is none.

    Of a large file each piece that has arrived is kept, where its host gives parts of files and tells one content of it
    from the next.

    Raises:
        FileNotFoundError: if there is no such file.
        DataError: if it cannot be fetched whole.
    """
    url = str(path)
    known = _copies.get(url)
    if known is not None and time.monotonic() - known[0] < TRUSTED_SECONDS and os.path.isfile(known[1]):
        return known[1]
    fs, inner = path.target()
    info = asked(url, lambda: fs.info(inner))
    found = stamp_of(info)
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bioautoml-nni" / "remote"
    folder = caches / hashlib.blake2b(url.encode(), digest_size=10).hexdigest()
    version = folder / f"{found.size}-{found.mark:x}"
    copy = version / path.name
    if not copy.is_file() or not found.mark:
        in_pieces = found.mark and found.size > PIECE and info.get("partial", True)
        if not in_pieces or not _fetch_pieces(path, copy, found):
            asked(url, lambda: _fetch_whole(fs, inner, copy, found.size))
        for other in folder.iterdir():
            if other != version:
                shutil.rmtree(other, ignore_errors=True)
    _copies[url] = (time.monotonic(), str(copy))
    return str(copy)


def _fetch_whole(fs: Any, inner: str, copy: Path, size: int) -> None:
    """Fetch a file from its first byte to its last.

    Raises:
        RemoteError: if it does not come whole.
    """
    with replacing(copy) as temporary:
        fs.get_file(inner, str(temporary))
        came = temporary.stat().st_size
        if size >= 0 and came != size:
            raise RemoteError(f"{came:,} bytes came of {size:,}")


def _fetch_pieces(path: RemotePath, copy: Path, found: Stamp) -> bool:
    """Fetch what a former command has not fetched of a file, and return whether its host gives parts of files.

    The unfinished copy lies in a folder of this very content. Of two processes that fetch the same file each writes the
    same bytes, from a place up to which all is there.

    Raises:
        DataError: if a piece cannot be fetched, or the file has changed meanwhile.
    """
    url, part = str(path), copy.with_name(f"{copy.name}.part")
    fs, inner = path.target()
    options = {"headers": {"Accept-Encoding": "identity"}, "size": found.size} if path.kind in WEB else {}
    part.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:  # never emptied: another may write
        while (have := file.seek(0, io.SEEK_END)) < found.size:
            length = min(PIECE, found.size - have)
            data = asked(url, partial(_piece, fs, inner, have, length, options), kept=True)
            if data is None:
                part.unlink(missing_ok=True)
                return False
            file.seek(have)
            file.write(data)
            file.flush()
        os.fsync(file.fileno())
    if stamp_of(asked(url, lambda: fs.info(inner))) != found:
        part.unlink(missing_ok=True)
        raise DataError(f"{url}: has changed while it was fetched; give the same command again.")
    try:
        part.replace(copy)
    except FileNotFoundError:
        if not copy.is_file():  # nor has another process finished it
            raise
    return True


def _piece(fs: Any, inner: str, start: int, length: int, options: dict[str, Any]) -> bytes | None:
    """Return some bytes of a file, None if its host gives no parts of files."""
    with fs.open(inner, "rb", cache_type="none", **options) as file:
        try:
            file.seek(start)
            data: bytes = file.read(length)
        except ValueError:
            return None
    if len(data) != length:
        raise RemoteError(f"{len(data):,} bytes came of {length:,}")
    return data
