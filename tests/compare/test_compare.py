import json
import shutil
import threading

import numpy as np
import pandas as pd
import pytest
from conftest import forked, here, in_process, tiny_experiment, write_experiment, write_table
from rich.console import Console
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from bioautoml_nni.cli.comparison import BETWEEN_ROWS
from bioautoml_nni.compare import protocol
from bioautoml_nni.compare._base import RunMethod
from bioautoml_nni.compare.methods import MetadataBoosting
from bioautoml_nni.compare.protocol import compare
from bioautoml_nni.compare.rows import folder_name
from bioautoml_nni.compare.tables import paired_p_value, summary_lines
from bioautoml_nni.config import load_experiment, parse_experiment
from bioautoml_nni.config.load import changed
from bioautoml_nni.registry import plugins
from bioautoml_nni.utils.errors import ConfigError, RunDirectoryError

ROWS = "as_configured,random,majority,metadata_boosting,metadata_logistic"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A finished comparison of the tiny experiment, and how its command ended."""
    folder = tmp_path_factory.mktemp("compared")
    write_table(folder / "data")
    experiment = write_experiment(folder, folder / "data")
    command = ("compare", experiment, "--rows", ROWS, "--seeds", 2, "--output", folder / "out", "--jobs", 2)
    one_at_a_time, run_process = threading.Lock(), protocol.run_process

    def run(directory, threads):
        """Start the process of one run as a user's command does, and those of the others with everything imported."""
        if directory.path == folder / "out/random/seed-1":
            return run_process(directory, threads)
        with one_at_a_time:
            done = forked("run", directory / "experiment.yml", "--output", directory.path, "--no-baselines")
        assert done.returncode == 0, done.stdout + done.stderr

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol, "run_process", run)
        done = here(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out", command, done


def test_every_row_and_seed_is_in_the_table(compared):
    out, _, done = compared
    table = pd.read_csv(out / "compare.csv")
    assert list(table.columns) == [
        "row", "seed", "accuracy", "balanced_accuracy", "macro_f1", "tail_f1", "parameters", "flops", "latency_ms",
        "search_seconds", "train_seconds",
    ]  # fmt: skip
    assert sorted(zip(table["row"], table["seed"], strict=True)) == sorted(
        (row, seed) for row in ROWS.split(",") for seed in (0, 1)
    )
    assert (table.loc[table["row"] == "random", "search_seconds"] == 0).all()
    assert (table.loc[table["row"] == "as_configured", "search_seconds"] > 0).all()
    assert "paired t-test" in (out / "compare.md").read_text() and "as_configured" in (out / "compare.html").read_text()
    assert "macro-F1" in done.stdout


def test_all_rows_of_a_seed_are_scored_on_the_same_specimens(compared):
    out = compared[0]
    for seed in (0, 1):
        parts = [
            pd.read_csv(path / f"seed-{seed}" / "splits.csv", dtype=str)
            for path in out.iterdir()
            if (path / f"seed-{seed}" / "splits.csv").is_file()
        ]
        assert len(parts) == 3  # two runs and the prepared data of the other rows
        assert all(part.equals(parts[0]) for part in parts)


def test_baselines_agree_with_the_predictions_that_a_reader_would_make(compared):
    """The majority's macro-F1 by scikit-learn, from the run's own table of predictions."""
    out = compared[0]
    predictions = pd.read_csv(out / "as_configured/seed-0/evaluation/predictions.csv")
    classes = pd.read_csv(out / "as_configured/seed-0/evaluation/per_class.csv")
    answer = np.full(len(predictions), classes["class"][classes["train"].idxmax()])
    table = pd.read_csv(out / "compare.csv").set_index(["row", "seed"])
    expected = f1_score(predictions["label"], answer, average="macro", zero_division=0)
    assert table.loc[("majority", 0), "macro_f1"] == pytest.approx(expected)
    assert table.loc[("metadata_boosting", 0), "macro_f1"] > expected


def test_a_second_call_makes_nothing_again(compared):
    out, command, _ = compared
    before = {path: path.stat().st_mtime_ns for path in out.rglob("model.pt")}
    first = pd.read_csv(out / "compare.csv")
    done = here(*command)
    assert done.returncode == 0 and len(before) == 4
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("model.pt")}
    pd.testing.assert_frame_equal(first, pd.read_csv(out / "compare.csv"))


def test_reports_of_the_experiment_show_the_comparison(compared, tmp_path, capsys):
    out = compared[0]
    table = json.loads((out / "compare.json").read_text())
    for seed in (0, 1):
        html = (out / f"as_configured/seed-{seed}/report.html").read_text()
        assert "Beside other methods" in html and html.count('<tr class="own">') == 1
        assert all(f"<td>{text}</td>" in html for line in table["lines"] for text in line)
        assert all(f"<code>{row}</code>" in html for row in ROWS.split(","))
    other = out / "random/seed-0"
    assert "Beside other methods" not in (other / "report.html").read_text()
    shutil.copytree(other, tmp_path / "run")
    code, said = in_process(capsys, "report", tmp_path / "run", "--comparison", out)
    assert code == 0, said
    assert "Beside other methods" in (tmp_path / "run/report.html").read_text()


def test_a_comparison_on_other_data_is_not_shown(compared, finished, tmp_path, capsys):
    shutil.copytree(finished[0], tmp_path / "run")
    before = (tmp_path / "run/report.html").read_text()
    table = json.loads((compared[0] / "compare.json").read_text())
    (tmp_path / "other").mkdir()
    (tmp_path / "other/compare.json").write_text(json.dumps({**table, "data_sha256": "0" * 64}))
    for folder, words in (("other", "other data"), ("nothing", "bioautoml compare")):
        code, said = in_process(capsys, "report", tmp_path / "run", "--comparison", tmp_path / folder)
        assert code == 2 and words in said
    assert (tmp_path / "run/report.html").read_text() == before
    assert not (tmp_path / "run/evaluation/comparison.json").exists()


def test_seeds_of_random_architectures_differ(compared):
    cells = [
        json.loads((compared[0] / f"random/seed-{seed}/architecture.json").read_text())["cells"] for seed in (0, 1)
    ]
    assert cells[0] != cells[1]


def test_mistakes_in_rows_are_all_reported_before_anything_starts(tmp_path, capsys):
    write_table(tmp_path / "data")
    experiment = write_experiment(tmp_path, tmp_path / "data")
    code, said = in_process(capsys, "compare", experiment, "--rows", "timm,as_configurd", "--output", tmp_path / "out")
    assert code == 2 and not (tmp_path / "out").exists()
    assert "timm:resnet18" in said and "did you mean 'as_configured'" in said


def test_a_failed_row_leaves_the_others(tmp_path):
    write_table(tmp_path / "data")
    experiment = write_experiment(tmp_path, tmp_path / "data")
    rows = "timm:no_such_network,majority"
    done = here("compare", experiment, "--rows", rows, "--seeds", 1, "--output", tmp_path / "out")
    assert done.returncode == 2 and "1 of 2 runs failed" in done.stderr and "no_such_network" in done.stderr
    assert pd.read_csv(tmp_path / "out/compare.csv")["row"].tolist() == ["majority"]


def test_a_method_that_breaks_is_told_in_one_sentence_and_the_others_are_kept(tmp_path, monkeypatch):
    write_table(tmp_path / "data")
    experiment = load_experiment(write_experiment(tmp_path, tmp_path / "data"))

    def broken(self, data, seed):
        raise ZeroDivisionError("no such luck")

    monkeypatch.setattr(MetadataBoosting, "predict", broken)
    with pytest.raises(RunDirectoryError, match=r"1 of 2 runs failed.*ZeroDivisionError: no such luck \(see "):
        compare(experiment, ["metadata_boosting", "majority"], 1, tmp_path / "out", 1, Console(quiet=True))
    assert pd.read_csv(tmp_path / "out/compare.csv")["row"].tolist() == ["majority"]
    assert "no such luck" in (tmp_path / "out/metadata_boosting/seed-0.log").read_text()


def test_logistic_regression_needs_no_column_of_categories(tmp_path):
    write_table(tmp_path / "data")
    numbers = {"infer_columns": False, "columns": {"length_mm": "numeric"}}
    raw = tiny_experiment(tmp_path / "data")
    raw["data"] |= numbers
    table = compare(parse_experiment(raw), ["metadata_logistic"], 1, tmp_path / "out", 1, Console(quiet=True))
    rows, part = pd.read_csv(tmp_path / "data/metadata.csv"), pd.read_csv(next(tmp_path.rglob("splits.csv")))["part"]
    lengths, train, test = np.log1p(rows[["length_mm"]]), part.isin(["weights_train", "alpha_train"]), part.eq("test")
    oracle = LogisticRegression().fit(lengths[train], rows["label"][train]).predict(lengths[test])
    expected = f1_score(rows["label"][test], oracle, average="macro")
    assert 0 < table["macro_f1"].item() <= 1 and table["macro_f1"].item() == pytest.approx(expected, abs=0.2)


def test_every_method_changes_the_experiment_to_a_valid_one(tmp_path):
    raw = tiny_experiment(tmp_path)
    raw["training"] |= {"drop_path": 0.1, "auxiliary_weight": 0.4}
    raw["retrain"] = {"cells": 3, "max_minutes": 5}
    experiment = parse_experiment(raw)
    checked = []
    for name, plugin in plugins("methods").items():
        argument = {"timm": ["resnet18"], "timm_probe": ["resnet18"], "with": ["training.epochs=3;loss.tau=0.5"]}
        method = plugin.target(*argument.get(name, []))
        if isinstance(method, RunMethod):
            assert changed(experiment, {**method.settings(3), "seed": 3}, name).seed == 3
            checked.append(name)
    assert set(checked) >= {"as_configured", "gumbel_hard", "nni_darts", "paper_rule", "perturbation", "random", "timm"}


def test_commas_within_a_setting_part_no_rows():
    rows = "random,with:search.image_sizes=[32,48];strategy.relaxation={name: gumbel, start: 2},majority"
    assert BETWEEN_ROWS.split(rows) == [
        "random", "with:search.image_sizes=[32,48];strategy.relaxation={name: gumbel, start: 2}", "majority"
    ]  # fmt: skip


def test_a_row_may_be_the_experiment_with_other_settings(tmp_path):
    experiment = parse_experiment(tiny_experiment(tmp_path))
    method = plugins("methods")["with"].target("strategy.schedule=single_level; training.epochs=7")
    other = changed(experiment, method.settings(0), "with")
    assert other.strategy.arguments["schedule"] == "single_level" and other.training.epochs == 7
    assert other.search == experiment.search and other.strategy.name == experiment.strategy.name
    for argument, words in (("training.epoch=7", "epoch"), ("training.epochs", "key.subkey=value")):
        with pytest.raises(ConfigError, match=words):
            changed(experiment, plugins("methods")["with"].target(argument).settings(0), "with")
    assert folder_name("with:loss={name: focal};training.epochs=7") == "with-loss=_name-_focal__training.epochs=7"


@pytest.mark.parametrize(
    ("row", "argument", "expected"),
    [
        ("timm", "resnet18", {"encoder": "resnet18"}),
        ("timm", "resnet18@FILE", {"encoder": "resnet18", "weights": "FILE"}),
        ("timm", "resnet18@pretrained", {"encoder": "resnet18", "pretrained": True}),
        ("timm_probe", "resnet18", {"encoder": "resnet18", "pretrained": True, "frozen": True}),
        ("timm_probe", "resnet18@FILE", {"encoder": "resnet18", "weights": "FILE", "frozen": True}),
    ],
)
def test_rows_of_timm_say_where_their_weights_come_from(tmp_path, row, argument, expected):
    settings = plugins("methods")[row].target(argument).settings(0)
    assert settings["space"] == {"name": "timm", **expected}
    raw = {**tiny_experiment(tmp_path), "retrain": {"channels": 3, "max_minutes": 5}}
    weights = tmp_path / "FILE"
    other = changed(parse_experiment(raw), settings, row)
    assert other.retrain.max_minutes == 5 and other.retrain.channels is None and not weights.exists()


def runs() -> pd.DataFrame:
    scores = {"a": (0.5, 0.6, 0.58), "random": (0.45, 0.52, 0.55), "b": (0.2, None, None)}
    lines = [
        {"row": row, "seed": seed, "macro_f1": score}
        for row, own in scores.items()
        for seed, score in enumerate(own)
        if score is not None
    ]
    table = pd.DataFrame(lines)
    for name in ("accuracy", "balanced_accuracy", "tail_f1"):
        table[name] = table["macro_f1"]
    for name in ("parameters", "flops", "latency_ms", "search_seconds", "train_seconds"):
        table[name] = 2e6 if name == "flops" else None
    return table


def test_the_paired_test_is_a_t_test_of_the_differences():
    differences = np.array([0.05, 0.08, 0.03])
    t = differences.mean() / (differences.std(ddof=1) / np.sqrt(3))
    assert paired_p_value(runs(), "a", "random") == pytest.approx(2 * stats.t.sf(t, 2))
    assert paired_p_value(runs(), "b", "random") is None and paired_p_value(runs(), "random", "random") is None


def test_lines_stand_by_macro_f1_with_mean_and_spread():
    lines = summary_lines(runs())
    assert [line[0] for line in lines] == ["a", "random", "b"]
    assert lines[0][1:3] == ["3", "0.560 ± 0.053"] and lines[2][2] == "0.200"
    assert lines[0][8] == "2.0" and lines[0][7] == "–"
