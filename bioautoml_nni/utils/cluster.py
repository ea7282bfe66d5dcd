"""Shards of a piece of work on the machines of a Ray cluster, or on the cores of this one.

What a shard has done lies in a folder that all machines see, so that a worker that dies costs no more than what it had
not written yet. Its shard is started again here: Ray's own retries say nothing of it, and have no end where a machine
lacks memory.
"""

from __future__ import annotations

import io
import logging
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import IO, Any, TextIO, TypeVar

from rich.console import Console
from rich.markup import escape

from .._version import __version__
from .errors import BioAutoMLError, ClusterError, in_one_line, outside_cause, place_cause
from .progress import make_progress
from .quiet import quiet
from .seen import seen_by_all
from .shard import Shard

T = TypeVar("T")

LOCAL, AUTO = "local", "auto"
ADDRESS = re.compile(r"(?P<client>ray://)?(?P<host>\[[0-9a-fA-F:]+\]|[^\s:/@]+)(?::(?P<port>\d{1,5}))?")
CLIENT_PORT = 10001

RESTARTS = 3
"""Times that a shard is started again after the death of its worker."""

ANSWER_SECONDS = 10.0
"""In which a cluster has to answer; Ray itself takes two minutes."""

SEEN_SECONDS = 60.0
"""After which a network's file system shows what another machine has written."""

STORE_BYTES = 100_000_000
"""Of Ray's object store on this machine, which holds numbers of shards and what little is said of them."""

TELLING_THREAD = "ray_listen_error_messages"

LONGEST_TEMPORARY = 20
"""Letters of a temporary folder in which Ray's sockets have names that the system takes."""


class Cluster:
    """Machines that this process has joined.

    Attributes:
        cpus: of all machines.
        gpus: of all machines.
        machines: their number.
    """

    def __init__(self, ray: Any, address: str) -> None:
        self._ray = ray
        resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus = [int(has["CPU"]) for has in resources if has.get("CPU", 0) >= 1]
        if not cpus:
            raise ClusterError(f"--cluster {address}: has no machine with a CPU to spare; add one with `ray start`.")
        self.machines, self.cpus, self._fewest = len(cpus), sum(cpus), min(cpus)
        self.gpus = int(sum(has.get("GPU", 0) for has in resources))

    def cpus_each(self, count: int) -> int:
        """Return how many CPUs each of so many shards gets, wherever it runs."""
        return max(1, min(self._fewest, self.cpus // count))

    def run(
        self, work: str, task: Callable[[Shard], T], shards: Sequence[Shard], folder: Path, console: Console,
        cpus: int = 1, gpus: int = 0,
    ) -> list[T]:  # fmt: skip
        """Do a task for each shard, and return what it returned for each.

        Args:
            work: what is done, in a word or two.
            task: importable on all machines, with arguments that can be pickled; it may be called again for a shard
                whose worker has died.
            folder: that all machines must see.
            cpus: of each shard.
            gpus: of each shard.

        Raises:
            ClusterError: if some fail, with their reasons, after the others are done.
        """
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": 0}
        with seen_by_all(folder) as mark, make_progress(console) as progress:
            line = progress.add_task(work, total=len(shards), note="")

            def start(shard: Shard) -> Any:
                named = self._ray.remote(_attempt).options(name=f"shard {shard}", **options)
                return named.remote(task, shard, __version__, mark)

            done, failed = self._follow(start, shards, lambda: progress.advance(line), console)
        if failed:
            raise ClusterError(_failure(work, failed, len(shards)))
        return [done[shard] for shard in shards]

    def _follow(
        self, start: Callable[[Shard], Any], shards: Sequence[Shard], ended: Callable[[], None], console: Console
    ) -> tuple[dict[Shard, Any], dict[Shard, str]]:
        """Return results and reasons of failures, once all shards have ended one way or the other."""
        done: dict[Shard, Any] = {}
        failed: dict[Shard, str] = {}
        deaths: Counter[Shard] = Counter()
        running = {start(shard): shard for shard in shards}
        try:
            while running:
                (first, *_), _ = self._ray.wait(list(running), num_returns=1)
                shard = running.pop(first)
                result, reason, died = self._result(first)
                deaths[shard] += died
                if died and deaths[shard] <= RESTARTS:
                    told = f"shard {shard}: {reason}; it is started again ({deaths[shard]} of {RESTARTS})."
                    console.print(f"[yellow]note:[/] {escape(told)}", highlight=False, soft_wrap=True)
                    running[start(shard)] = shard
                    continue
                if reason is None:
                    done[shard] = result
                else:
                    failed[shard] = f"{reason}, {deaths[shard]} times" if deaths[shard] > 1 and died else reason
                ended()
        finally:
            for left in running:  # interrupted: workers of a cluster that goes on must not
                with suppress(Exception):
                    self._ray.cancel(left, force=True)
        return done, failed

    def _result(self, finished: Any) -> tuple[Any, str | None, bool]:
        """Return what a task returned or why it failed, and whether that is since its worker died."""
        errors = self._ray.exceptions
        try:
            return *self._ray.get(finished), False
        except errors.OutOfMemoryError:
            return None, "its worker was stopped, since its machine ran out of memory", True
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:  # before our function could run
            return (
                None,
                f"cannot start there; all machines need bioautoml-nni {__version__} ({_last_line(error)})",
                False,
            )
        except (errors.WorkerCrashedError, errors.LocalRayletDiedError):
            return None, "its worker was killed or crashed", True
        except (errors.NodeDiedError, errors.ObjectLostError):
            return None, "its machine was lost", True
        except errors.RayError as error:
            return None, _last_line(error), True


@contextmanager
def joined(address: str) -> Iterator[Cluster]:
    """Join a running cluster, or start one of this machine's cores that ends with the block.

    Args:
        address: ``local``, ``auto`` for what runs on this machine or RAY_ADDRESS names, HOST:PORT or ray://HOST:PORT.

    Raises:
        ClusterError: if there is no such cluster, or it is of other versions.
    """
    with ExitStack() as stack:
        own = stack.enter_context(_own_settings()) if address == LOCAL else None
        ray = _import_ray()
        if ray.is_initialized():
            raise ClusterError(f"--cluster {address}: this process has joined a Ray cluster already.")
        settings = {"address": _answering(address)} if own is None else own
        stack.enter_context(redirect_stdout(_WithoutRay(sys.stdout)))
        stack.callback(ray.shutdown)
        with tempfile.TemporaryFile() as heard:
            try:
                with _errors_into(heard):
                    ray.init(**settings, log_to_driver=False, logging_level=logging.ERROR)
            except (Exception, SystemExit) as error:  # Ray exits where it gives up
                heard.seek(0)
                token = b"InvalidAuthToken" in heard.read() or isinstance(error, ray.exceptions.AuthenticationError)
                told = "; RAY_AUTH_TOKEN must be the cluster's token, see `ray get-auth-token`" if token else ""
                raise ClusterError(f"--cluster {address}: Ray says: {_last_line(error)}{told}") from error
        yield Cluster(ray, address)


@contextmanager
def _errors_into(file: IO[bytes]) -> Iterator[None]:
    """Let what Ray's libraries write to the process's error output go into a file: the exception comes after it."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class _WithoutRay(io.TextIOBase):
    """An output without what Ray's own thread prints of workers that died, which is said in a sentence here."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text, unless Ray's thread does."""
        return len(text) if threading.current_thread().name == TELLING_THREAD else self._stream.write(text)

    def flush(self) -> None:
        """Flush the output."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether the output is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the output's own number."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the output."""
        return self._stream.encoding


def _import_ray() -> Any:
    """Return Ray, which reports nothing of its use to its makers.

    Raises:
        ClusterError: if it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise ClusterError(
            "--cluster: needs Ray; install it with pip install 'bioautoml-nni[cluster]', or share the work without it "
            "by --shard."
        ) from error
    return ray


@contextmanager
def _own_settings() -> Iterator[dict[str, Any]]:
    """Give what a Ray of this machine is started with, that only this process can use and that leaves nothing."""
    short = len(tempfile.gettempdir()) <= LONGEST_TEMPORARY
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir=None if short else "/tmp"))
    changes = {"RAY_worker_niceness": "0"}  # of our own work; Ray's is 15
    if not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"} & set(os.environ) and "ray" not in sys.modules:  # read at its import
        changes |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    changes = {name: value for name, value in changes.items() if name not in os.environ}
    os.environ.update(changes)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    try:
        yield {
            "address": LOCAL, "num_cpus": cores, "include_dashboard": False, "object_store_memory": STORE_BYTES,
            "_temp_dir": str(folder),
        }  # fmt: skip
    finally:
        for name in changes:
            os.environ.pop(name, None)
        for _ in range(50):  # its last processes write until they end
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(0.1)


def _answering(address: str) -> str:
    """Return an address at which Ray can be asked.

    Raises:
        ClusterError: if it is none, or nothing answers there.
    """
    named = address if address != AUTO else os.environ.get("RAY_ADDRESS") or _latest() or AUTO
    if named == AUTO:
        return AUTO
    found = ADDRESS.fullmatch(named)
    if found is None or not (found["client"] or found["port"]):
        raise ClusterError(f"--cluster {address}: write local, auto, HOST:6379 or ray://HOST:10001 (found {named!r}).")
    host, port = found["host"].strip("[]"), int(found["port"] or CLIENT_PORT)
    try:
        socket.create_connection((host, port), ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or error
        raise ClusterError(
            f"--cluster {address}: nothing answers at {host}:{port} ({told}); start Ray there with `ray start --head`, "
            "or use --cluster local."
        ) from None
    if os.environ.get("RAY_USE_TLS", "0") in ("", "0") and not _speaks_grpc(f"{found['host']}:{port}"):
        raise ClusterError(
            f"--cluster {address}: what answers at {host}:{port} is not Ray; name the port of `ray start`."
        )
    return named


def _latest() -> str | None:
    """Return the address of the cluster that was started last on this machine, where Ray notes it."""
    try:
        return Path(tempfile.gettempdir(), "ray", "ray_current_cluster").read_text(encoding="utf-8").strip() or None
    except (OSError, ValueError):
        return None


def _speaks_grpc(place: str) -> bool:
    """Whether a server speaks Ray's protocol; where that cannot be asked, Ray is to find out."""
    try:
        import grpc
    except ImportError:
        return True
    with grpc.insecure_channel(place) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=ANSWER_SECONDS)
        except grpc.FutureTimeoutError:
            return False
    return True


def _attempt(task: Callable[[Shard], T], shard: Shard, version: str, mark: Path) -> tuple[T | None, str | None]:
    """Do a shard in a worker; return the result, or the reason why there is none."""
    quiet()
    machine = socket.gethostname()
    if version != __version__:
        return None, f"{machine} has bioautoml-nni {__version__}, the command {version}; install the same everywhere"
    until = time.monotonic() + SEEN_SECONDS
    while not mark.exists():
        if time.monotonic() > until:
            return None, f"{machine} does not see {mark.parent} as the command does; all machines must share it"
        time.sleep(0.5)
    try:
        return task(shard), None
    except BioAutoMLError as error:
        return None, str(error)
    except Exception as error:
        return None, outside_cause(error) or place_cause(error) or f"{type(error).__name__}: {in_one_line(error)}"


def _failure(work: str, failed: dict[Shard, str], count: int) -> str:
    """Return one sentence for each reason, with its shards."""
    alike: dict[str, list[str]] = {}
    for shard, reason in failed.items():
        alike.setdefault(reason.removeprefix(f"--shard {shard}: "), []).append(str(shard))
    told = "; ".join(
        f"{', '.join(shards[:4])}{f' and {len(shards) - 4} more' if len(shards) > 4 else ''}: {reason.rstrip('.')}"
        for reason, shards in alike.items()
    )
    return (
        f"{work}: {len(failed)} of {count} shards failed. {told}. What is done is kept: mend that and give the same "
        "command again."
    )


def _last_line(error: BaseException) -> str:
    """Return what an error of Ray says, without the traceback of another process before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return in_one_line(error)
    return " ".join((lines[-1] if "Traceback" in str(error) else " ".join(lines)).split())[:300]
