"""evaluation/speed.json: how long one answer takes; apart from the metrics, which a run made again has alike."""

from __future__ import annotations

from ._base import Artifact


class Speed(Artifact):
    """The file.

    Attributes:
        latency_ms: of one specimen on the machine that evaluated the run.
        threads: of the CPU.

    >>> Speed(latency_ms=4.2, threads=1).record()
    {'latency_ms': 4.2, 'threads': 1}
    """

    latency_ms: float
    threads: int
