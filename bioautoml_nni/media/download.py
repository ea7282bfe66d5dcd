"""Downloads images: every host at its pace, with attempts that wait longer each time and go on where they stopped."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from ._base import Fetched, Limits, Refused, TryAgain, Wanted
from .answer import require_image, validator_of
from .arrived import examine_file
from .folder import MediaStore, Part
from .listing import host_of, is_among
from .web import Web

LONGEST_BACK_OFF = 60.0


@dataclass
class Outcome:
    """What came of a download.

    Attributes:
        table: file with a row for each image of each occurrence.
        there: files that were there before.
        fetched: files that came now.
        errors: why a URL has no file.
    """

    table: Path
    there: int = 0
    fetched: int = 0
    errors: dict[str, str] = field(default_factory=dict)


class _Full(Exception):
    """The folder has reached its limit."""


def download(
    wanted: Sequence[Wanted],
    hosts: Sequence[str],
    folder: Path,
    limits: Limits,
    tell: Callable[[int], None] = lambda bytes: None,
) -> Outcome:
    """Download images into a folder and write its table, also when it is stopped; what is there is not asked for again.

    Args:
        wanted: images that an archive lists.
        hosts: names or patterns of hosts that may be asked.
        tell: called after each URL that is settled with the bytes that came.

    Raises:
        DataError: if another process downloads into the folder.
    """
    store = MediaStore(folder)
    try:
        work = _Download(store, hosts, limits, tell)
        urls = list(dict.fromkeys(entry.url for entry in wanted))
        there = sum(url in store.done for url in urls)
        try:
            asyncio.run(work.all([url for url in urls if url not in store.done]))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from group
        finally:
            table = store.write_table(wanted, work.errors)
        return Outcome(table, there, sum(url in store.done for url in urls) - there, work.errors)
    finally:
        store.close()


class _Download:
    def __init__(self, store: MediaStore, hosts: Sequence[str], limits: Limits, tell: Callable[[int], None]) -> None:
        self.store = store
        self.hosts = hosts
        self.limits = limits
        self.tell = tell
        self.errors: dict[str, str] = {}
        self.total = store.bytes()
        self.failed_in_row: dict[str, int] = defaultdict(int)
        self.full = False

    async def all(self, urls: Sequence[str]) -> None:
        queues: dict[str, deque[str]] = defaultdict(deque)
        for url in urls:
            host = host_of(url)
            if is_among(host, self.hosts):
                queues[host].append(url)
            else:
                named = f"host {host!r} is not confirmed; --host {host} permits it"
                self._give_up(url, named if host else "the URL cannot be read")
        async with Web(self.hosts, self.limits) as web, asyncio.TaskGroup() as group:
            for host, queue in queues.items():
                for _ in range(min(self.limits.connections, len(queue))):
                    group.create_task(self._work(web, host, queue))

    async def _work(self, web: Web, host: str, queue: deque[str]) -> None:
        while queue:
            url = queue.popleft()
            if self.full:
                self._give_up(url, f"the limit of {self.limits.total_bytes / 1e9:g} GB is reached (--total-gigabytes)")
            elif self.failed_in_row[host] >= self.limits.host_failures:
                self._give_up(url, f"host {host!r} failed for {self.limits.host_failures} files in a row; try later")
            else:
                await self._one(web, host, url)

    async def _one(self, web: Web, host: str, url: str) -> None:
        try:
            fetched = await self._with_attempts(web, host, url)
        except Refused as error:
            self.failed_in_row[host] = 0
            self.store.part(url).remove()
            self._give_up(url, str(error))
        except TryAgain as error:
            self.failed_in_row[host] += 1
            self._give_up(url, f"{error}; {self.limits.attempts} attempts")
        except _Full:
            self.full = True
            self.store.part(url).remove()
            self._give_up(url, f"the limit of {self.limits.total_bytes / 1e9:g} GB is reached (--total-gigabytes)")
        else:
            self.failed_in_row[host] = 0
            self.tell(fetched.bytes)

    async def _with_attempts(self, web: Web, host: str, url: str) -> Fetched:
        part = self.store.part(url)
        for attempt in range(1, self.limits.attempts + 1):
            try:
                return await self._attempt(web, url, part)
            except TryAgain as error:
                if error.restart:
                    part.remove()
                if attempt == self.limits.attempts:
                    raise
                if error.wait is not None:
                    web.pace(host).pause(error.wait)
                else:
                    pause = min(self.limits.back_off * 2 ** (attempt - 1), LONGEST_BACK_OFF)
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # so that workers do not come back together
        raise AssertionError("attempts is positive")

    async def _attempt(self, web: Web, url: str, part: Part) -> Fetched:
        begun, validator = part.start()
        headers = {"Range": f"bytes={begun}-", "If-Range": validator} if validator else {}
        async with web.get(url, headers) as (response, source):
            start, total = require_image(response, begun, self.limits)
            if start == 0:
                part.begin(validator_of(response))
            try:
                async with asyncio.timeout(self.limits.file_seconds):
                    size = await self._receive(response, part, start)
            except TimeoutError as error:
                raise TryAgain(f"it took longer than {self.limits.file_seconds:g} seconds") from error
            except httpx.HTTPError as error:
                raise TryAgain(f"the transfer broke off ({str(error) or type(error).__name__})") from error
        if total is not None and size != total:
            raise TryAgain(f"{size:,} bytes came of {total:,}", restart=size > total)
        arrived = await asyncio.to_thread(examine_file, part.path)
        if self.total + arrived.bytes > self.limits.total_bytes:
            raise _Full
        file = self.store.name(url, arrived.suffix)
        part.finish(self.store.folder / file)
        fetched = Fetched(url, file, source, arrived.sha256, arrived.bytes, arrived.width, arrived.height)
        self.store.add(fetched)
        self.total += arrived.bytes
        return fetched

    async def _receive(self, response: httpx.Response, part: Part, start: int) -> int:
        """Append a body to its part; return how many bytes are there then."""
        size = start
        with part.path.open("ab") as file:
            async for chunk in response.aiter_raw():
                size += len(chunk)
                if size > self.limits.file_bytes:
                    raise Refused(f"it has more than {self.limits.file_bytes:,} bytes (--file-megabytes)")
                if self.total + size > self.limits.total_bytes:
                    raise _Full
                file.write(chunk)
        return size

    def _give_up(self, url: str, reason: str) -> None:
        self.errors[url] = reason
        self.tell(0)
