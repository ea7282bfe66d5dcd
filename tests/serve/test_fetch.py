"""Images by URL: what is fetched, and that nothing else of this machine or its network can be reached."""

import asyncio
import base64
import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bioautoml_nni.serve import fetch as fetch_module
from bioautoml_nni.serve.fetch import FetchError, fetch
from bioautoml_nni.serve.settings import Settings


class Images(BaseHTTPRequestHandler):
    """Answers by path; notes every request with its Host header."""

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Host"]))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
            self.end_headers()
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            for _ in range(50):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            while True:
                self.wfile.write(b"x" * 65536)
        elif self.path == "/packed":
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
        else:
            self.send_response(200 if self.path == "/a.png" else 404)
            self.end_headers()
            self.wfile.write(b"image")

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the other side has heard enough
            super().handle()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Images)
    server.daemon_threads = True
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


def get(url: str, **settings: object) -> bytes:
    return asyncio.run(fetch(url, Settings(**settings)))


def resolve_to(monkeypatch, *addresses: str) -> list[str]:
    """Have every name lead to these addresses; return the names that were asked for."""
    asked: list[str] = []

    async def getaddrinfo(loop, host, port, **options):
        asked.append(host)
        kinds = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in addresses]
        return [(kind, 0, 0, "", (address, port)) for kind, address in zip(kinds, addresses, strict=True)]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    return asked


def test_an_allowed_host_is_asked_by_its_own_name_at_the_address_that_was_checked(server, monkeypatch):
    asked = resolve_to(monkeypatch, "127.0.0.1")
    port = server.server_address[1]
    url = f"http://images.example.org:{port}/a.png"
    assert get(url, image_hosts=("*.example.org",), private_addresses=True) == b"image"
    assert server.asked[-1] == ("/a.png", f"images.example.org:{port}")
    assert asked == ["images.example.org"]  # once: the name cannot lead elsewhere a moment later


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/",
        "http://127.0.0.1/",
        "https://example.org.evil.com/",
        "http://user@example.com/",
        "http:///a",
    ],
)
def test_hosts_that_are_not_allowed_are_not_asked(url):
    with pytest.raises(FetchError, match="--allow-host"):
        get(url, image_hosts=("example.org", "*.example.org"))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.0.7", "172.16.5.4", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "ff02::1"],
)  # fmt: skip
def test_addresses_that_are_not_public_are_not_reached(monkeypatch, address):
    resolve_to(monkeypatch, "93.184.216.34", address)  # one that is public first: all must be
    monkeypatch.setattr(fetch_module, "_download", None)  # would fail if it were called
    with pytest.raises(FetchError, match="not public"):
        get("http://example.org/a.png", image_hosts=("*",))


@pytest.mark.parametrize(
    "url", ["ftp://example.org/a", "file:///etc/passwd", "gopher://x", "", "//example.org/a", "a.png"]
)
def test_other_schemes_are_refused(url):
    with pytest.raises(FetchError, match="must begin with"):
        get(url, image_hosts=("*",))


@pytest.mark.parametrize(
    ("path", "said"),
    [("moved", "status 302"), ("none", "status 404"), ("slow", "longer than 1 s"), ("endless", "more than 1000 bytes"),
     ("packed", "packed bytes")],
)  # fmt: skip
def test_what_a_host_may_do_is_limited(server, path, said):
    url = f"http://127.0.0.1:{server.server_address[1]}/{path}"
    settings = {"image_hosts": ("127.0.0.1",), "private_addresses": True, "fetch_seconds": 1, "image_bytes": 1000}
    started = time.monotonic()
    with pytest.raises(FetchError, match=said):
        get(url, **settings)
    assert time.monotonic() - started < 10


def test_a_host_that_does_not_listen_or_exist_is_named(monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
    with pytest.raises(FetchError, match="cannot be fetched"):
        get(url, image_hosts=("*",), private_addresses=True)
    with pytest.raises(FetchError, match="is not known"):
        get("http://" + "a" * 300 + ".example/", image_hosts=("*",))


@pytest.mark.parametrize("url", ["http://[::1", "http://example.org:99999999/", "http://example.org:x/"])
def test_urls_that_cannot_be_read_are_refused(url):
    with pytest.raises(FetchError):
        get(url, image_hosts=("*",), private_addresses=True)


def test_data_urls_are_read_within_the_limit():
    assert get("data:image/png;base64," + base64.b64encode(b"abc").decode()) == b"abc"
    assert get("data:,a%20b") == b"a b"
    with pytest.raises(FetchError, match="more than 2 bytes"):
        get("data:,abc", image_bytes=2)
