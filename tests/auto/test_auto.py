"""`bioautoml auto` on the tests' own table: plan, leaderboard, choice, export, resume, and what goes wrong."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import here, write_table
from rich.console import Console
from sklearn.metrics import f1_score

import bioautoml_nni.auto.attempt
import bioautoml_nni.auto.joining
from bioautoml_nni.auto._base import Candidate
from bioautoml_nni.auto.plan import fit_into
from bioautoml_nni.auto.records import COLUMNS
from bioautoml_nni.compare.methods import MetadataBoosting, MetadataLogistic
from bioautoml_nni.runs.directory import STAGES
from bioautoml_nni.runtime.model import Model
from bioautoml_nni.stages.run import run_stages

CANDIDATES = ("majority", "metadata_boosting", "metadata_logistic", "searched")
SMALL = [
    *("--set", "space.channels=4"), *("--set", "space.cells=2"), *("--set", "data.image_size=16"),
    *("--set", "search.epochs=2"), *("--set", "training.epochs=2"), *("--set", "strategy.warmup_epochs=0"),
    *("--set", "evaluation.examples=0"), *("--set", "training.warmup_steps=1"),
]  # fmt: skip


def run_here(run, threads, seconds=None):
    """Do a run in this process, which saves the seconds of importing torch."""
    run_stages(run, list(STAGES), Console(quiet=True))


def only(monkeypatch, *names):
    """Let a portfolio have a few of the candidates."""
    import bioautoml_nni.auto.plan as plan

    plugins = plan.plugins
    few = {name: plugins("candidates")[name] for name in names}
    monkeypatch.setattr(plan, "plugins", lambda kind: few if kind == "candidates" else plugins(kind))


@pytest.fixture(autouse=True)
def runs_in_this_process(monkeypatch):
    monkeypatch.setattr(bioautoml_nni.auto.attempt, "run_process", run_here)


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """A finished portfolio without the candidate that needs a teacher, its command and what it said."""
    folder = tmp_path_factory.mktemp("auto")
    table = write_table(folder / "data")
    command = ("auto", table, "--output", folder / "out", "--minutes", 20, *SMALL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bioautoml_nni.auto.attempt, "run_process", run_here)
        only(patch, *CANDIDATES)
        done = here(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out", command, done


def test_the_leaderboard_has_a_line_for_every_candidate_and_one_winner(tried):
    table = pd.read_csv(tried[0] / "leaderboard.csv")
    assert tuple(table.columns) == COLUMNS
    assert {"majority", "metadata_boosting", "metadata_logistic", "searched"} <= set(table["candidate"])
    assert (table["status"] == "winner").sum() == 1 and table.loc[0, "status"] == "winner"
    done = table[table["status"].isin(["winner", "done"])]
    assert done[["validation_macro_f1", "test_macro_f1", "parameters", "latency_ms", "seconds"]].notna().all().all()
    assert table.set_index("candidate").loc["majority", "status"] == "baseline"


def test_scores_are_those_that_a_reader_would_compute(tried):
    table = pd.read_csv(tried[0] / "leaderboard.csv").set_index("candidate")
    for name in ("metadata_boosting", "searched"):
        predictions = pd.read_csv(tried[0] / f"candidates/{name}/evaluation/predictions.csv")
        expected = f1_score(predictions["label"], predictions["predicted"], average="macro", zero_division=0)
        assert table.loc[name, "test_macro_f1"] == pytest.approx(expected)


def test_all_candidates_are_scored_on_the_same_specimens(tried):
    shared = pd.read_csv(tried[0] / "data/splits.csv")
    assert pd.read_csv(tried[0] / "candidates/searched/splits.csv").equals(shared)
    tested = shared.loc[shared["part"] == "test", "id"].tolist()
    for name in ("metadata_boosting", "searched"):
        predictions = pd.read_csv(tried[0] / f"candidates/{name}/evaluation/predictions.csv")
        assert predictions["id"].tolist() == tested


def test_the_winner_is_exported_ready_to_predict(tried, tmp_path):
    out, command, _ = tried
    done = here("predict", out, command[1], "--output", tmp_path / "answers.csv")
    assert done.returncode == 0, done.stderr
    answers = pd.read_csv(tmp_path / "answers.csv")
    winner = pd.read_csv(out / "leaderboard.csv").loc[0, "candidate"]
    tested = pd.read_csv(out / f"candidates/{winner}/evaluation/predictions.csv")
    ids = tested["id"].to_numpy()
    assert answers["prediction"].to_numpy()[ids].tolist() == tested["predicted"].tolist()


def test_boosting_is_exported_as_onnx_that_answers_alike(tried):
    folder = tried[0] / "candidates/metadata_boosting"
    model = Model.load(folder)
    table = pd.read_csv(tried[1][1])
    tested = pd.read_csv(folder / "evaluation/predictions.csv")
    answers = model.decisions().answers(model.probabilities(model.logits(None, table.loc[tested["id"]])))
    assert answers["prediction"].tolist() == tested["predicted"].tolist() and not model.uses_images


def test_an_ensemble_is_one_exported_file_of_the_weighted_mean(tried, tmp_path, monkeypatch):
    shutil.copytree(tried[0], tmp_path / "out")
    (tmp_path / "out/candidates/ensemble.json").unlink(missing_ok=True)
    even = np.full(3, 1 / 3)
    monkeypatch.setattr(bioautoml_nni.auto.joining, "weigh", lambda *arguments: even)
    monkeypatch.setattr(bioautoml_nni.auto.joining, "promising", lambda *arguments: [0, 1, 2])
    only(monkeypatch, *CANDIDATES)
    done = here(*tried[1][:2], "--output", tmp_path / "out", *tried[1][4:])
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out/candidates/ensemble"
    model = Model.load(folder)
    assert model.uses_images and model.uses_metadata and len(list((folder / "export").glob("*.onnx"))) == 1
    members = [Model.load(tmp_path / "out/candidates" / name) for name in CANDIDATES[1:]]
    table = pd.read_csv(tried[1][1])
    mean = (
        sum(member.probabilities(member.predict_rows(table, tried[1][1].parent, "image")[0]) for member in members) / 3
    )
    logits, _ = model.predict_rows(table, tried[1][1].parent, "image")
    assert np.allclose(np.exp(logits), mean, atol=1e-5)
    board = pd.read_csv(tmp_path / "out/leaderboard.csv").set_index("candidate")
    parts = board.loc[list(CANDIDATES[1:]), "parameters"]
    shared = parts.sum() - board.loc["ensemble", "parameters"]
    assert 0 <= shared < 50  # means and deviations of the same columns, which two members have and the file once
    assert "0.33 searched" in board.loc["ensemble", "note"]


def test_the_report_says_why_and_the_experiment_says_what_was_guessed(tried):
    out, _, done = tried
    html = (out / "report.html").read_text()
    choice = json.loads((out / "choice.json").read_text())
    assert choice["winner"] in html and html.count('class="dot"') >= 2 and "What was guessed" in html
    assert "Validation alone decided" in " ".join(html.split())
    text = (out / "experiment.yml").read_text()
    assert "# by its name" in text and "plan for 20 minutes" in done.stdout and "guessed:" in done.stdout


def test_a_second_call_tries_nothing_again_and_another_experiment_is_refused(tried, monkeypatch):
    out, command, _ = tried
    before = {path: path.stat().st_mtime_ns for path in out.glob("candidates/*/evaluation/metrics.json")}
    only(monkeypatch, *CANDIDATES)
    done = here(*command)
    assert done.returncode == 0, done.stderr
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("candidates/*/evaluation/metrics.json")}
    other = here(*command, "--seed", 5)
    assert other.returncode == 2 and "another experiment" in other.stderr


def test_the_written_experiment_repeats_it(tried, tmp_path, monkeypatch):
    out = tried[0]
    shutil.copytree(out, tmp_path / "out")
    before = pd.read_csv(out / "leaderboard.csv")
    only(monkeypatch, *CANDIDATES)
    done = here("auto", out / "experiment.yml", "--output", tmp_path / "out", "--minutes", 20)
    assert done.returncode == 0, done.stderr
    after = pd.read_csv(tmp_path / "out/leaderboard.csv")
    pd.testing.assert_series_equal(before["validation_macro_f1"], after["validation_macro_f1"])


def test_a_candidate_that_crashes_leaves_the_others_and_is_tried_again(table_root, tmp_path, monkeypatch):
    only(monkeypatch, "majority", "metadata_boosting", "metadata_logistic")
    command = ("auto", table_root, "--output", tmp_path / "out", "--minutes", 5, *SMALL)

    def broken(self, data, seed):
        raise ZeroDivisionError("no such luck")

    with monkeypatch.context() as patch:
        patch.setattr(MetadataBoosting, "predict", broken)
        done = here(*command)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out/leaderboard.csv").set_index("candidate")
    assert table.loc["metadata_boosting", "status"] == "failed"
    assert "ZeroDivisionError: no such luck" in table.loc["metadata_boosting", "note"]
    assert table.loc["metadata_logistic", "status"] == "winner"
    assert here(*command).returncode == 0
    again = pd.read_csv(tmp_path / "out/leaderboard.csv").set_index("candidate")
    assert again.loc["metadata_boosting", "status"] in ("done", "winner")


KILLED = """\
import os, signal, sys
from bioautoml_nni.cli.main import main
from bioautoml_nni.compare.methods import MetadataBoosting
MetadataBoosting.predict = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


@pytest.mark.parametrize("end", ["interrupted", "killed"])
def test_a_call_that_ends_early_resumes_and_does_nothing_again_that_was_done(table_root, tmp_path, monkeypatch, end):
    only(monkeypatch, "majority", "metadata_boosting", "metadata_logistic")
    command = ("auto", table_root, "--output", tmp_path / "out", "--minutes", 20, *SMALL)

    def interrupted(self, data, seed):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if end == "interrupted":
            patch.setattr(MetadataBoosting, "predict", interrupted)
            assert here(*command).returncode == 130
        else:
            ended = subprocess.run([sys.executable, "-c", KILLED, *map(str, command)], capture_output=True)
            assert ended.returncode == -signal.SIGKILL
    done = tmp_path / "out/candidates/metadata_logistic.json"
    before = done.stat().st_mtime_ns, (tmp_path / "out/candidates/metadata_logistic/model.onnx").stat().st_mtime_ns
    assert not (tmp_path / "out/candidates/metadata_boosting.json").exists()
    with monkeypatch.context() as patch:
        patch.setattr(MetadataLogistic, "predict", lambda *arguments: pytest.fail("done again"))
        assert here(*command).returncode == 0
    after = done.stat().st_mtime_ns, (tmp_path / "out/candidates/metadata_logistic/model.onnx").stat().st_mtime_ns
    table = pd.read_csv(tmp_path / "out/leaderboard.csv").set_index("candidate")
    assert after == before and table.loc["metadata_boosting", "status"] in ("done", "winner")


def test_limits_that_nothing_meets_and_time_for_nothing_are_one_sentence(table_root, tmp_path, monkeypatch):
    only(monkeypatch, "majority", "metadata_boosting", "metadata_logistic")
    done = here("auto", table_root, "--output", tmp_path / "a", "--minutes", 5, "--max-parameters", 1, *SMALL)
    assert done.returncode == 2 and "no candidate meets the limits" in done.stderr
    assert "metadata_logistic" in done.stderr and "leaderboard.csv" in done.stderr
    done = here("auto", table_root, "--output", tmp_path / "b", "--minutes", 0.001, *SMALL)
    assert done.returncode == 2 and "is not enough for any candidate" in done.stderr


def test_bad_input_is_one_sentence(table_root, tmp_path, monkeypatch):
    only(monkeypatch, "majority", "metadata_logistic")
    for arguments, words in (
        (("--target", "moon", "--minutes", -1), "2 configuration mistakes"),
        (("--label", "lable"), "did you mean 'label'"),
        (("--label", "image"), "two classes at least are needed"),
        (("--group", "label"), "label"),
    ):
        done = here("auto", table_root, "--output", tmp_path / "out", *arguments, *SMALL)
        assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    one = table_root / "metadata.csv"
    pd.read_csv(one).assign(place="here").to_csv(one, index=False)
    done = here("auto", one, "--group", "place", "--output", tmp_path / "out3", *SMALL)
    assert done.returncode == 2 and "a single group cannot be divided" in " ".join(done.stderr.split())
    pd.read_csv(one).assign(label="ant").to_csv(one, index=False)
    done = here("auto", one, "--label", "label", "--output", tmp_path / "out2", *SMALL)
    assert done.returncode == 2 and "label" in done.stderr


def test_a_table_without_usable_images_is_one_sentence(table_root, tmp_path, monkeypatch):
    only(monkeypatch, "majority", "metadata_logistic")
    for file in (table_root / "images").iterdir():
        file.write_bytes(b"no image")
    done = here("auto", table_root / "metadata.csv", "--output", tmp_path / "out", *SMALL)
    assert (
        done.returncode == 2
        and "None of the 72 images can be read" in " ".join(done.stderr.split())
        and "Traceback" not in done.stderr
    )


def test_without_metadata_and_without_a_device_it_says_so(table_root, tmp_path, monkeypatch):
    path = table_root / "metadata.csv"
    pd.read_csv(path)[["image", "label"]].to_csv(path, index=False)
    only(monkeypatch, "majority", "metadata_logistic")
    done = here("auto", path, "--output", tmp_path / "out", *SMALL)
    assert "no column is metadata to learn from" in " ".join(done.stdout.split())
    assert done.returncode == 2 and "metadata_logistic: needs metadata columns" in done.stderr


class Long(Candidate):
    row = "as_configured"
    least = 0.5

    def seconds(self, work):
        return 100.0


def test_a_candidate_is_shortened_to_what_fits_but_not_below_its_least():
    assert fit_into(Long(), 100, 20, 300).share == 1 and fit_into(Long(), 100, 20, 300).max_minutes is None
    shorter = fit_into(Long(), 100, 20, 80)
    assert shorter.share == pytest.approx(0.6) and "60%" in shorter.note and shorter.max_minutes == pytest.approx(0.8)
    assert fit_into(Long(), 100, 20, 60).share is None
