"""Candidates of a portfolio as trials of NNI, on this machine and on another one, and what comes back of them."""

import os
from pathlib import Path

import pandas as pd
import pytest
from conftest import here, write_table
from stand_in_manager import Manager
from test_auto import SMALL, only, run_here

import bioautoml_nni.auto.attempt
from bioautoml_nni.auto.elsewhere import Lanes
from bioautoml_nni.nni_jobs.machines import bring
from bioautoml_nni.utils.errors import RunDirectoryError

NAMES = ("majority", "metadata_logistic", "searched")
MACHINE = {"user": "ana", "host": "lab1", "port": 2222}
REMOTE = ["--machine", "ana@lab1:2222", "--max-latency-ms", 10_000]
TIMES = ["seconds", "latency_ms"]


@pytest.fixture
def table(tmp_path):
    return write_table(tmp_path / "data")


@pytest.fixture(autouse=True)
def few_that_run_in_this_process(monkeypatch):
    monkeypatch.setattr(bioautoml_nni.auto.attempt, "run_process", run_here)
    only(monkeypatch, *NAMES)


@pytest.fixture
def far(tmp_path, monkeypatch):
    """The home of a user on a machine that an `ssh` reaches which stands before the real one."""
    home = tmp_path / "far home"
    for folder in (home, tmp_path / "bin"):
        folder.mkdir()
    ssh = tmp_path / "bin/ssh"
    ssh.write_text(f"#!/bin/sh\nfor last; do :; done\nHOME='{home}' exec sh -c \"$last\"\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}{os.pathsep}{os.environ['PATH']}")
    return home


def board(folder):
    return pd.read_csv(folder / "leaderboard.csv").set_index("candidate")


def test_a_candidate_that_nni_tries_is_the_same_as_one_that_is_tried_here(table, tmp_path, monkeypatch):
    manager, out = Manager(monkeypatch), tmp_path / "out"
    command = ["auto", table, "--minutes", 20, *SMALL]
    done = here(*command, "--on", "nni", "--output", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert manager.sent == [["searched"]] and "searched: has come to its end" in done.stdout
    assert "a trial of NNI" in " ".join(done.stdout.split())
    assert here(*command, "--output", tmp_path / "own").returncode == 0
    found, own = board(out), board(tmp_path / "own")
    pd.testing.assert_frame_equal(found.drop(columns=TIMES), own.drop(columns=TIMES))
    assert (found["seconds"] > 0).all() and (out / "export/export.json").is_file()
    assert not (out / "nni/running.json").exists()
    assert here(*command, "--on", "nni", "--output", out).returncode == 0 and len(manager.sent) == 1


def test_one_that_fails_is_named_and_sent_again(table, tmp_path, monkeypatch):
    manager, out = Manager(monkeypatch), tmp_path / "out"
    manager.broken = {"searched"}
    command = ["auto", table, "--minutes", 20, *SMALL, "--on", "nni", "--output", out]
    done = here(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    assert board(out).loc["searched", "status"] == "failed"
    assert "its trial t0 has ended as FAILED" in board(out).loc["searched", "note"]
    manager.broken = set()
    assert here(*command).returncode == 0
    assert manager.sent == [["searched"], ["searched"]] and board(out).loc["searched", "status"] in ("done", "winner")


def test_one_that_takes_too_long_is_out_of_time(table, tmp_path, monkeypatch):
    def slow(*arguments):
        raise TimeoutError("was ended after 60 s, see its log")

    Manager(monkeypatch)
    monkeypatch.setattr("bioautoml_nni.auto.elsewhere.attempt", slow)
    done = here("auto", table, "--minutes", 20, *SMALL, "--on", "nni", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    line = board(tmp_path / "out").loc["searched"]
    assert line["status"] == "out of time" and line["note"] == "was ended after 60 s, see its log"


def test_what_another_machine_has_made_comes_back_without_its_checkpoints(table, tmp_path, monkeypatch, far):
    manager, out = Manager(monkeypatch, far), tmp_path / "out"
    command = ["auto", table, "--minutes", 20, *SMALL, "--on", "nni", *REMOTE, "--output", out]
    done = here(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    (there,) = (far / "nni-experiments/portfolios").glob("*/candidates/searched")
    own = out / "candidates/searched"
    named = [{str(path.relative_to(each)) for path in each.rglob("*") if path.is_file()} for each in (there, own)]
    assert named[0] - named[1] == {"retrain/last.ckpt", "search/last.ckpt"} and not named[1] - named[0]
    assert (own / "export/model.onnx").read_bytes() == (there / "export/model.onnx").read_bytes()
    line = board(out).loc["searched"]
    assert line["status"] in ("done", "winner") and line["latency_ms"] > 0
    assert manager.config["trainingService"]["machineList"][0]["host"] == "lab1"


def test_a_run_that_no_machine_has_is_a_candidate_that_failed(table, tmp_path, monkeypatch, far):
    Manager(monkeypatch)  # whose trials leave their runs in the home of this machine, where nobody looks
    monkeypatch.setenv("HOME", str(tmp_path / "near"))
    command = ["auto", table, "--minutes", 20, *SMALL, "--on", "nni", *REMOTE, "--output", tmp_path / "out"]
    assert here(*command).returncode == 0
    assert board(tmp_path / "out").loc["searched", "note"] == "no machine has its run."


def test_a_machine_is_asked_for_a_folder(tmp_path, far):
    run = far / "it's here/candidates/a b"
    (run / "retrain").mkdir(parents=True)
    (run / "retrain/last.ckpt").write_text("large")
    (run / "metrics.json").write_text("{}")
    run.with_suffix(".log").write_text("said")
    (run.parent / "a b_2").mkdir()
    (tmp_path / "here/a b").mkdir(parents=True)
    (tmp_path / "here/a b/old").touch()
    assert bring(MACHINE, "~/it's here/candidates", "a b", tmp_path / "here")
    found = sorted(str(path.relative_to(tmp_path / "here")) for path in (tmp_path / "here").rglob("*"))
    assert found == ["a b", "a b.log", "a b/metrics.json", "a b/retrain"]
    assert not bring(MACHINE, "~/it's here/candidates", "c", tmp_path / "here")
    assert not bring(MACHINE, "~/nowhere", "a b", tmp_path / "here")
    (run / "link").symlink_to("/etc/passwd")
    with pytest.raises(RunDirectoryError, match=r"ana@lab1: a b has not come back whole"):
        bring(MACHINE, "~/it's here/candidates", "a b", tmp_path / "here")
    found = sorted(str(path.relative_to(tmp_path / "here")) for path in (tmp_path / "here").rglob("*"))
    assert found == ["a b", "a b.log", "a b/metrics.json", "a b/retrain"], "what was there stays"
    Path(os.environ["PATH"].split(os.pathsep)[0], "ssh").write_text("#!/bin/sh\necho 'no route' >&2\nexit 255\n")
    with pytest.raises(RunDirectoryError, match=r"ana@lab1: a b has not come back \(no route\)"):
        bring(MACHINE, "~/it's here/candidates", "a b", tmp_path / "here")


def test_the_first_worker_that_is_free_takes_the_next():
    lanes = Lanes.of(2)
    starts = []
    for seconds in (10, 3, 4, 5):
        starts.append(lanes.start)
        lanes.take(seconds)
    assert starts == [0, 0, 3, 7] and sorted(lanes.free) == [10, 12]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--on", "slurm"], "--on slurm: is unknown"),
        (["--jobs", 2], "--jobs: is of --on nni; add it"),
        (["--machine", "ana@lab1"], "--machine, --remote-python and --gpus-per-trial: are of --on nni"),
        (["--on", "nni", "--machine", "lab1", "--minutes", 20, *SMALL], "--machine lab1: write it as USER@HOST"),
    ],
)
def test_options_that_fit_no_portfolio_are_refused(table, tmp_path, options, words):
    done = here("auto", table, "--output", tmp_path / "out", *options)
    assert done.returncode == 2 and words in " ".join(done.stderr.split())


@pytest.mark.nightly
def test_a_candidate_is_a_trial_of_the_real_manager(table, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    done = here("auto", table, "--minutes", 20, *SMALL, "--on", "nni", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert board(tmp_path / "out").loc["searched", "status"] in ("done", "winner")
