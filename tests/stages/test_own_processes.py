"""Processes that a command starts for itself: their number, their exit codes, and that all end with it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import here, write_experiment, write_table
from rich.console import Console

from bioautoml_nni.config import load_experiment
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.stages import launch
from bioautoml_nni.utils.errors import ConfigError, RunDirectoryError


@pytest.fixture
def experiment(tmp_path):
    write_table(tmp_path / "data", rows=8)
    write_experiment(tmp_path, tmp_path / "data", training={"batch_size": 12})

    def loaded(*overrides):
        return load_experiment(tmp_path / "experiment.yml", list(overrides))

    return loaded


@pytest.fixture
def started(monkeypatch):
    """The number of processes of each launch; nothing is started."""
    counts = []
    monkeypatch.setattr(launch, "launch", lambda count, arguments: counts.append((count, *arguments)) or 7)
    return counts


@pytest.mark.parametrize(
    ("overrides", "gpus", "count"),
    [
        ([], 0, 1), ([], 1, 1), ([], 4, 4), ([], 5, 4), ([], 2, 2), (["devices=1"], 4, 1), (["devices=2"], 0, 2),
        (["devices=3"], 4, 3),
    ],
)  # fmt: skip
def test_as_many_processes_as_gpus_or_as_the_experiment_says(
    experiment, started, monkeypatch, capsys, overrides, gpus, count
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    if count == 1:
        launch.spread(experiment(*overrides), ["run", "x"], Console())
        assert started == []
        return
    with pytest.raises(SystemExit) as ended:
        launch.spread(experiment(*overrides), ["run", "x"], Console())
    assert ended.value.code == 7 and started == [(count, "-m", "bioautoml_nni", "run", "x")]
    assert ("4 of 5 GPUs" in capsys.readouterr().out) is (gpus == 5)


@pytest.mark.parametrize("setting", ["devices=2", "nodes=2"])
def test_preparing_takes_one_process_whatever_trains_later(started, tmp_path, setting):
    write_table(tmp_path / "data")
    write_experiment(tmp_path, tmp_path / "data", training={"batch_size": 12})
    done = here("prepare", tmp_path / "experiment.yml", "--output", tmp_path / "run", "--set", setting)
    assert done.returncode == 0 and started == [], done.stdout + done.stderr
    assert RunDirectory.open(tmp_path / "run").done("prepare")
    if setting == "devices=2":
        assert here("run", tmp_path / "run").returncode == 7 and started[0][0] == 2


def test_one_of_many_commands_and_calls_from_python_start_nothing(experiment, started, monkeypatch):
    launch.spread(experiment("devices=2"), None, Console())
    monkeypatch.setenv(launch.ALONE, "1")
    launch.spread(experiment("devices=2"), ["run", "x"], Console())
    assert started == []


def test_what_cannot_be_started_is_one_sentence(experiment, started, monkeypatch):
    with pytest.raises(ConfigError, match="training.batch_size: 12 specimens cannot be shared by devices x nodes = 10"):
        experiment("devices=5", "nodes=2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(RunDirectoryError, match="devices: 3 processes need a GPU each, and this machine has 2"):
        launch.spread(experiment("devices=3"), ["run", "x"], Console())
    with pytest.raises(RunDirectoryError) as refused:
        launch.spread(experiment("nodes=3"), ["run", "my data.yml"], Console())
    assert str(refused.value).endswith(
        "torchrun --nnodes 3 --node-rank 0 --nproc-per-node 2 --master-addr FIRST_MACHINE --master-port 29500 "
        "--no-python bioautoml run 'my data.yml'"
    )
    assert started == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], None), (["devices=2"], None), (["devices=2", "nodes=1"], None), (["nodes=3"], "nodes: 3"),
        (["devices=3"], "says devices: 3, nodes: 1; give torchrun --nnodes 1 and --nproc-per-node 3"),
        (["devices=2", "nodes=2"], "2 processes on each of 1 machines"),
    ],
)  # fmt: skip
def test_torchrun_must_start_what_the_experiment_says(experiment, started, monkeypatch, overrides, words):
    monkeypatch.setattr(launch, "leader", SimpleNamespace(local_size=2, machines=1, size=2))
    if words is None:
        launch.spread(experiment(*overrides), ["run", "x"], Console())
    else:
        with pytest.raises(RunDirectoryError, match=words):
            launch.spread(experiment(*overrides), ["run", "x"], Console())
    assert started == []


def test_a_run_goes_on_in_another_number_of_processes(experiment, tmp_path):
    first = RunDirectory.create(tmp_path / "run", experiment())
    keys = [first.key(stage) for stage in ("prepare", "search", "retrain", "evaluate")]
    again = RunDirectory.create(tmp_path / "run", experiment("devices=3"))
    assert RunDirectory.open(tmp_path / "run").experiment.devices == again.experiment.devices == 3
    assert keys == [again.key(stage) for stage in ("prepare", "search", "retrain", "evaluate")]


def start(folder, script):
    """Fork a process that starts Python twice, as a command starts itself; return its number."""
    folder.mkdir()
    pid = os.fork()
    if pid:
        return pid
    with (folder / "said.txt").open("w") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    try:
        os._exit(launch.launch(2, ["-c", f"import os, sys, time; place = {str(folder)!r}; {script}"]))
    except RunDirectoryError as error:
        os.write(1, f"Error: {error}".encode())
        os._exit(2)
    finally:
        os._exit(1)


def begun(folder):
    """Return the numbers of both processes once they run."""
    files = [folder / f"{rank}.pid" for rank in (0, 1)]
    until = time.monotonic() + 100
    while not all(file.is_file() and file.read_text() for file in files):
        assert time.monotonic() < until, (folder / "said.txt").read_text()
        time.sleep(0.1)
    return [int(file.read_text()) for file in files]


def ended(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_processes_end_with_the_first_that_failed_and_with_their_launcher(tmp_path):
    waits = "open(f'{place}/{os.environ[\"RANK\"]}.pid', 'w').write(str(os.getpid())); time.sleep(120)"
    second = "os.environ['RANK'] == '1' and "
    watches = "from bioautoml_nni.stages.launch import end_with_launcher; end_with_launcher(); "
    failed = start(tmp_path / "failed", f"{second}(print('Error: mine', flush=True), os._exit(2)); time.sleep(120)")
    killed = start(tmp_path / "killed", f"{second}os.kill(os.getpid(), 9); time.sleep(120)")
    stopped = start(tmp_path / "stopped", waits)
    orphaned = start(tmp_path / "orphaned", watches + waits)
    waiting = [*begun(tmp_path / "stopped"), *begun(tmp_path / "orphaned")]
    os.kill(stopped, signal.SIGINT)
    os.kill(orphaned, signal.SIGKILL)
    codes = {name: ended(pid) for name, pid in (("failed", failed), ("killed", killed), ("stopped", stopped))}
    said = {name: (tmp_path / name / "said.txt").read_text() for name in codes}
    assert codes == {"failed": 2, "killed": 2, "stopped": 130}, said
    assert said["failed"].strip() == "Error: mine"
    assert said["killed"].startswith("Error: process 1 of 2 was ended by SIGKILL, as where memory is short;")
    assert said["killed"].count("Error") == 1
    until = time.monotonic() + 60
    while any(alive(process) for process in waiting):
        assert time.monotonic() < until, "they end with their launcher"
        time.sleep(0.2)
    assert ended(orphaned) == -signal.SIGKILL


@pytest.mark.parametrize(("codes", "code"), [([130, -15], 130), ([-15, 2], 2), ([1], 1), ([-9, 2], 2)])
def test_what_a_process_has_said_counts_more_than_a_signal(codes, code):
    failures = {rank: SimpleNamespace(exitcode=each) for rank, each in enumerate(codes)}
    assert launch._code(failures, 2) == code
