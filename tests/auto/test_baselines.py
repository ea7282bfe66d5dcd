"""Baselines beside the network of `bioautoml run`."""

import json

import numpy as np
import pytest
from conftest import here, write_experiment, write_table
from rich.console import Console
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import f1_score

import bioautoml_nni.auto.baselines as baselines
from bioautoml_nni.artifacts.baselines import BaselineLine
from bioautoml_nni.compare.methods import MetadataBoosting
from bioautoml_nni.config.load import changed
from bioautoml_nni.report.baselines import FILE, beaten_by
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.utils.errors import DataError

QUICK = {"derivation": {"method": "random"}, "training": {"epochs": 1, "batch_size": 32, "warmup_steps": 1}}


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """A run with its default baselines, and what it said."""
    folder = tmp_path_factory.mktemp("beside")
    write_table(folder / "data")
    limited = {**QUICK, "derivation": {**QUICK["derivation"], "max_mflops": 20}}  # the probe has more
    experiment = write_experiment(folder, folder / "data", **limited, evaluation={"examples": 0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "CHEAP_SECONDS", 1e6)  # however busy this machine is
        done = here("run", experiment, "--output", folder / "run")
    assert done.returncode == 0, done.stderr
    return folder / "run", experiment, done


def test_the_report_tells_of_probe_and_boosting_on_the_same_split(beside):
    folder, _, done = beside
    lines = {line["name"]: line for line in json.loads((folder / FILE).read_text())["lines"]}
    assert set(lines) == {"probe", "metadata_boosting"} and all(line["test"] for line in lines.values())
    assert lines["probe"]["note"].endswith("Too large for the device: 0.195 GMACs, at most 0.01.")
    assert not lines["metadata_boosting"]["note"]
    data = PreparedData.load(RunDirectory.open(folder))
    train, test = data.in_training, (data.part == "test").to_numpy()
    encoded = data.metadata
    table = np.hstack([encoded.numeric, encoded.categorical, encoded.mask]).astype(float)
    model = HistGradientBoostingClassifier(class_weight="balanced", random_state=0)
    answers = model.fit(table[train], data.targets[train]).predict(table[test])
    expected = f1_score(data.targets[test], answers, average="macro", zero_division=0)
    assert lines["metadata_boosting"]["test"]["macro_f1"] == pytest.approx(expected)
    html = (folder / "report.html").read_text()
    assert "Beside simple baselines" in html and "A simple baseline beats this network" in html
    assert "A simple baseline beats this network" in " ".join(done.stdout.split())
    card = (folder / "MODEL_CARD.md").read_text()
    assert f"| metadata_boosting (a simple baseline) | {lines['metadata_boosting']['test']['accuracy']:.3f} |" in card
    assert "A simple baseline beats this network" in card
    assert not (folder / "baselines").exists()


def test_baselines_are_kept_and_tried_again_only_where_they_failed(beside, monkeypatch):
    folder, experiment, _ = beside
    before = (folder / FILE).read_bytes()
    monkeypatch.setattr(baselines, "_line", lambda *arguments: pytest.fail("tried again"))
    assert here("run", experiment, "--output", folder).returncode == 0
    assert (folder / FILE).read_bytes() == before


def test_a_baseline_that_fails_fails_nothing_else(beside, monkeypatch):
    def broken(self, data, seed):
        raise ZeroDivisionError("no such luck")

    run = RunDirectory.open(beside[0])
    run.experiment = changed(run.experiment, {"evaluation.baselines": ["metadata_boosting"]}, "test")
    console = Console(record=True, width=300)
    with monkeypatch.context() as patch:
        patch.setattr(MetadataBoosting, "predict", broken)
        assert baselines.add_baselines(run, console)
    assert "baseline metadata_boosting failed: ZeroDivisionError: no such luck" in console.export_text()
    assert json.loads((run / FILE).read_text())["lines"][0]["note"] == "failed: ZeroDivisionError: no such luck"
    assert baselines.add_baselines(run, console)
    assert [line["note"] for line in json.loads((run / FILE).read_text())["lines"]] == [""]


def test_a_baseline_that_takes_long_is_left_out_and_an_unknown_one_refused(beside, monkeypatch):
    folder, experiment, _ = beside
    data = PreparedData.load(RunDirectory.open(folder)).as_images()
    monkeypatch.setattr(baselines, "CHEAP_SECONDS", 0.0)
    monkeypatch.setattr(baselines, "CHEAP_SHARE", 0.0)
    data.run.experiment = changed(data.run.experiment, {"evaluation.baselines": "auto"}, "test")
    line = baselines._line("probe", data, None)
    assert line.test is None and "evaluation.baselines: [probe] asks for it" in line.note
    done = here("run", experiment, "--output", folder, "--set", "evaluation.baselines=[prob]")
    assert done.returncode == 2 and "did you mean 'probe'?" in " ".join(done.stderr.split())


def test_a_probe_learns_from_validation_only_where_the_network_has(beside, monkeypatch):
    """A refit that was asked for may have had no time (retrain.max_minutes); its settings alone do not tell."""
    run = RunDirectory.open(beside[0])
    run.experiment = changed(run.experiment, {"retrain.refit": True, "evaluation.baselines": ["probe"]}, "test")
    asked = []

    def stages(own, *rest):
        asked.append(own.experiment.space.arguments["refit"])
        raise DataError("enough")

    monkeypatch.setattr(baselines, "run_stages", stages)
    assert baselines.add_baselines(run, Console(quiet=True)) and asked == [False]
    monkeypatch.setattr(baselines, "learned_parts", lambda run: ["weights_train", "alpha_train", "validation"])
    assert baselines.add_baselines(run, Console(quiet=True)) and asked == [False, True]


def test_the_warning_names_the_best_baseline_that_is_better():
    lines = [
        BaselineLine(name=name, words="", test=None if score is None else {"macro_f1": score}, failed=False, note="")
        for name, score in (("a", 0.5), ("b", 0.7), ("c", None))
    ]
    assert "b reaches a macro-F1 of 0.700" in beaten_by({"macro": {"f1": 0.6}}, lines)
    assert beaten_by({"macro": {"f1": 0.7}}, lines) == "" and beaten_by({"macro": {"f1": 0.7}}, lines[2:]) == ""
