"""Candidates that are networks, each from the table through leaderboard, report and export to its predictions."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import here, write_table
from test_auto import SMALL, only, run_here

import bioautoml_nni.auto.attempt
from bioautoml_nni.architecture.budgets import BUDGETS
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runtime.model import Model
from bioautoml_nni.search_spaces.candidates import (
    FineTunedCandidate,
    StudentCandidate,
    TrunkCandidate,
    TunedTrunkCandidate,
)

CASES = {
    "station": ("majority", "searched_fine_tuned"),
    "trap": ("majority", "probe", "searched", "ensemble_student"),
    "pi": ("majority", "fine_tuned"),
}


@pytest.fixture(scope="module", params=["station", "trap", pytest.param("pi", marks=pytest.mark.nightly)])
def tried(request, tmp_path_factory):
    """A finished portfolio for a device: the device, its folder, its table, and what it said."""
    folder = tmp_path_factory.mktemp(request.param)
    table = write_table(folder / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bioautoml_nni.auto.attempt, "run_process", run_here)
        patch.setattr("bioautoml_nni.search_spaces.candidates.SIZE", 64)
        patch.setattr(FineTunedCandidate, "epochs", 1)
        patch.setattr(TrunkCandidate, "search_epochs", 1)
        patch.setattr(TunedTrunkCandidate, "search_epochs", 1)
        patch.setattr(TunedTrunkCandidate, "training_epochs", 1)
        patch.setattr(StudentCandidate, "training_epochs", 2)
        only(patch, *CASES[request.param])
        done = here(
            "auto", table, "--output", folder / "out", "--minutes", 600, "--target", request.param, *SMALL
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return request.param, folder / "out", table, done


def test_every_network_is_finished_and_within_its_device(tried):
    target, out, _, done = tried
    table = pd.read_csv(out / "leaderboard.csv").set_index("candidate")
    for name in set(CASES[target]) - {"majority", "probe"}:
        line = table.loc[name]
        assert line["status"] in ("done", "winner"), done.stdout
        assert line[["validation_macro_f1", "test_macro_f1", "latency_ms", "seconds"]].notna().all()
        assert not BUDGETS[target].overrun(line["parameters"], 1e6 * line["mflops"])
    if target == "trap":
        assert table.loc["probe", "status"] == "over the limits" and "teacher: " in done.stdout
        settings = json.loads((out / "candidates/ensemble_student.json").read_text())["settings"]
        taught = RunDirectory.open(out / "candidates/ensemble_student").experiment.training.distillation
        assert taught.teacher == settings["training.distillation"]["teacher"] == str(out / "teacher.parquet")


def test_every_network_answers_from_its_export_as_it_was_scored(tried, tmp_path):
    target, out, path, _ = tried
    table = pd.read_csv(path)
    for name in set(CASES[target]) - {"majority"}:
        model = Model.load(out / f"candidates/{name}")
        tested = pd.read_csv(out / f"candidates/{name}/evaluation/predictions.csv")
        rows = table.loc[tested["id"]].reset_index(drop=True)
        logits, failures = model.predict_rows(rows, path.parent, "image")
        answers = model.decisions().answers(model.probabilities(logits))
        assert not any(failures)
        # Stored features are rounded to half precision, so that a specimen between two classes may fall either way.
        assert (answers["prediction"].to_numpy() == tested["predicted"].to_numpy()).mean() >= 0.9, name


def test_the_winner_predicts_and_the_report_tells_of_all(tried, tmp_path):
    target, out, path, _ = tried
    done = here("predict", out, path, "--output", tmp_path / "answers.csv")
    assert done.returncode == 0, done.stderr
    answers = pd.read_csv(tmp_path / "answers.csv")
    assert len(answers) == 72 and answers["prediction"].isin(["ant", "bee", "cicada"]).all()
    assert np.isfinite(answers["confidence"]).all()
    html = (out / "report.html").read_text()
    assert all(name in html for name in CASES[target])
