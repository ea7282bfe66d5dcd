"""Progress of the pass in which an encoder looks at all images of a run for the first time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from ..utils.progress import duration, make_progress

WORTH_TELLING = 20.0
"""Seconds that a pass may take before its length is told."""


@contextmanager
def first_pass(reference: str, images: int, console: Console) -> Iterator[Callable[[int], None]]:
    """Show a bar and, once the speed is known, about how long a pass will take; give what counts images that are done.

    Args:
        reference: of the encoder.
        images: of all.
    """
    started, done, told = time.monotonic(), 0, False
    with make_progress(console) as progress:
        task = progress.add_task(f"features of {reference}", total=images, note="")

        def advance(count: int) -> None:
            nonlocal done, told, started
            progress.advance(task, count)
            if not done:  # what was there before says nothing of the speed
                started = time.monotonic() if count != images else started
            done += count
            left = (time.monotonic() - started) / max(1, done) * (images - done)
            if left > WORTH_TELLING and not told:
                told = True
                console.print(f"features of {reference}: about {duration(left)} for {images} images")

        yield advance
