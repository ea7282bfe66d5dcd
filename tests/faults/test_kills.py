"""Power cuts: kills across all stages (nightly 56), after which everything is as if there had been none."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import surroundings, write_experiment, write_table

pytestmark = pytest.mark.faults
STAGES = ("prepare", "search", "derive", "retrain", "evaluate", "report", "export", "predict")
TIMES = {"provenance.json", "report.html", "evaluation/speed.json"}
"""Files that say how long something took."""


@pytest.fixture(scope="module", params=[2, pytest.param(7, marks=pytest.mark.nightly)])
def runs(request, tmp_path_factory):
    """A folder with a run that was left alone and a killed one, what was done to that, and the kills of a stage."""
    folder = tmp_path_factory.mktemp("kills")
    write_table(folder / "data", rows=144)
    settings = {"search": {"epochs": 4, "batch_size": 8}, "training": {"epochs": 4, "batch_size": 8, "ema_decay": 0.9}}
    write_experiment(folder, folder / "data", **settings)
    script = Path(__file__).with_name("victims.py")
    environment = surroundings(XDG_CACHE_HOME=str(folder / "cache"))
    done = subprocess.run(
        [sys.executable, script, folder, str(request.param)],
        capture_output=True,
        text=True,
        timeout=900,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    return folder, json.loads(done.stdout.splitlines()[-1]), request.param


def test_every_stage_was_killed(runs):
    _, said, kills = runs
    assert said["kills"] == dict.fromkeys(STAGES, kills)


def names(run: Path) -> set[str]:
    """Files of a run; NNI's own folder has one experiment for every attempt, each with a number of its own."""
    found = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("search/nni/")}


def test_the_same_files_are_there_and_no_others(runs):
    folder, *_ = runs
    assert names(folder / "killed") == names(folder / "whole")
    made = {"data", "experiment.yml", "said.txt", "whole", "killed", "before", "whole.csv", "killed.csv"}
    assert {path.name for path in folder.iterdir()} - {"cache"} == made  # no cache if its last use was undone


def test_the_same_is_in_them(runs):
    folder, *_ = runs
    compared = 0
    for name in sorted(names(folder / "whole") - TIMES):
        one, other = folder / "whole" / name, folder / "killed" / name
        if name.endswith(".pt") and not name.startswith("export"):
            first, second = (torch.load(path, weights_only=True) for path in (one, other))
            assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first), name
        elif name.endswith(".parquet"):
            pd.testing.assert_frame_equal(pd.read_parquet(one), pd.read_parquet(other))
        elif name.endswith((".json", ".jsonl", ".csv", ".yml", ".svg", ".png")):
            assert one.read_bytes() == other.read_bytes(), name
        else:
            continue
        compared += 1
    assert compared >= 20
    assert (folder / "whole.csv").read_bytes() == (folder / "killed.csv").read_bytes()
    assert (folder / "killed/report.html").read_text().rstrip().endswith("</html>")
