"""A server on this machine that behaves like hosts of images do on bad days; it notes what it is asked."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image


def jpeg(seed: int, side: int = 96) -> bytes:
    """An image of noise, some kilobytes large."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


BODY = jpeg(0)
WRONG_LENGTH = 3000


class Hosts(BaseHTTPRequestHandler):
    """Answers by the first part of the path; ``/KIND/NUMBER.jpg`` with the number's own image where it is sound."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        server.asked.append((self.path, self.headers["Host"], dict(self.headers)))
        server.count[self.path] += 1
        kind = self.path.split("/")[1].partition("?")[0]
        getattr(self, "do_" + kind.replace(".", "_"), self.do_missing)()

    def answer(self, status: int, body: bytes = b"", length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def first_time(self) -> bool:
        return self.server.count[self.path] == 1

    def do_robots_txt(self) -> None:
        text = self.server.robots
        self.answer(404) if text is None else self.answer(200, text.encode(), Content_Type="text/plain")

    def do_good(self) -> None:
        number = int("".join(filter(str.isdigit, self.path.rpartition("/")[2])) or 0)
        self.answer(200, jpeg(number), Content_Type="image/jpeg")

    def do_missing(self) -> None:
        self.answer(404, b"no such image")

    def do_flaky(self) -> None:
        self.answer(500) if self.first_time() else self.do_good()

    def do_busy(self) -> None:
        self.answer(429, Retry_After="1") if self.first_time() else self.do_good()

    def do_away(self) -> None:
        self.answer(503, Retry_After="86400")

    def do_broken(self) -> None:
        self.answer(500)

    def do_page(self) -> None:
        self.answer(200, b"<!DOCTYPE html><html>log in first</html>", Content_Type="image/jpeg")

    def do_text(self) -> None:
        self.answer(200, b"no image at all " * 20, Content_Type="image/jpeg")

    def do_packed(self) -> None:
        self.answer(200, b"\x1f\x8b", Content_Encoding="gzip")

    def do_large(self) -> None:
        self.answer(200, BODY + b"\0" * 60_000, Content_Type="image/jpeg")

    def do_endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        while True:
            self.wfile.write(b"x" * 8192)

    def do_stalls(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY[:100])
        self.wfile.flush()
        self.server.released.wait(5)
        self.close_connection = True

    def do_silent(self) -> None:
        self.server.released.wait(5)
        self.close_connection = True

    def do_short(self) -> None:
        """Declares fewer bytes than the image has."""
        self.answer(200, BODY[:WRONG_LENGTH])

    def do_truncates(self) -> None:
        """Breaks off; the next time it gives the rest, if the same file is asked for."""
        start = self.headers["Range"]
        if start is None:
            self.send_response(200)
            self.send_header("ETag", '"one"')
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[:1000])
            self.close_connection = True
            return
        begun = int(start.removeprefix("bytes=").rstrip("-"))
        assert self.headers["If-Range"] == '"one"'
        self.answer(206, BODY[begun:], Content_Range=f"bytes {begun}-{len(BODY) - 1}/{len(BODY)}")

    def do_changes(self) -> None:
        """Breaks off; the next time the file is another one, which is sent from its start."""
        if self.first_time():
            self.do_truncates()
        else:
            self.answer(200, jpeg(7), ETag='"two"')

    def do_misplaces(self) -> None:
        """Breaks off; then it sends another part than was asked for."""
        if self.headers["Range"] is None and self.first_time():
            self.do_truncates()
        elif self.headers["Range"] is not None:
            self.answer(206, BODY[5:], Content_Range=f"bytes 5-{len(BODY) - 1}/{len(BODY)}")
        else:
            self.answer(200, BODY)

    def do_moved(self) -> None:
        self.answer(302, Location="/good/" + self.path.rpartition("/")[2])

    def do_elsewhere(self) -> None:
        self.answer(302, Location=f"http://elsewhere.example.net:{self.server.server_address[1]}/good/3.jpg")

    def do_inside(self) -> None:
        self.answer(302, Location="http://169.254.169.254/latest/meta-data/")

    def do_circle(self) -> None:
        self.answer(302, Location=self.path)

    def do_file(self) -> None:
        self.answer(302, Location="file:///etc/passwd")

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the other side has heard enough
            super().handle()

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[ThreadingHTTPServer]:
    """Yield the server; ``asked`` is what it was asked, ``robots`` the text of its robots.txt."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hosts)
    server.daemon_threads = True
    server.asked, server.count, server.robots = [], Counter(), None
    server.released = threading.Event()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


def wait_for(condition, seconds: float = 30.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came to pass"
        time.sleep(0.02)
