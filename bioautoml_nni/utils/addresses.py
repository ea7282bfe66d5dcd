"""Addresses of hosts, checked before anything connects to them: a request by URL must not reach what only this machine
can reach."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from urllib.parse import SplitResult, urlsplit

HINT = "--allow-private-addresses permits it"


class AddressError(Exception):
    """A host that has an address which may not be reached."""


class UnknownHostError(AddressError):
    """A host of which no address is known, now at least."""


def parts_of(url: str) -> SplitResult:
    """Return the parts of a URL; one that none can be, such as http://[x, is a path.

    >>> parts_of("http://[x").path, parts_of("//example.org:80").hostname
    ('http://[x', 'example.org')
    """
    try:
        return urlsplit(url)
    except ValueError:
        return SplitResult("", "", url, "", "")


async def checked_address(host: str, port: int, private: bool) -> str:
    """Return the first address of a host, of which all must be allowed; the connection is to go to this very address,
    so that the name cannot lead elsewhere a moment later.

    Args:
        private: whether addresses that are not public are allowed, too.

    Raises:
        AddressError: if there is none, or one that is not allowed.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnknownHostError(f"host {host!r} is not known") from error
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    for address in addresses:
        if not private and not is_public(address):
            raise AddressError(f"host {host!r} has the address {address}, which is not public; {HINT}")
    return str(addresses[0])


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether an address can be reached from everywhere, and is that of one machine."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    return address.is_global and not address.is_multicast
