"""Where NNI's web UI of an experiment is, and who can reach it."""

from __future__ import annotations

import ipaddress
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from ..utils.errors import RunDirectoryError


@dataclass(frozen=True)
class Known:
    """What NNI knows of an experiment.

    Attributes:
        port: of its web UI if that is running, otherwise None.
        gone: whether NNI takes it for running, and no manager answers: it was killed.
    """

    identity: str
    port: int | None
    gone: bool = False


def find_experiment(text: str) -> Known:
    """Return an experiment of this user, from its id, its folder or its name; of several, the newest.

    Raises:
        RunDirectoryError: if NNI knows none, with those that it knows.
    """
    entries = _entries()
    own = {name: entry for name, entry in entries.items() if "retiarii" not in entry.get("tag", [])}
    wanted = Path(text).name
    found = [name for name, entry in own.items() if wanted in (name, entry.get("experimentName"))]
    if not found:
        listed = ", ".join(f"{name} ({entry.get('experimentName')})" for name, entry in own.items()) or "none"
        raise RunDirectoryError(f"{text}: no NNI experiment has this id or name; there are: {listed}.")
    newest = max(found, key=lambda name: own[name]["startTime"])
    return _known(newest, own[newest])


def manager_is_gone(identity: str) -> bool:
    """Return whether NNI takes an experiment for running whose manager does not answer; False for unknown ones."""
    entry = _entries().get(identity)
    return entry is not None and _known(identity, entry).gone


def _entries() -> dict[str, Any]:
    file = Path.home() / "nni-experiments/.experiment"
    entries: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return entries


def _known(identity: str, entry: dict[str, Any]) -> Known:
    port, stopped = entry.get("port"), entry.get("status") in ("STOPPED", "ERROR", None)
    running = not stopped and isinstance(port, int) and _answers(port)
    return Known(identity, port if running else None, gone=not stopped and not running)


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
