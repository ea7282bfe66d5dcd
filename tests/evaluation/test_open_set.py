"""Specimens of labels that were never learned: scores against scikit-learn and by hand, and a whole run."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import here, in_process, write_experiment
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import roc_curve

from bioautoml_nni.evaluation.open_set import detection, known_scores, open_set
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.networks import load_model, predict_logits
from bioautoml_nni.runs.prepared import PreparedData


@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(1, 60), st.booleans())
@settings(max_examples=60)
def test_detection_agrees_with_the_roc_curve(seed, knowns, unknowns, ties):
    rng = np.random.default_rng(seed)
    known, unknown = rng.normal(1, 1, knowns), rng.normal(0, 1, unknowns)
    if ties:
        known, unknown = known.round(), unknown.round()
    found = detection(known, unknown)
    wins = (known[:, None] > unknown).mean() + 0.5 * (known[:, None] == unknown).mean()
    assert found["auroc"] == pytest.approx(wins)
    truth = np.repeat([1, 0], [knowns, unknowns])
    false, true, _ = roc_curve(truth, np.concatenate([known, unknown]), drop_intermediate=False)
    assert found["fpr95"] == pytest.approx(false[np.flatnonzero(true >= 0.95 - 1e-12)[0]])


def test_the_scores_are_those_of_the_papers():
    logits = np.array([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    found = known_scores(logits, 2.0)
    np.testing.assert_allclose(found["max_softmax"], softmax(logits / 2, axis=1).max(axis=1))
    np.testing.assert_allclose(found["energy"], np.log(np.exp(logits).sum(axis=1)))


def test_what_is_answered_and_where_it_ends_up_by_rank():
    known = np.log(np.array([[0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [0.4, 0.3, 0.3], [0.1, 0.8, 0.1]]))
    unknown = np.log(np.array([[0.7, 0.2, 0.1], [0.34, 0.33, 0.33], [0.45, 0.1, 0.45], [0.2, 0.2, 0.6]]))
    thresholds = [{"accuracy": 0.9, "threshold": 0.6}, {"accuracy": 0.99, "threshold": None}]
    table = pd.DataFrame({"order": ["Diptera", "Diptera", "Coleoptera", "Odonata"]})
    found = open_set(known, unknown, 1.0, thresholds, table, {"order": ["Diptera", "Diptera", "Coleoptera"]})
    assert found["specimens"] == 4
    assert found["answered"] == [{"accuracy": 0.9, "threshold": 0.6, "known": 0.75, "unknown": 0.5}]
    assert found["by_rank"] == {"order": {"specimens": 3, "accuracy": pytest.approx(2 / 3)}}, "Odonata is not known"


def test_a_run_keeps_held_out_labels_from_everything_but_the_question(table_root, tmp_path):
    path = write_experiment(tmp_path, table_root)
    raw = yaml.safe_load(path.read_text())
    raw["data"]["hold_out"] = ["cicada"]
    raw["search"]["epochs"] = raw["training"]["epochs"] = 1
    path.write_text(yaml.safe_dump(raw))
    run = tmp_path / "run"
    done = here("run", path, "--output", run)
    assert done.returncode == 0, done.stdout + done.stderr
    part = pd.read_csv(run / "splits.csv")["part"]
    labels = pd.read_parquet(run / "manifest.parquet")["_label"]
    assert set(labels[part == "unknown"]) == {"cicada"} and "cicada" not in set(labels[part != "unknown"])
    assert json.loads((run / "preprocessing.json").read_text())["classes"] == ["ant", "bee"]
    audit = json.loads((run / "audit.json").read_text())
    assert audit["held_out"] == {"cicada": 24} and audit["specimens"] == 48
    assert not [remark for remark in audit["remarks"] if "cicada" in remark["text"]]
    metrics = json.loads((run / "evaluation/metrics.json").read_text())
    assert metrics["classes"] == 2 and sum(metrics["split"]["sizes"].values()) == 48
    assert metrics["open_set"]["labels"] == ["cicada"] and metrics["open_set"]["specimens"] == 24
    data = PreparedData.load(RunDirectory.open(run))
    network = load_model(data.run, data)
    logits = [predict_logits(data, network, part)[0].double().numpy() for part in ("test", "unknown")]
    scaled = [softmax(each / metrics["calibration"]["temperature"], axis=1).max(axis=1) for each in logits]
    expected = {"max_softmax": scaled, "energy": [np.log(np.exp(each).sum(axis=1)) for each in logits]}
    for score, (known, unknown) in expected.items():
        wins = (known[:, None] > unknown).mean() + 0.5 * (known[:, None] == unknown).mean()
        assert metrics["open_set"]["detection"][score]["auroc"] == pytest.approx(wins, abs=0.01)
    assert "never learned cicada" in (run / "report.html").read_text()


def test_a_label_that_nobody_has_is_named(table_root, tmp_path, capsys):
    path = write_experiment(tmp_path, table_root)
    code, text = in_process(capsys, "run", path, "--output", tmp_path / "run", "--set", "data.hold_out=[cicadas]")
    assert code == 2 and "data.hold_out: no specimen has the label 'cicadas' (did you mean 'cicada'" in text


def test_something_must_be_left_to_learn(table_root, tmp_path, capsys):
    path = write_experiment(tmp_path, table_root)
    for number, (labels, message) in enumerate(
        (("[ant, bee, cicada]", "names all labels"), ("[ant, bee]", "two classes at least"))
    ):
        held = ("--set", f"data.hold_out={labels}")
        code, said = in_process(capsys, "run", path, "--output", tmp_path / str(number), *held)
        assert code == 2 and message in said
