"""Starting NNI's command line with a manager that listens on this machine only.

NNI's manager listens on every network interface, without a password. It is a Node program, so that a file named in
NODE_OPTIONS is loaded first; ours puts 127.0.0.1 where no host is given and mends other faults that it names. Trials
find this environment's `bioautoml` first.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from ..utils.errors import BioAutoMLError
from ..utils.nni_locks import remove_left_over_locks
from .machines import check_machines, config_of
from .settings import check_nni_file

HOST_VARIABLE = "BIOAUTOML_NNI_HOST"
LOCAL = "127.0.0.1"
START_SECONDS = 180
"""How long the manager may take to answer at first."""
EVERYWHERE = ("0.0.0.0", "::", "")
"""Addresses that stand for every interface."""


def listening_host() -> str:
    """Return the address on which NNI's manager is to listen: this machine only, unless the user names another."""
    return os.environ.get(HOST_VARIABLE, LOCAL)


def free_port() -> int:
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as found:
        found.bind((LOCAL, 0))
        return int(found.getsockname()[1])


def patch_environment(path: str, host: str = LOCAL) -> dict[str, str]:
    """Return the environment variables that make NNI's manager load our patch.

    NNI starts its manager with the environment of this process and offers no other way in, so that they are set for
    the whole process.

    Args:
        path: of manager_patch.cjs.
        host: address on which the manager listens.
    """
    before = os.environ.get("NODE_OPTIONS", "")
    option = f'--require="{path}"'
    return {"NODE_OPTIONS": before if option in before else f"{before} {option}".strip(), HOST_VARIABLE: host}


def nnictl(arguments: list[str], host: str = LOCAL) -> int:
    """Run NNI's own command line with the patch; return its exit code.

    Raises:
        BioAutoMLError: if its command line cannot be imported, or its manager does not answer.
        ConfigError: if trials cannot run on a machine that the experiment names, or a setting that its tuner may draw
            makes no experiment.
    """
    config = config_of(arguments)
    if config is not None:
        check_nni_file(config)
        check_machines(config)
    remove_left_over_locks()
    from requests import RequestException

    try:
        from nni.tools.nnictl import legacy_launcher
        from nni.tools.nnictl import nnictl as command_line
    except ImportError as error:
        raise BioAutoMLError(f"nnictl cannot be imported ({error}); install setuptools below 81.") from error
    with as_file(files(__package__) / "manager_patch.cjs") as path:
        os.environ.update(patch_environment(str(path), host))
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        with _mended(legacy_launcher, arguments, host):
            try:
                command_line.parse_args()
            except SystemExit as done:
                return int(done.code or 0) if not isinstance(done.code, str) else 1
            except RequestException as error:
                raise BioAutoMLError(
                    f"NNI's manager does not answer ({type(error).__name__}); its log is "
                    "~/nni-experiments/ID/log/nnimanager.log, with the id that stands above."
                ) from error
    return 0


@contextmanager
def _mended(legacy_launcher: Any, arguments: list[str], host: str) -> Iterator[None]:
    """Run NNI's command line with these arguments, more patience for its manager, and the one address it listens on."""
    from nni.experiment import launcher

    before = sys.argv, legacy_launcher.get_local_urls, launcher._check_rest_server
    announcing, only_host = logging.getLogger("nni.experiment"), _OnlyAddress(host)
    sys.argv = ["nnictl", *arguments]
    launcher._check_rest_server = partial(before[2], retry=START_SECONDS)  # NNI's 3 are too few on a busy machine
    if host not in EVERYWHERE:  # NNI's own names an address of every interface, also where nothing listens
        legacy_launcher.get_local_urls = lambda port, prefix: [f"http://{host}:{port}{prefix}"]
        announcing.addFilter(only_host)
    try:
        yield
    finally:
        sys.argv, legacy_launcher.get_local_urls, launcher._check_rest_server = before
        announcing.removeFilter(only_host)


class _OnlyAddress(logging.Filter):
    """Leaves of the addresses that NNI says its web UI has, one for each interface, the one on which it listens."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self.host = host

    def filter(self, record: logging.LogRecord) -> bool:
        found = re.match(r"(Web portal URLs: \S*?)http://\S+?:(\d+)\b", str(record.msg))
        if found:
            record.msg = f"{found[1]}http://{self.host}:{found[2]}"
        return True
