"""Ctrl-C in a search and in a training: one sentence, nothing of NNI and Lightning, and the run goes on later."""

from __future__ import annotations

import signal

import pytest
from conftest import tiny_experiment
from rich.console import Console

from bioautoml_nni.cli import main as command_line
from bioautoml_nni.config import parse_experiment
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.stages.run import run_stages


@pytest.fixture
def ctrl_c():
    """Ctrl-C as a terminal has it; a shell's background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_ends_search_and_training_as_an_interruption(ctrl_c, table_root, tmp_path, capfd):
    experiment = parse_experiment(tiny_experiment(table_root, search={"epochs": 2, "batch_size": 24}))
    run = RunDirectory.create(tmp_path / "run", experiment)
    stages, before = ["prepare", "search", "derive", "retrain"], signal.getsignal(signal.SIGINT)
    run_stages(run, stages[:1], Console(quiet=True))
    capfd.readouterr()
    pressed = []

    def press(stage: str, line: object) -> None:
        if stage not in pressed:
            pressed.append(stage)
            signal.raise_signal(signal.SIGINT)

    run.listeners.append(press)
    for stage in ("search", "retrain"):
        with pytest.raises(KeyboardInterrupt):
            run_stages(run, stages, Console(quiet=True))
        assert pressed[-1] == stage and not run.done(stage) and signal.getsignal(signal.SIGINT) is before
    said = capfd.readouterr()
    assert said.out + said.err == ""
    run_stages(run, stages, Console(quiet=True))
    assert run.done("retrain")


def test_the_command_line_says_how_to_go_on(monkeypatch, capsys, tmp_path):
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bioautoml_nni.config.load_experiment", interrupted)
    monkeypatch.setattr("sys.argv", ["bioautoml", "run", str(tmp_path / "experiment.yml")])
    monkeypatch.setattr(command_line.errors, "_file", None)
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err.strip() == "Interrupted; give the same command again to continue."
