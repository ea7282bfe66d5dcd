"""What Prometheus can ask the service."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import generate_latest


class Metrics:
    """Counters of one service.

    Attributes:
        requests: by path and status.
        seconds: time of an answer, by path.
        specimens: by outcome, answered or failed.
        batch: specimens that the model answered at once.
        taken: specimens that are being worked on.
    """

    MEDIA_TYPE = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter("bioautoml_requests", "Requests.", ("path", "status"), registry=self.registry)
        self.seconds = Histogram("bioautoml_request_seconds", "Time of an answer.", ("path",), registry=self.registry)
        self.specimens = Counter("bioautoml_specimens", "Specimens.", ("outcome",), registry=self.registry)
        self.batch = Histogram(
            "bioautoml_batch_specimens", "Specimens in one call of the model.", buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )  # fmt: skip
        self.taken = Gauge("bioautoml_specimens_in_work", "Specimens being worked on.", registry=self.registry)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)
