"""The service in a process: a socket, uvicorn, and an end without loss."""

from __future__ import annotations

import dataclasses
import ipaddress
import signal
import socket

import uvicorn
from rich.console import Console
from rich.markup import escape

from ..runtime import Model
from ..utils.errors import ExportError
from .app import create_app
from .settings import Settings

GRACE_SECONDS = 30
ELSEWHERE = ("192.0.2.1", 9)
"""An address of no machine (RFC 5737), on the way to which the machine's own address is found."""


def serve(model: Model, settings: Settings, host: str, port: int, console: Console) -> None:
    """Answer until the process is told to stop (SIGTERM or Ctrl-C); what is being answered then is finished first.

    Args:
        host: name or address to listen on.
        port: 0 takes a free one.

    Raises:
        ExportError: if the port cannot be had.
    """
    try:
        bound = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=2048
        )
    except OSError as error:
        raise ExportError(
            f"serve: cannot listen on {host}:{port} ({error.strerror or error}); choose another --port."
        ) from error
    # asyncio does this only for sockets that name TCP as their protocol, which those of create_server don't; without it
    # an answer on a kept connection waits 40 ms for the client's delayed acknowledgement. Connections inherit it.
    bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    port = bound.getsockname()[1]
    address = _address(host, port)
    settings = dataclasses.replace(settings, address=address)
    if _everywhere(host):
        settings = dataclasses.replace(settings, allowed_hosts=("*",))
        console.print(
            "[yellow]warning:[/] listens on every network; there is no password. Put a proxy with one before it."
        )
    elif host not in settings.allowed_hosts:
        settings = dataclasses.replace(settings, allowed_hosts=(*settings.allowed_hosts, host))
    if model.brand:
        console.print(f"[bold red]{escape(model.brand)}")
    name = "localhost" if _everywhere(host) else f"[{host}]" if ":" in host else host
    console.print(f"Listening on http://{name}:{port} (stop with Ctrl-C)", highlight=False, markup=False)
    if address is not None:
        console.print(f"In the local network: {address}", highlight=False, markup=False)
    configuration = uvicorn.Config(
        create_app(model, settings),
        log_level="warning",
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=15,
        server_header=False,
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises what it caught once more after its end
        signal.signal(number, signal.SIG_IGN)
    with bound:
        uvicorn.Server(configuration).run(sockets=[bound])
    console.print("Stopped.")


def _address(host: str, port: int) -> str | None:
    """Return where others in the local network find the service, None if they do not or the machine has no network."""
    if not _everywhere(host):
        return None if _of_this_machine(host) else f"http://{f'[{host}]' if ':' in host else host}:{port}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ELSEWHERE)  # sends nothing, but chooses the address that others would see
        except OSError:
            return None
        own = probe.getsockname()[0]
    return None if _of_this_machine(own) else f"http://{own}:{port}"


def _of_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _everywhere(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""
