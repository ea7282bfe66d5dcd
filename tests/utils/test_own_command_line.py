"""The command that a run remembers is one that a person can give again."""

import sys

import pytest

from bioautoml_nni.utils.command_line import command_line


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["/home/ana/.venv/bin/bioautoml", "run", "my data/experiment.yml"], "bioautoml run 'my data/experiment.yml'"),
        (["-c", "run", "experiment.yml"], "bioautoml run experiment.yml"),
        (["/home/ana/search.py"], "search.py"),
        (["-c"], "-c"),
    ],
)
def test_own_processes_are_told_as_the_command(monkeypatch, arguments, told):
    monkeypatch.setattr(sys, "argv", arguments)
    assert command_line() == told
