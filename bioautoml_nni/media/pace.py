"""How fast a host is asked: one request after the other in even steps, and none while it asks to wait."""

from __future__ import annotations

import asyncio
import time


class Pace:
    """Spaces the requests to one host.

    Args:
        per_second: most requests a second.
    """

    def __init__(self, per_second: float) -> None:
        self.interval = 1 / per_second
        self._next = 0.0

    def slow_down(self, seconds: float) -> None:
        """Leave at least so many seconds between two requests."""
        self.interval = max(self.interval, seconds)

    def pause(self, seconds: float) -> None:
        """Ask nothing for so many seconds."""
        self._next = max(self._next, time.monotonic() + seconds)

    async def turn(self) -> None:
        """Wait until the next request may be sent."""
        while (wait := self._next - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        self._next = time.monotonic() + self.interval
