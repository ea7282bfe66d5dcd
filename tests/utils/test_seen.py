"""Files by which machines tell that they see a folder: those of killed commands go, all others stay."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from bioautoml_nni.utils.seen import seen_by_all


def marks(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_what_a_killed_command_left_goes_and_what_is_used_stays(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    if not (child := os.fork()):
        with seen_by_all(tmp_path) as mark:
            os.write(writer, mark.name.encode())
            signal.pause()
    killed = os.read(reader, 100).decode()
    (tmp_path / ".seen-00112233aabbccdd-0123456789abcdef").touch()  # of another machine, which may be at work
    (tmp_path / "part.parquet").touch()
    others = [".seen-00112233aabbccdd-0123456789abcdef", "part.parquet"]
    with seen_by_all(tmp_path) as mark:
        assert marks(tmp_path) == sorted([killed, mark.name, *others]), "its command is alive"
    assert marks(tmp_path) == sorted([killed, *others])
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert killed in marks(tmp_path)
    with seen_by_all(tmp_path) as mark:
        assert marks(tmp_path) == sorted([mark.name, *others])
    assert marks(tmp_path) == others
