"""A search whose loss is not finite goes back to its last completed epoch, with a lower rate."""

from __future__ import annotations

import json

import pytest
from conftest import tiny_experiment, write_table
from rich.console import Console

from bioautoml_nni.artifacts.history import read_history
from bioautoml_nni.config import parse_experiment
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.training.module import SpecimenModule
from bioautoml_nni.utils.errors import DataError


def search(folder, monkeypatch, faults):
    """Search three epochs; the loss is not a number in the first `faults` attempts at the second epoch."""
    write_table(folder / "data")
    raw = tiny_experiment(folder / "data", search={"epochs": 3, "batch_size": 8, "max_restarts": 2})
    run = RunDirectory.create(folder / "run", parse_experiment(raw))
    ordinary, left = SpecimenModule.training_step, [faults]

    def faulty(module, batch, index):
        loss = ordinary(module, batch, index)
        if module.trainer.current_epoch == 1 and left[0] > 0:
            left[0] -= 1
            return loss * float("nan")
        return loss

    monkeypatch.setattr(SpecimenModule, "training_step", faulty)
    run_stages(run, ["prepare", "search"], Console(quiet=True))
    return run


def test_it_goes_on_with_half_the_rate(tmp_path, monkeypatch):
    rates = {}
    for faults in (0, 1):
        with monkeypatch.context() as patch:
            run = search(tmp_path / str(faults), patch, faults)
        rates[faults] = [entry["learning_rate"] for entry in read_history(run / "search/history.jsonl")]
        outcome = json.loads((run / "search/outcome.json").read_text())
        assert outcome == {"version": 1, "stopped": None, "rate_factor": 0.5**faults}
    assert rates[1][0] == rates[0][0], "the sound epoch was kept"
    assert rates[1][1:] == pytest.approx([rate / 2 for rate in rates[0][1:]])


def test_it_gives_up_with_one_clear_sentence(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="not finite in 3 attempts; lower search.learning_rate"):
        search(tmp_path, monkeypatch, faults=99)
    assert not (tmp_path / "run/search/outcome.json").exists()
