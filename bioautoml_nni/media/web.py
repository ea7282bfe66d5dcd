"""Requests to confirmed hosts: at addresses that were checked, at their pace, as their robots.txt allows, with
redirections followed to confirmed hosts only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx
from protego import Protego

from ..utils.addresses import AddressError, UnknownHostError, checked_address
from ._base import Limits, Refused, TryAgain
from .listing import is_among
from .pace import Pace

REDIRECTS = (301, 302, 303, 307, 308)
ROBOTS_BYTES = 512_000
PORTS = {"http": 80, "https": 443}


@dataclass
class _Site:
    """A host: its connections, which no other host shares, since several may have one address; its pace and rules."""

    client: httpx.AsyncClient
    pace: Pace
    rules: dict[str, Protego] = field(default_factory=dict)
    asking: asyncio.Lock = field(default_factory=asyncio.Lock)


class Web:
    """Asks confirmed hosts; an asynchronous context manager.

    Args:
        hosts: names or patterns that may be asked.
        limits: see there.
    """

    def __init__(self, hosts: Sequence[str], limits: Limits) -> None:
        self.hosts = hosts
        self.limits = limits
        self._sites: dict[str, _Site] = {}
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Web:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._open.aclose()

    def pace(self, host: str) -> Pace:
        """Return the pace of a host."""
        return self._site(host).pace

    @asynccontextmanager
    async def get(
        self, url: str, headers: Mapping[str, str] | None = None, robots: bool = True
    ) -> AsyncIterator[tuple[httpx.Response, str]]:
        """Yield the answer that stands behind a URL and its redirections, and where it stood; its body is not read yet.

        Args:
            headers: of the request, besides the usual ones.
            robots: whether robots.txt is asked first.

        Raises:
            Refused: if a host may not be asked, or is not to be asked for this.
            TryAgain: if there is no answer.
        """
        here = self._checked(url)
        for _ in range(self.limits.redirects + 1):
            if robots:
                await self._require_allowed(here)
            response = await self._send(here, headers or {})
            try:
                if response.status_code not in REDIRECTS or "Location" not in response.headers:
                    yield response, str(here)
                    return
                here = self._redirected(here, response.headers["Location"])
            finally:
                await response.aclose()
        raise Refused(f"more than {self.limits.redirects} redirections")

    def _site(self, host: str) -> _Site:
        if host not in self._sites:
            timeout = httpx.Timeout(self.limits.stall_seconds)
            pool = httpx.Limits(max_connections=self.limits.connections + 1)
            client = httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=timeout, limits=pool)
            self._open.push_async_callback(client.aclose)
            self._sites[host] = _Site(client, Pace(self.limits.per_second))
        return self._sites[host]

    def _checked(self, text: str) -> httpx.URL:
        try:
            url = httpx.URL(text).copy_with(fragment=None)
            host = url.host.rstrip(".").lower()
        except (httpx.InvalidURL, ValueError, UnicodeError) as error:
            raise Refused(f"the URL cannot be read ({error})") from error
        if url.scheme not in PORTS or not host:
            raise Refused("its URL does not begin with http:// or https://")
        if url.userinfo:
            raise Refused("its URL holds a user name")
        if not is_among(host, self.hosts):
            raise Refused(f"host {host!r} is not confirmed; --host {host} permits it")
        return url

    def _redirected(self, here: httpx.URL, location: str) -> httpx.URL:
        try:
            there = self._checked(str(here.join(location)))
        except Refused as error:
            raise Refused(f"redirected to where it is not followed: {error}") from error
        except (httpx.InvalidURL, ValueError) as error:
            raise Refused(f"redirected to what is not a URL ({error})") from error
        if here.scheme == "https" and there.scheme == "http":
            raise Refused(f"redirected from https to http at {there.host}, where anybody could change the image")
        return there

    async def _send(self, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        host = url.host.rstrip(".").lower()
        site = self._site(host)
        await site.pace.turn()
        try:
            address = await checked_address(host, url.port or PORTS[url.scheme], self.limits.private_addresses)
            request = site.client.build_request(
                "GET",
                url.copy_with(host=address),
                headers={
                    "Host": url.netloc.decode("ascii"),
                    "User-Agent": self.limits.agent,
                    "Accept": "image/*, */*;q=0.1",
                    "Accept-Encoding": "identity",
                    **headers,
                },
                extensions={"sni_hostname": host},
            )
            async with asyncio.timeout(2 * self.limits.stall_seconds):
                return await site.client.send(request, stream=True)
        except UnknownHostError as error:
            raise TryAgain(str(error)) from error
        except AddressError as error:
            raise Refused(str(error)) from error
        except TimeoutError as error:
            raise TryAgain(f"host {host!r} does not answer") from error
        except httpx.HTTPError as error:
            raise TryAgain(f"host {host!r} does not answer ({str(error) or type(error).__name__})") from error

    async def _require_allowed(self, url: httpx.URL) -> None:
        host = url.host.rstrip(".").lower()
        site = self._site(host)
        origin = f"{url.scheme}://{url.netloc.decode('ascii')}"
        async with site.asking:
            if origin not in site.rules:
                site.rules[origin] = await self._rules(origin)
        rules, agent = site.rules[origin], self.limits.agent.partition("/")[0]
        if not rules.can_fetch(str(url), agent):
            raise Refused(f"robots.txt of {host} does not allow it")
        rate = rules.request_rate(agent)
        step = max(rules.crawl_delay(agent) or 0.0, rate.seconds / rate.requests if rate and rate.requests else 0.0)
        if step > self.limits.longest_wait:
            raise Refused(f"robots.txt of {host} asks for {step:g} seconds between two requests")
        site.pace.slow_down(step)

    async def _rules(self, origin: str) -> Protego:
        """Return what robots.txt says; where there is none, all is allowed (RFC 9309)."""
        try:
            async with self.get(f"{origin}/robots.txt", robots=False) as (response, _):
                status = response.status_code
                if status == 429 or status >= 500:
                    raise TryAgain(f"robots.txt of {origin} cannot be read (status {status})")
                if status != 200 or response.headers.get("Content-Encoding", "identity") != "identity":
                    return Protego.parse("")
                text = bytearray()
                async with asyncio.timeout(self.limits.file_seconds):
                    async for chunk in response.aiter_raw():
                        text += chunk
                        if len(text) > ROBOTS_BYTES:
                            break
        except Refused:  # redirected to a host that was not confirmed
            return Protego.parse("")
        except (TimeoutError, httpx.HTTPError) as error:
            raise TryAgain(f"robots.txt of {origin} cannot be read ({str(error) or type(error).__name__})") from error
        return Protego.parse(text[:ROBOTS_BYTES].decode("utf-8", "replace"))
