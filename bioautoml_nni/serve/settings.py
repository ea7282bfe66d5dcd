"""What the service allows itself and others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Limits of the service.

    Attributes:
        allowed_hosts: names that the service itself may be asked under (the Host header); "*" for any.
        image_hosts: hosts from which images may be fetched by URL; none by default. ``*.example.org`` stands for all
            hosts below example.org, ``*`` for every one.
        address: of this service in the local network, for its page; None where it listens on this machine alone.
        private_addresses: also fetch from addresses that are not public, such as a store in the same network.
        fetch_seconds: most seconds for one image by URL.
        image_bytes: most bytes of one image.
        request_bytes: most bytes of one request.
        images: most images of one request.
        queue: most specimens that are being worked on; further requests are asked to come back.
        batch: most specimens that the model answers at once.
        wait_ms: how long an incomplete batch waits for more.
    """

    allowed_hosts: tuple[str, ...] = ("localhost", "127.0.0.1")
    image_hosts: tuple[str, ...] = ()
    address: str | None = None
    private_addresses: bool = False
    fetch_seconds: float = 10.0
    image_bytes: int = 20_000_000
    request_bytes: int = 64_000_000
    images: int = 64
    queue: int = 256
    batch: int = 32
    wait_ms: float = 4.0
