"""NNI's remote training service, against an SSH server of our own on this machine."""

import getpass
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import bioautoml, free_port, in_process, write_experiment, write_table
from nni_manager import ask, listening_addresses, stop_all, wait_for_trials

from bioautoml_nni.nni_jobs.machines import config_of, remote_machines

SSHD = shutil.which("sshd") or next((path for path in ("/usr/sbin/sshd",) if os.path.exists(path)), None)
needs_sshd = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None or not os.path.exists("/proc/net/tcp"),
    reason="needs OpenSSH's server and client, and Linux's /proc",
)
USER = getpass.getuser()


class Machine:
    """An SSH server for this user, whose home directory there is another folder; the clients' home is `home`."""

    def __init__(self, folder):
        self.home, self.far_home, self.port = folder / "home", folder / "far", free_port()
        for path in (self.home / ".ssh", self.far_home):
            path.mkdir(parents=True)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where sshd drops its privileges
        for path in (folder / "host", self.home / ".ssh/id_ed25519"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        shutil.copy(self.home / ".ssh/id_ed25519.pub", folder / "authorized")
        self.host_key = " ".join((folder / "host.pub").read_text().split()[:2])
        config = {
            "Port": self.port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "PidFile": "none",
            "AuthorizedKeysFile": folder / "authorized", "StrictModes": "no", "UsePAM": "no",
            "Subsystem": "sftp internal-sftp", "SetEnv": f"HOME={self.far_home}",
        }  # fmt: skip
        (folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in config.items()))
        with open(folder / "sshd.log", "w") as log:
            self.process = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "sshd_config"], stderr=log)
        deadline = time.monotonic() + 30
        while not listening_addresses(self.port):
            assert self.process.poll() is None and time.monotonic() < deadline, (folder / "sshd.log").read_text()
            time.sleep(0.1)

    def know(self, key=None):
        (self.home / ".ssh/known_hosts").write_text(f"[127.0.0.1]:{self.port} {key or self.host_key}\n")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    machine = Machine(tmp_path / "machine")
    monkeypatch.setenv("HOME", str(machine.home))
    yield machine
    machine.process.terminate()
    machine.process.wait(20)


def remote_config(folder, machine, python=None, **changes):
    """Write an experiment and its nni.yml for a machine; return the latter."""
    write_table(folder / "data")
    experiment = write_experiment(folder, folder / "data", **changes)
    done = bioautoml(
        "nni-config", experiment, "--max-trials", 2, "--machine", f"{USER}@127.0.0.1:{machine.port}",
        "--remote-python", python or Path(sys.executable).parent, "--concurrency", 2,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "nni.yml"


@needs_sshd
def test_two_trials_run_on_another_machine_and_no_port_is_open_to_the_network(tmp_path, machine):
    machine.know()
    one = {"epochs": 1, "batch_size": 8}
    config = remote_config(tmp_path, machine, search=one, training={**one, "warmup_steps": 2})
    port = free_port()
    try:
        started = bioautoml("nnictl", "create", "--config", config, "--port", port)
        assert started.returncode == 0, started.stdout + started.stderr
        jobs = wait_for_trials(port, 2)
        name = json.loads(ask(port, "experiment"))["id"]
        assert [job["status"] for job in jobs] == ["SUCCEEDED", "SUCCEEDED"], jobs
        far = machine.far_home / "nni-experiments" / name
        runs = [path for path in (far / "runs").iterdir() if path.is_dir()]
        assert len(runs) == 2 and all((run / "report.html").is_file() for run in runs)
        assert not (machine.home / "nni-experiments" / name / "runs").exists()
        sent = far / "environments/remote-worker1/upload"
        assert [path.read_text() for path in sent.rglob("experiment.yml")] == [
            (tmp_path / "experiment.yml").read_text()
        ]
        for job in jobs:
            result = json.loads(json.loads(job["finalMetricData"][0]["data"]))
            assert any(json.loads((run / "trial.json").read_text())["result"] == result for run in runs)
            log = ask(port, f"trial-file/{job['trialJobId']}/trial.log")
            assert any(f"Report: {run / 'report.html'}" in log for run in runs)
        keeper = (far / "environments/remote-worker1/trial_keeper/trial_keeper.log").read_text()
        theirs = int(keeper.partition("Running on port ")[2].split()[0])
        assert listening_addresses(port) == listening_addresses(theirs) == {"0100007F"}
    finally:
        stop_all()
    deadline = time.monotonic() + 30
    while listening_addresses(theirs):
        assert time.monotonic() < deadline, "the worker ends with the experiment"
        time.sleep(0.5)


@needs_sshd
def test_machines_that_cannot_run_trials_are_named_before_anything_starts(tmp_path, machine):
    config = remote_config(tmp_path, machine)

    def refused(*words, file=config):
        done = bioautoml("nnictl", "create", "--config", file, "--port", free_port())
        assert done.returncode == 2 and f"{USER}@127.0.0.1" in done.stderr, done.stdout + done.stderr
        assert all(word in done.stderr for word in words), done.stderr
        assert not (machine.home / "nni-experiments").exists()

    refused("Host key verification failed", "accept its key")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "impostor"], check=True)
    machine.know(key=" ".join((tmp_path / "impostor.pub").read_text().split()[:2]))
    refused("Host key verification failed")
    machine.know()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/python").write_text("#!/bin/sh\necho 'ModuleNotFoundError: No module named nni' >&2; exit 1\n")
    (tmp_path / "empty/python").chmod(0o755)
    other = tmp_path / "other.yml"
    other.write_text(config.read_text().replace(str(Path(sys.executable).parent), str(tmp_path / "empty")))
    refused("No module named", "pythonPath", file=other)
    other.write_text(config.read_text().replace(f"port: {machine.port}", f"port: {free_port()}"))
    refused("Connection refused", file=other)
    other.write_text(config.read_text().replace("~/.ssh/id_ed25519", str(tmp_path / "impostor")))
    refused("Permission denied", "authorized_keys", file=other)


def test_the_file_for_machines_names_each_of_them_and_no_machine_is_local(tmp_path, capsys):
    experiment = write_experiment(tmp_path, tmp_path)
    machines = ("ana@lab1", "ben@lab2.example.org:2222")
    words = [word for machine in machines for word in ("--machine", machine)]
    code, said = in_process(capsys, "nni-config", experiment, *words, "--gpus-per-trial", 1)
    assert code == 0, said
    found = remote_machines(tmp_path / "nni.yml")
    assert [(each["user"], each["host"], each["port"]) for each in found] == [
        ("ana", "lab1", 22), ("ben", "lab2.example.org", 2222),
    ]  # fmt: skip
    assert all(each["useActiveGpu"] and each["sshKeyFile"] == "~/.ssh/id_ed25519" for each in found)
    code, said = in_process(capsys, "nni-config", experiment, "--machine", "lab1", "--machine", "a@b:port")
    assert code == 2 and "--machine lab1" in said and "--machine a@b:port" in said
    code, said = in_process(capsys, "nni-config", experiment, "--force")
    assert code == 0 and remote_machines(tmp_path / "nni.yml") == [], said


def test_the_config_of_create_is_found_and_of_nothing_else():
    assert config_of(["create", "--port", "8080", "--config", "a.yml"]) == Path("a.yml")
    assert config_of(["create", "-c", "a.yml"]) == config_of(["create", "--config=a.yml"]) == Path("a.yml")
    assert config_of(["resume", "--config", "a.yml"]) is None and config_of([]) is None
    assert remote_machines(Path("does-not-exist.yml")) == []
