"""What every request passes: size, origin and host are checked, and the time is measured."""

from __future__ import annotations

import json
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..utils.addresses import parts_of
from .metrics import Metrics
from .settings import Settings

PATHS = ("/", "/card", "/info", "/livez", "/readyz", "/metrics", "/process", "/upload", "/openapi.json")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware around the whole service."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self.app = app
        self.settings = settings
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, received = time.perf_counter(), 500, 0
        most = self.settings.request_bytes

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:  # whatever the application makes of this, `answered` lets nothing of it pass
                return {"type": "http.disconnect"}
            return message

        async def answered(message: Message) -> None:
            nonlocal status
            if received > most:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            headers = Headers(scope=scope)
            problem = self._refusal(headers)
            if problem is None:
                await self.app(scope, counted, answered)
            if received > most:
                received, problem = 0, (413, f"The request has more than {most} bytes.")
            if problem is not None:
                await _refuse(answered, *problem)
        finally:
            path = scope["path"] if scope["path"] in PATHS else "other"
            self.metrics.requests.labels(path, str(status)).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - started)

    def _refusal(self, headers: Headers) -> tuple[int, str] | None:
        if int(headers.get("content-length", "0")) > self.settings.request_bytes:
            return 413, f"The request has more than {self.settings.request_bytes} bytes."
        host = headers.get("host", "")
        name = parts_of(f"//{host}").hostname or ""
        if "*" not in self.settings.allowed_hosts and name not in self.settings.allowed_hosts:
            return 400, "The service is not known by this name; start it with --host."
        origin = headers.get("origin")
        if origin is not None and parts_of(origin).netloc != host:
            return 403, "Requests from the pages of others are not answered."
        return None


async def _refuse(send: Send, status: int, text: str) -> None:
    body = json.dumps({"detail": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"connection", b"close"))  # what is left of the request is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
