"""Two processes on one run directory."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.lock import NAME, locked
from bioautoml_nni.utils.errors import RunDirectoryError


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a folder."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom bioautoml_nni.runs.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_refused_with_number_and_machine_of_the_first(holder, tmp_path):
    with pytest.raises(RunDirectoryError, match=f"process {holder.pid} on {socket.gethostname()} is working on this"):
        with locked(tmp_path):
            pass
    assert (tmp_path / NAME).exists()


def test_a_killed_process_leaves_nothing_behind(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(tmp_path):
        assert (tmp_path / NAME).exists()
    assert not (tmp_path / NAME).exists()


def test_the_lock_goes_with_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        _ = 1 / 0
    with locked(tmp_path), pytest.raises(RunDirectoryError, match=str(os.getpid())), locked(tmp_path):
        pass


def test_settings_are_not_changed_under_a_running_job(finished):
    run = finished[0]
    before = (run / "experiment.yml").read_bytes()
    with locked(run), pytest.raises(RunDirectoryError, match="working on this run directory"):
        RunDirectory.open(run, ["training.epochs=9"])
    assert (run / "experiment.yml").read_bytes() == before
