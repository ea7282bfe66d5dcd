"""Machines of NNI's remote training service: looked at before an experiment starts, and asked for what they made.

NNI's manager starts first and connects later; what is wrong then stands in its log alone.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import yaml

from ..utils.atomic import replacing_folder
from ..utils.encodings import read_text
from ..utils.errors import ConfigError, RunDirectoryError

SECONDS = 15
"""A machine that does not answer for so long counts as not reachable."""
LACKS = 66
"""Exit code of a machine that has not what is asked for."""
HINTS = {
    "Host key verification failed": "connect to it once with ssh, and accept its key if it is right",
    "Permission denied": "put the public half of sshKeyFile into ~/.ssh/authorized_keys there",
    "No module named": "install this package there, or name the folder of the right python in pythonPath",
}


def check_machines(config: Path) -> None:
    """Try every machine that an nni.yml names: its key, the login, and whether this package is installed there.

    Raises:
        ConfigError: with what is wrong with each of them.
    """
    machines = remote_machines(config)
    with ThreadPoolExecutor(max(1, len(machines))) as pool:
        problems = [found for found in pool.map(_problem, machines) if found]
    if problems:
        raise ConfigError(problems, str(config))


def remote_machines(config: Path) -> list[Mapping[str, Any]]:
    """Return the entries of machineList; none if the file is not readable or names another service, as NNI says."""
    try:
        content = yaml.safe_load(read_text(config))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    service = content.get("trainingService") if isinstance(content, dict) else None
    machines = service.get("machineList") if isinstance(service, dict) else None
    found = machines if isinstance(machines, list) else []
    return [each for each in found if isinstance(each, dict) and each.get("host") and each.get("user")]


def config_of(arguments: Sequence[str]) -> Path | None:
    """Return the file that ``nnictl create`` is told to read, or None."""
    if not arguments or arguments[0] != "create":
        return None
    for position, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in ("--config", "-c"):
            return Path(value) if equals else Path(*arguments[position + 1 : position + 2])
    return None


def bring(machine: Mapping[str, Any], place: str, name: str, target: Path) -> bool:
    """Copy a folder of a machine, without checkpoints, and the log beside it.

    Args:
        place: the folder on the machine that has it; a leading ``~`` is the user's home there.
        name: of the folder, and of its log without ``.log``.
        target: the folder here that gets both.

    Returns:
        Whether the machine has it.

    Raises:
        RunDirectoryError: if the machine does not answer, or half of it came.
    """
    home, _, rest = place.partition("/") if place.startswith("~/") else ("", "", place)
    folder = f"{home}/{shlex.quote(rest)}" if home else shlex.quote(rest)
    own, log = shlex.quote(name), shlex.quote(f"{name}.log")
    there = (
        f"cd {folder} 2>/dev/null && test -d {own} || exit {LACKS}; "
        f'set -- {own}; test -f {log} && set -- "$@" {log}; tar --exclude=\'*.ckpt\' -cf - "$@"'
    )
    with tempfile.TemporaryFile() as archive:
        command = [*_ssh(machine), "--", _name(machine), there]
        done = subprocess.run(command, stdout=archive, stderr=subprocess.PIPE, check=False)
        if done.returncode == LACKS:
            return False
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines() or [f"code {done.returncode}"]
            raise RunDirectoryError(f"{_name(machine)}: {name} has not come back ({said[-1]}).")
        archive.seek(0)
        with replacing_folder(target / name) as temporary:
            try:
                _unpack(archive, temporary)
            except tarfile.TarError as error:
                raise RunDirectoryError(f"{_name(machine)}: {name} has not come back whole ({error}).") from error
            beside = temporary / f"{name}.log"
            if beside.is_file():
                beside.replace(target / beside.name)
            for part in list((temporary / name).iterdir()):
                part.replace(temporary / part.name)
            (temporary / name).rmdir()
    return True


def _unpack(archive: IO[bytes], folder: Path) -> None:
    """Write the files of an archive below a folder.

    Raises:
        tarfile.TarError: for what is not a plain file or folder, or would lie elsewhere, and for half an archive.
    """
    with tarfile.open(fileobj=archive) as members:
        for member in members:
            place = folder / tarfile.data_filter(member, str(folder)).name
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
                continue
            content = members.extractfile(member) if member.isfile() else None
            if content is None:
                raise tarfile.ExtractError(f"{member.name} is not a plain file")
            with content, place.open("wb") as file:
                shutil.copyfileobj(content, file)


def _name(machine: Mapping[str, Any]) -> str:
    return f"{machine['user']}@{machine['host']}"


def _ssh(machine: Mapping[str, Any]) -> list[str]:
    """Return the command that reaches a machine, up to its name."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": Path.home() / ".ssh/known_hosts",
        "ConnectTimeout": SECONDS,
        "IdentitiesOnly": "yes",
    }
    key = Path(str(machine.get("sshKeyFile", "~/.ssh/id_rsa"))).expanduser()
    command = ["ssh", "-p", str(machine.get("port", 22)), "-i", str(key)]
    return command + [word for option, value in options.items() for word in ("-o", f"{option}={value}")]


def _problem(machine: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a machine, or None; those with a password instead of a key are left to NNI."""
    if machine.get("password"):
        return None
    name = _name(machine)
    own = f"PATH={shlex.quote(str(machine['pythonPath']))}:$PATH; " if machine.get("pythonPath") else ""
    python = "$(command -v python || command -v python3 || echo python)"
    there = f'{own}{python} -c "import nni, bioautoml_nni.nni_jobs"'
    try:
        done = subprocess.run(
            [*_ssh(machine), "--", name, there], capture_output=True, text=True, timeout=4 * SECONDS, check=False
        )
    except FileNotFoundError:
        return f"{name}: there is no ssh on this machine to reach it with; install OpenSSH's client"
    except subprocess.TimeoutExpired:
        return f"{name}: did not answer within {4 * SECONDS} seconds"
    if done.returncode == 0:
        return None
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [f"code {done.returncode}"]
    hint = next((hint for words, hint in HINTS.items() if words in said[-1]), "see whether ssh reaches it")
    return f"{name}: {said[-1].removeprefix(f'{name}: ').rstrip('.')}; {hint}"
