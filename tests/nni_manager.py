"""NNI's real manager, as tests talk to it."""

import json
import os
import subprocess
import time
import urllib.request

from conftest import COMMAND


def listening_addresses(port: int) -> set[str]:
    """Return the local addresses on which a TCP port is open, as Linux tells them."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(table):
            continue
        with open(table) as lines:
            for line in list(lines)[1:]:
                address, number = line.split()[1].split(":")
                if int(number, 16) == port and line.split()[3] == "0A":
                    found.add(address)
    return found


def replace_trial_command(config, command):
    """Write another command into an nni.yml of ours."""
    text = config.read_text()
    line = next(line for line in text.splitlines() if line.startswith("trialCommand"))
    config.write_text(text.replace(line, f"trialCommand: {command}"))


def ask(port, path):
    """Return what NNI's manager answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/nni/{path}", timeout=20) as answer:
        return answer.read().decode()


def wait_for_trials(port, count, seconds=240):
    """Return the trials of an experiment when `count` of them have ended."""
    deadline = time.monotonic() + seconds
    while True:
        jobs = json.loads(ask(port, "trial-jobs"))
        if len(jobs) >= count and all(job["status"] not in ("WAITING", "RUNNING") for job in jobs):
            return jobs
        assert time.monotonic() < deadline, jobs
        time.sleep(1)


def stop_all():
    """End all experiments of the present home directory."""
    subprocess.run([*COMMAND, "nnictl", "stop", "--all"], capture_output=True, timeout=60)
