"""`bioautoml_nni.experiment`: an experiment file as NNI's own experiment, in Python."""

import json
import os
import subprocess
import sys

import pytest
import yaml
from conftest import free_port, tiny_experiment, write_experiment, write_table
from nni.nas.strategy import TPE

import bioautoml_nni
from bioautoml_nni.architecture.schema import Architecture
from bioautoml_nni.architecture.weights import as_text
from bioautoml_nni.nni_jobs.trial import trial_runs
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.utils.errors import ConfigError


def in_python(folder, program, *arguments):
    """Run a program as a user's script in `folder`."""
    (folder / "script.py").write_text(program)
    command = [sys.executable, "script.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


ONE_SHOT = """
import json, sys
import bioautoml_nni
exp = bioautoml_nni.experiment(sys.argv[1], sys.argv[2])
exp.run()
print("found", json.dumps(exp.export_top_models(formatter="dict")[0]))
exp.stop()
"""


def test_the_search_from_python_is_the_search_of_the_command_line(finished, tmp_path):
    whole = finished[0]
    said = in_python(tmp_path, ONE_SHOT, whole.parent / "experiment.yml", tmp_path / "run")
    for name in ("search/shares.json", "search/outcome.json", "splits.csv"):
        assert (tmp_path / "run" / name).read_text() == (whole / name).read_text(), name
    assert RunDirectory.open(tmp_path / "run").done("search"), "`bioautoml run` goes on from here"
    found = json.loads(said.rpartition("found ")[2].splitlines()[0])
    shares = json.loads((whole / "search/shares.json").read_text())
    edges = {label: own for label, own in shares.items() if "_edge_" in label}
    assert edges and all(found[label] == max(own, key=own.get) for label, own in edges.items())


MULTI_TRIAL = """
import json, sys
import bioautoml_nni
from nni.nas.strategy import RegularizedEvolution
strategy = RegularizedEvolution(population_size=2, sample_size=2)
exp = bioautoml_nni.experiment(sys.argv[1], "evolved", ["search.epochs=1"], strategy, max_trials=3, concurrency=2)
exp.run(int(sys.argv[2]))
print("found", exp.id, json.dumps(exp.export_top_models(formatter="dict")[0]))
exp.stop()
"""


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="NNI's manager is tested on Linux only")
def test_evolution_trains_architectures_as_trials_and_exports_the_best(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    write_table(tmp_path / "data")
    one = {"epochs": 1, "batch_size": 8, "warmup_steps": 2}
    experiment = write_experiment(tmp_path, tmp_path / "data", training=one)
    (tmp_path / "large").mkdir()
    (tmp_path / "large/file").write_text("not for the trials")
    said = in_python(tmp_path, MULTI_TRIAL, experiment, free_port())
    identity, _, best = said.rpartition("found ")[2].splitlines()[0].partition(" ")
    runs = trial_runs(tmp_path / "evolved" / identity)
    assert len(runs) == 3 and all((run["path"] / "report.html").is_file() for run in runs)
    scores = [run["result"]["default"] for run in runs]
    assert scores == sorted(scores, reverse=True)
    exported = {label: as_text(choice) for label, choice in json.loads(best).items()}
    winners = [run for run in runs if run["result"]["default"] == scores[0]]
    choices = [{key.rpartition(".")[2]: value for key, value in run["parameters"].items()} for run in winners]
    assert any(own.items() <= exported.items() for own in choices)
    for run in runs:
        architecture = Architecture.load(run["path"] / "architecture.json")
        for edge in architecture.cells["reduction"].edges:
            asked = run["parameters"][f"derivation.choices.reduction_edge_{edge.source}_{edge.target}"]
            assert edge.operation == asked or asked == "zero"
    assert not list((tmp_path / "evolved" / identity).rglob("large")), "trials get no copy of the working directory"


def test_what_cannot_be_searched_from_python_is_said_at_once(tmp_path):
    raw = tiny_experiment(tmp_path)
    with pytest.raises(ConfigError, match="nni-config --architectures"):
        bioautoml_nni.experiment(raw, tmp_path / "run", strategy="tpe")
    with pytest.raises(ConfigError, match="cannot choose several inputs"):
        bioautoml_nni.experiment(raw, tmp_path / "run", strategy=TPE())
    raw = {**raw, "space": {**raw.get("space", {}), "node_inputs": "sets"}}
    made = bioautoml_nni.experiment(raw, tmp_path / "sets", strategy=TPE())
    assert {type(choice).__name__ for choice in made.model_space.simplify().values()} == {"Categorical"}
    for override in ("derivation.method=random", "search.devices=2"):
        with pytest.raises(ConfigError, match="in one process"):
            bioautoml_nni.experiment(raw, tmp_path / "run", [override])
    file = tmp_path / "experiment.yml"
    file.write_text(yaml.safe_dump({**raw, "serch": {}}))
    with pytest.raises(ConfigError, match="serch"):
        bioautoml_nni.experiment(file, tmp_path / "run")
    assert not (tmp_path / "run").exists()
