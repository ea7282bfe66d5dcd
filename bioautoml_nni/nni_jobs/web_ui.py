"""Where NNI's web UI of an experiment is, and who can reach it."""

from __future__ import annotations

import ipaddress
import json
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

from ..utils.errors import RunDirectoryError


@dataclass(frozen=True)
class Known:
    """What NNI knows of an experiment.

    Attributes:
        port: of its web UI if that is running, otherwise None.
    """

    identity: str
    port: int | None


def find_experiment(text: str) -> Known:
    """Return an experiment of this user, from its id, its folder or its name; of several, the newest.

    Raises:
        RunDirectoryError: if NNI knows none, with those that it knows.
    """
    file = Path.home() / "nni-experiments/.experiment"
    entries = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    own = {name: entry for name, entry in entries.items() if "retiarii" not in entry.get("tag", [])}
    wanted = Path(text).name
    found = [name for name, entry in own.items() if wanted in (name, entry.get("experimentName"))]
    if not found:
        listed = ", ".join(f"{name} ({entry.get('experimentName')})" for name, entry in own.items()) or "none"
        raise RunDirectoryError(f"{text}: no NNI experiment has this id or name; there are: {listed}.")
    newest = max(found, key=lambda name: own[name]["startTime"])
    port = own[newest].get("port")
    running = own[newest].get("status") != "STOPPED" and isinstance(port, int) and _answers(port)
    return Known(newest, port if running else None)


def open_addresses(port: int) -> list[str]:
    """Return the addresses beside the loopback one at which a port of this user's processes is open."""
    found = set()
    for process in psutil.process_iter():
        try:
            connections = process.net_connections(kind="tcp")
        except psutil.Error:  # ended meanwhile, or somebody else's
            continue
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                found.add(connection.laddr.ip)
    return sorted(address for address in found if not ipaddress.ip_address(address.partition("%")[0]).is_loopback)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2):
            return True
    except OSError:
        return False
