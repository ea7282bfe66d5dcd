import json
import math
import shutil

import pytest
from conftest import tiny_experiment
from filelock import FileLock
from rich.console import Console

from bioautoml_nni.artifacts.history import read_history
from bioautoml_nni.config import parse_experiment
from bioautoml_nni.nni_jobs import trial as trial_module
from bioautoml_nni.nni_jobs.trial import epoch_numbers, experiment_folder, final_numbers, trial_runs
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.utils.errors import RunDirectoryError


def test_an_epoch_of_the_search_is_reported_with_shares_and_entropy():
    edge = {"skip_connect": 0.5, "zero": 0.25, "sep_conv_3x3": 0.25}
    line = {"epoch": 0, "val_macro_f1": 0.4, "alpha_loss": 1.0, "shares": {"normal_edge_0_1": edge, "fusion": {"a": 1}}}
    numbers = epoch_numbers("search", line)
    assert numbers["default"] == 0.4 and numbers["searching"] == 1.0 and numbers["alpha_loss"] == 1.0
    assert numbers["skip_share"] == 0.5 and numbers["zero_share"] == 0.25
    assert numbers["alpha_entropy"] == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(4))


def test_an_epoch_without_a_score_still_has_a_default():
    assert epoch_numbers("retrain", {"epoch": 0})["default"] == 0.0


def test_nothing_of_the_test_part_reaches_the_tuner(finished, tmp_path):
    """The reports of a run do not change when every score of its test split does."""
    shutil.copytree(finished[0], tmp_path / "run")
    run = RunDirectory.open(tmp_path / "run")
    before = final_numbers(run)
    lines = [
        epoch_numbers(stage, line)
        for stage in ("search", "retrain")
        for line in read_history(run / stage / "history.jsonl")
    ]
    metrics = json.loads((run / "evaluation/metrics.json").read_text())

    def spoil(value):
        if isinstance(value, dict):
            return {key: spoil(item) if key not in ("parameters", "flops") else item for key, item in value.items()}
        return 0.123456 if isinstance(value, float) else value

    (run / "evaluation/metrics.json").write_text(json.dumps(spoil(metrics)))
    assert final_numbers(run) == before
    assert not any("test" in name for numbers in [before, *lines] for name in numbers)
    assert before["default"] == json.loads((run / "retrain/network.json").read_text())["validation_macro_f1"]


def test_the_experiments_folder_is_found_from_the_trials_own(monkeypatch, tmp_path):
    monkeypatch.setenv("NNI_OUTPUT_DIR", str(tmp_path / "abc/environments/local-env/trials/X"))
    assert experiment_folder("abc") == tmp_path / "abc"
    monkeypatch.delenv("NNI_OUTPUT_DIR")
    monkeypatch.chdir(tmp_path)
    assert experiment_folder("abc") == tmp_path


def test_equal_settings_share_a_run_directory_unless_it_is_in_use(tmp_path):
    path, lock = trial_module._own_folder(tmp_path, {"a": 1}, "first")
    beside, other = trial_module._own_folder(tmp_path, {"a": 1}, "second")
    assert path != beside and beside.name == f"{path.name}-second"
    lock.release()
    again, third = trial_module._own_folder(tmp_path, {"a": 1}, "third")
    assert again == path
    other.release()
    third.release()


def test_trials_are_listed_best_first_and_unfinished_last(tmp_path):
    for name, score in (("a", 0.2), ("b", None), ("c", 0.7)):
        (tmp_path / "runs" / name).mkdir(parents=True)
        result = {} if score is None else {"result": {"default": score, "parameters": 1.0}}
        (tmp_path / "runs" / name / "trial.json").write_text(json.dumps({"parameters": {}, **result}))
    assert [entry["path"].name for entry in trial_runs(tmp_path)] == ["c", "a", "b"]
    with pytest.raises(RunDirectoryError, match="holds no trial"):
        trial_runs(tmp_path / "runs")


@pytest.mark.parametrize(
    ("visible", "strategy", "devices"),
    [
        ("0,3", "alternating_darts", 2),
        ("1", "alternating_darts", 1),
        ("", "alternating_darts", 1),
        ("0,1", "nni_darts", 1),
    ],
)
def test_a_trial_searches_on_as_many_gpus_as_it_was_given(monkeypatch, table_root, visible, strategy, devices):
    import torch

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(visible.split(",")))
    experiment = parse_experiment({**tiny_experiment(table_root), "strategy": {"name": strategy}})
    assert trial_module.with_given_gpus(experiment).search.devices == devices


def test_without_gpus_a_trial_keeps_the_processes_that_the_experiment_asks_for(monkeypatch, table_root):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # what NNI sets for trials that ask for none
    raw = tiny_experiment(table_root)
    experiment = parse_experiment({**raw, "search": {**raw["search"], "devices": 2}})
    assert trial_module.with_given_gpus(experiment).search.devices == 2


def test_the_two_stages_have_names_of_their_own_and_the_curve_ends_with_the_result():
    search, training = (epoch_numbers(stage, {"val_macro_f1": 0.4}) for stage in ("search", "retrain"))
    assert search["search_macro_f1"] == 0.4 and "training_macro_f1" not in search and search["stage"] == 1
    assert training["training_macro_f1"] == 0.4 and "search_macro_f1" not in training and training["stage"] == 2
    last = trial_module.chosen_numbers({"default": 0.047, "parameters": 9.0})
    assert last["default"] == last["chosen_macro_f1"] == 0.047 and last["stage"] == 3


class Sent:
    """Keeps what a trial sends to NNI."""

    def __init__(self, job):
        self.parameters, self.job, self.experiment, self.told = {}, job, "", []

    def intermediate(self, values):
        self.told.append(("PERIODICAL", values))

    def final(self, values):
        self.told.append(("FINAL", values))


def test_a_finished_trial_that_is_resumed_tells_its_result_once(finished, tmp_path, monkeypatch):
    """A resumed trial has the same job, another trial with the same settings has its own."""
    folder = tmp_path / "runs"
    run = RunDirectory.open(shutil.copytree(finished[0], folder / "run"))
    monkeypatch.setattr(trial_module, "load_experiment_with", lambda *given: run.experiment)
    monkeypatch.setattr(trial_module, "run_stages", lambda *given: None)
    told = []
    for job in ("first", "first", "second"):
        reporter = Sent(job)
        monkeypatch.setattr(trial_module, "Reporter", lambda parameters, reporter=reporter: reporter)
        lock = FileLock(folder / ".run.lock")
        lock.acquire()
        monkeypatch.setattr(trial_module, "_own_folder", lambda *given, lock=lock: (folder / "run", lock))
        trial_module.run_trial(tmp_path / "experiment.yml", Console())
        told.append(reporter.told)
    assert [[kind for kind, _ in each] for each in told] == [["PERIODICAL", "FINAL"], [], ["PERIODICAL", "FINAL"]]
    (_, last), (_, final) = told[0]
    assert last["default"] == final["default"]
    assert json.loads((folder / "run/trial.json").read_text())["reported"] == ["first", "second"]
