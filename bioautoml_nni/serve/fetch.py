"""Images by URL, without letting a request reach what only this machine can reach.

The host must be allowed by name; its addresses must be public ones; the connection goes to the address that was
checked, so that a name cannot lead elsewhere a moment later; redirections are not followed; bytes and seconds are
limited.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import fnmatch
from urllib.parse import unquote_to_bytes, urlsplit

import httpx

from ..utils.addresses import AddressError, checked_address
from .settings import Settings


class FetchError(Exception):
    """An image that is not fetched, with the reason."""


async def fetch(url: str, settings: Settings) -> bytes:
    """Return the bytes behind a data, http or https URL.

    Raises:
        FetchError: if it is not allowed, too large, too slow or not there.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "data":
        return _inline(url, settings)
    if scheme not in ("http", "https"):
        raise FetchError("the URL must begin with data:, http: or https:")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip(".").lower(), parts.port
    except ValueError as error:
        raise FetchError(f"the URL cannot be read ({error})") from error
    if not any(fnmatch.fnmatchcase(host, pattern.lower()) for pattern in settings.image_hosts):
        raise FetchError(f"images of host {host!r} are not fetched; start the service with --allow-host {host}")
    try:
        async with asyncio.timeout(settings.fetch_seconds):
            address = await checked_address(
                host, port or (443 if scheme == "https" else 80), settings.private_addresses
            )
            return await _download(url, host, address, settings)
    except AddressError as error:
        raise FetchError(str(error)) from error
    except TimeoutError as error:
        raise FetchError(f"the image took longer than {settings.fetch_seconds:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise FetchError(f"the image cannot be fetched ({str(error) or type(error).__name__})") from error


def _inline(url: str, settings: Settings) -> bytes:
    head, comma, body = url.partition(",")
    if not comma:
        raise FetchError("the data URL has no comma")
    try:
        data = base64.b64decode(body, validate=True) if head.endswith(";base64") else unquote_to_bytes(body)
    except (binascii.Error, ValueError) as error:
        raise FetchError("the data URL is not valid base64") from error
    if len(data) > settings.image_bytes:
        raise FetchError(f"the image has more than {settings.image_bytes} bytes")
    return data


async def _download(url: str, host: str, address: str, settings: Settings) -> bytes:
    target = httpx.URL(url)
    headers = {"Host": target.netloc.decode("ascii").rpartition("@")[2], "Accept-Encoding": "identity"}
    async with httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=settings.fetch_seconds) as client:
        request = client.build_request(
            "GET", target.copy_with(host=address), headers=headers, extensions={"sni_hostname": host}
        )
        response = await client.send(request, stream=True)
        try:
            if response.status_code != 200:
                raise FetchError(f"host {host!r} answered with status {response.status_code}")
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise FetchError(f"host {host!r} answered with packed bytes, which could unpack to any size")
            data = bytearray()
            async for chunk in response.aiter_raw(65536):
                data += chunk
                if len(data) > settings.image_bytes:
                    raise FetchError(f"the image has more than {settings.image_bytes} bytes")
        finally:
            await response.aclose()
    return bytes(data)
