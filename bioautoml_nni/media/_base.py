"""What all of a download share: its limits, what is wanted, what came, and the two kinds of failure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a download allows itself and others.

    Attributes:
        file_bytes: most bytes of one file.
        total_bytes: most bytes of the whole folder.
        per_second: most requests a second to one host; robots.txt may ask for fewer.
        connections: most files at once from one host.
        attempts: how often a file is tried before it is given up.
        stall_seconds: longest time without a byte.
        file_seconds: longest time for one attempt.
        back_off: seconds before the second attempt; each further one waits twice as long.
        longest_wait: most seconds that a host may ask to wait (Retry-After, Crawl-delay).
        redirects: most of them behind one URL.
        host_failures: files in a row that a host may fail before it is given up.
        private_addresses: also connect to addresses that are not public.
        agent: what it calls itself.
    """

    file_bytes: int = 50_000_000
    total_bytes: int = 100_000_000_000
    per_second: float = 4.0
    connections: int = 4
    attempts: int = 5
    stall_seconds: float = 30.0
    file_seconds: float = 600.0
    back_off: float = 1.0
    longest_wait: float = 600.0
    redirects: int = 5
    host_failures: int = 20
    private_addresses: bool = False
    agent: str = "bioautoml-nni"


@dataclass(frozen=True)
class Wanted:
    """An image of an occurrence, as an archive lists it, with who holds the rights to it."""

    occurrence: str
    url: str
    licence: str = ""
    rights_holder: str = ""
    creator: str = ""


@dataclass(frozen=True)
class Fetched:
    """A file that came whole: its name below the folder, where it came from in the end, and what it is."""

    url: str
    file: str
    source: str
    sha256: str
    bytes: int
    width: int
    height: int


class Refused(Exception):
    """An image that will not be had, whatever is tried."""


class TryAgain(Exception):
    """An attempt that failed and may succeed later.

    Attributes:
        wait: seconds that the host asked for, None if it did not.
        restart: whether what came so far is of no use.
    """

    def __init__(self, reason: str, wait: float | None = None, restart: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.restart = restart
