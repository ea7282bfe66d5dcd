"""Specimens of several requests answered together, and no more of them at once than there is room for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np


class BusyError(Exception):
    """There is no room for this many specimens now."""


@dataclass
class _Waiting:
    inputs: dict[str, np.ndarray]
    answer: asyncio.Future[np.ndarray]


class CapacityLimiter:
    """Places for specimens; taken for as long as a request is being worked on.

    Args:
        size: how many places there are.
        changed: is told how many are taken.
    """

    def __init__(self, size: int, changed: Callable[[int], None] = lambda taken: None) -> None:
        self.size = size
        self.taken = 0
        self.changed = changed

    @contextmanager
    def slots(self, count: int) -> Iterator[None]:
        """Take places for the length of a `with` block.

        Raises:
            BusyError: if there are not enough left.
        """
        if self.taken + count > self.size:
            raise BusyError
        self._change(count)
        try:
            yield
        finally:
            self._change(-count)

    def _change(self, count: int) -> None:
        self.taken += count
        self.changed(self.taken)


class Batcher:
    """Collects specimens and has them answered in batches by one thread.

    Args:
        logits: from inputs by name, N rows each, to logits (N, K).
        batch: most specimens in one call.
        wait_seconds: how long an incomplete batch waits for more.
        answered: is told the size of each batch.
    """

    def __init__(
        self,
        logits: Callable[[dict[str, np.ndarray]], np.ndarray],
        batch: int,
        wait_seconds: float,
        answered: Callable[[int], None] = lambda size: None,
    ) -> None:
        self.logits = logits
        self.batch = batch
        self.wait_seconds = wait_seconds
        self.answered = answered
        self.queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self.thread = ThreadPoolExecutor(1, "model")
        self.loop: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Batcher:
        self.loop = asyncio.create_task(self._answer_forever())
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self.loop is not None
        self.loop.cancel()
        await asyncio.gather(self.loop, return_exceptions=True)
        self.thread.shutdown(wait=True)

    async def submit(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Return the logits (K,) of one specimen, whose inputs have one row each."""
        waiting = _Waiting(inputs, asyncio.get_running_loop().create_future())
        await self.queue.put(waiting)
        return await waiting.answer

    async def _answer_forever(self) -> None:
        while True:
            group = [await self.queue.get()]
            until = asyncio.get_running_loop().time() + self.wait_seconds
            while len(group) < self.batch:
                left = until - asyncio.get_running_loop().time()
                try:
                    # What waits already is taken without a pause.
                    group.append(
                        self.queue.get_nowait()
                        if self.queue.qsize()
                        else await asyncio.wait_for(self.queue.get(), left)
                    )
                except TimeoutError:
                    break
            await self._answer([entry for entry in group if not entry.answer.done()])  # a client may have gone

    async def _answer(self, group: list[_Waiting]) -> None:
        if not group:
            return
        inputs = {name: np.concatenate([entry.inputs[name] for entry in group]) for name in group[0].inputs}
        try:
            found = await asyncio.get_running_loop().run_in_executor(self.thread, self.logits, inputs)
        except Exception as error:  # whatever the model says of this batch must not end the service
            for entry in group:
                if not entry.answer.done():
                    entry.answer.set_exception(error)
            return
        self.answered(len(group))
        for entry, logits in zip(group, found, strict=True):
            if not entry.answer.done():
                entry.answer.set_result(logits)
