"""Rows of a comparison as trials of NNI: what is sent, what comes back, and what is told where nothing does."""

from __future__ import annotations

import json
import shlex
import threading
from http.server import ThreadingHTTPServer

import pandas as pd
import pytest
import yaml
from conftest import COMMAND, in_process, write_experiment, write_table
from stand_in_manager import Manager

from bioautoml_nni.compare.protocol import _plan, _require_one_table
from bioautoml_nni.config import load_experiment
from bioautoml_nni.nni_jobs import named_trials as on_nni
from bioautoml_nni.nni_jobs.template import ROW_TRIALS, Remote, Workers
from bioautoml_nni.utils.errors import RunDirectoryError


@pytest.fixture
def experiment(tmp_path):
    write_table(tmp_path / "data")
    changes = {"source": "csv", "root": str(tmp_path / "data"), "modalities": ["metadata"]}
    changes |= {"columns": {"length_mm": "size"}, "split": {"method": "group", "group": "event"}}
    return write_experiment(tmp_path, tmp_path / "data", data=changes)


ROWS = "majority,metadata_logistic"


def test_rows_come_back_and_those_that_failed_are_sent_again(experiment, tmp_path, monkeypatch, capsys):
    manager, out = Manager(monkeypatch), tmp_path / "out"
    manager.broken = {"seed 1: majority"}
    command = ["compare", experiment, "--rows", ROWS, "--seeds", 2, "--on", "nni", "--jobs", 3, "--output", out]
    code, said = in_process(capsys, *command)
    assert code == 2 and "1 of 4 runs failed" in said
    assert "seed 1: majority: its trial t2 has ended as FAILED; its log is file://localhost:/trial.log." in said
    manager.broken = set()
    code, said = in_process(capsys, *command)
    assert code == 0, said
    names = [f"seed {seed}: {row}" for seed in (0, 1) for row in ROWS.split(",")]
    assert manager.sent == [names, ["seed 1: majority"]]
    assert manager.config["trialConcurrency"] == 3 and manager.config["trainingService"]["platform"] == "local"
    own = [*command[:6], "--output", tmp_path / "own"]
    assert in_process(capsys, *own)[0] == 0
    tables = [pd.read_csv(folder / "compare.csv").drop(columns="train_seconds") for folder in (out, tmp_path / "own")]
    pd.testing.assert_frame_equal(*tables)
    assert not (out / "nni/running.json").exists()
    changed = [*command, "--set", "data.split.test_fraction=0.4"]
    code, said = in_process(capsys, *changed)
    assert code == 2 and "holds rows of another experiment, or of other settings" in said


def test_a_row_that_fails_says_why_and_an_end_without_trials_is_told(experiment, tmp_path, monkeypatch, capsys):
    manager = Manager(monkeypatch)
    command = ["compare", experiment, "--rows", "image_only", "--seeds", 1, "--on", "nni", "--output", tmp_path / "out"]
    monkeypatch.setattr("bioautoml_nni.compare.protocol.run_process", broken_run)
    code, said = in_process(capsys, *command)
    assert code == 2 and "seed 0: image_only: ended with code 2, see its log." in said and said.count("its log") == 1
    manager.broken, manager.state = {"seed 0: image_only"}, "ERROR"
    monkeypatch.setattr(Manager, "trial", lambda *given: {"status": "WAITING"})
    code, said = in_process(capsys, *command)
    assert code == 2 and "has no trial, since NNI's experiment has ended (error)" in said


def test_what_a_killed_command_has_left_running_is_stopped(tmp_path, monkeypatch):
    manager, stopped, file = Manager(monkeypatch), [], tmp_path / "running.json"
    monkeypatch.setattr(on_nni, "nnictl", lambda arguments, host: stopped.append(arguments))
    server = ThreadingHTTPServer(("127.0.0.1", 0), manager.answers())
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for identity in ("other", "abc"):  # of which the first has its port no more
        file.write_text(json.dumps({"port": server.server_port, "id": identity}))
        on_nni._stop_left_over(file)
        assert not file.exists()
    assert stopped == [["stop", "--port", str(server.server_port)]]
    server.shutdown()
    server.server_close()
    file.write_text(json.dumps({"port": server.server_port, "id": "abc"}))
    on_nni._stop_left_over(file)
    assert len(stopped) == 1 and not file.exists()


def broken_run(*arguments):
    raise RunDirectoryError("ended with code 2, see its log.")


def test_what_nni_is_told_for_machines(experiment, tmp_path):
    remote = Remote(["ana@lab1:2222", "ana@lab2"], "~/.ssh/key", "/opt/bin")
    loaded = load_experiment(experiment)
    trials = on_nni.NamedTrials(ROW_TRIALS, tmp_path / "out", Workers(4, 1, remote), None)
    config = yaml.safe_load(trials._written(loaded, ["a"], {}).read_text())
    assert [each["host"] for each in config["trainingService"]["machineList"]] == ["lab1", "lab2"]
    words = shlex.split(config["trialCommand"])
    assert words[words.index("--beside") + 1] == "2" and config["trialGpuNumber"] == 1
    assert words[words.index("--rows-in") + 1].startswith("~/nni-experiments/comparisons/tiny-")
    assert load_experiment(tmp_path / "out/nni/experiment.yml").data.root == tmp_path / "data"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--on", "slurm"], "--on slurm: is unknown"),
        (["--machine", "ana@lab1"], "--machine, --remote-python and --gpus-per-trial: are of --on nni"),
        (["--on", "nni", "--machine", "lab1"], "--machine lab1: write it as USER@HOST"),
    ],
)
def test_options_that_do_not_fit_are_refused(experiment, tmp_path, capsys, options, words):
    code, said = in_process(capsys, "compare", experiment, "--output", tmp_path / "out", *options)
    assert code == 2 and words in said


def test_rows_that_were_scored_on_other_data_are_no_table(experiment, tmp_path):
    jobs = {job.name: job for job in _plan(load_experiment(experiment), ["majority", "image_only"], 2, tmp_path)}
    same = {name: {"data_sha256": "b" if "image_only" in name else "a"} for name in jobs}
    _require_one_table(jobs, same)  # image_only reads other data, on every machine
    with pytest.raises(RunDirectoryError, match="seed 1: majority: was scored on other data than seed 0: majority"):
        _require_one_table(jobs, {**same, "seed 1: majority": {"data_sha256": "c"}})


@pytest.mark.nightly
def test_rows_are_trials_of_the_real_manager(experiment, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert COMMAND
    out = tmp_path / "out"
    code, said = in_process(capsys, "compare", experiment, "--rows", ROWS, "--seeds", 2, "--on", "nni", "-o", out)
    assert code == 0, said
    table = pd.read_csv(out / "compare.csv")
    assert sorted(zip(table["row"], table["seed"], strict=True)) == [
        (row, seed) for row in sorted(ROWS.split(",")) for seed in (0, 1)
    ]
