"""The main job as a user runs it: in processes of its own, on a small table."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import bioautoml, in_process, write_experiment, write_table
from typer.testing import CliRunner

from bioautoml_nni.cli import main as command_line
from bioautoml_nni.config import load_experiment
from bioautoml_nni.runs.directory import RunDirectory


def test_a_run_leaves_everything_and_prints_its_score_beside_the_majority(finished):
    run, done = finished
    for name in [
        "experiment.yml",
        "provenance.json",
        "manifest.parquet",
        "splits.csv",
        "audit.json",
        "preprocessing.json",
        "architecture.json",
        "architecture.svg",
        "search/history.jsonl",
        "retrain/history.jsonl",
        "retrain/model.pt",
        "evaluation/metrics.json",
        "evaluation/per_class.csv",
        "evaluation/confusion.png",
        "evaluation/roc.png",
        "report.html",
    ]:
        assert (run / name).stat().st_size > 0, name
    assert "majority answer" in done.stdout and "Rank: label" in done.stdout
    assert not list(run.rglob(".*")), "temporary files were left behind"


def test_metrics_say_what_they_are_about(finished):
    metrics = json.loads((finished[0] / "evaluation/metrics.json").read_text())
    assert metrics["rank"] == "label" and metrics["classes"] == 3
    assert metrics["metadata_columns"] == ["length_mm", "site"]
    assert sum(metrics["split"]["sizes"].values()) == 72
    for key in ("accuracy", "balanced_accuracy", "top5_accuracy", "parameters", "flops"):
        assert metrics[key] is not None
    assert metrics["top5_accuracy"] == 1, "of three classes the truth is always among five"
    sparsity = json.loads((finished[0] / "architecture.json").read_text())["sparsity"]["network"]
    assert (metrics["parameters"], metrics["flops"]) == (sparsity["parameters"], sparsity["flops"])
    assert set(metrics["macro"]) == set(metrics["weighted"]) == {"precision", "recall", "f1"}
    predictions = pd.read_csv(finished[0] / "evaluation/predictions.csv")
    assert (predictions["label"] == predictions["predicted"]).mean() == pytest.approx(metrics["accuracy"])
    recalls = (predictions["label"] == predictions["predicted"]).groupby(predictions["label"]).mean()
    assert recalls.mean() == pytest.approx(metrics["balanced_accuracy"])
    assert len(predictions) == metrics["split"]["sizes"]["test"]


def test_metrics_hold_intervals_calibration_and_ablations(finished):
    metrics = json.loads((finished[0] / "evaluation/metrics.json").read_text())
    assert metrics["intervals"]["unit"] == "event" and 1 <= metrics["intervals"]["units"] <= 8
    for name, value in (("accuracy", metrics["accuracy"]), ("macro_f1", metrics["macro"]["f1"])):
        low, high = metrics["intervals"][name]
        assert low <= value <= high
    assert set(metrics["ablations"]) == {"metadata_hidden", "metadata_permuted"}
    calibration = json.loads((finished[0] / "evaluation/calibration.json").read_text())
    assert metrics["calibration"]["temperature"] == calibration["temperature"] > 0
    assert calibration["nll"]["after"] <= calibration["nll"]["before"]
    held = [metrics["prediction_sets"][coverage]["held"] for coverage in calibration["prediction_sets"]]
    assert held == sorted(held)
    assert set(metrics["metadata_importance"]) == set(metrics["metadata_columns"])
    assert json.loads((finished[0] / "evaluation/speed.json").read_text())["latency_ms"] > 0
    scored = sum(row["classes"] for row in metrics["by_training_size"].values())
    assert scored == metrics["classes_in_test"]


def test_provenance_holds_versions_seed_data_hardware_and_times(finished):
    provenance = json.loads((finished[0] / "provenance.json").read_text())
    assert list(provenance["stages"]) == ["prepare", "search", "derive", "retrain", "evaluate", "report"]
    assert all(stage["seconds"] >= 0 and "bioautoml run" in stage["command"] for stage in provenance["stages"].values())
    assert provenance["versions"]["nni"] == "3.0" and len(provenance["data_sha256"]) == 64
    assert provenance["hardware"]["cores"] >= 1


def test_the_report_stands_alone_and_escapes_the_table(finished):
    html = (finished[0] / "report.html").read_text()
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "") and "https://" not in html
    assert "data:image/png" not in html and "macro-F1" in html and html.count('<div class="chart"><svg') >= 6
    assert html.count('<div class="pair"><img') == html.count("The same, brighter where it speaks for") > 3
    epochs = (finished[0] / "search/history.jsonl").read_text().splitlines()
    assert html.count("<template data-epoch=") == len(epochs) > 1
    last = html.rsplit("<template data-epoch=", 1)[1].partition(">")[2].partition("</template>")[0]
    assert html.count(last) >= 3, "the last epoch's image is the architecture, and what the slider shows first"
    files = sorted((finished[0] / "search/cells").iterdir())
    assert [file.name for file in files] == [f"epoch-{number + 1:03d}.svg" for number in range(len(epochs))]
    assert files[-1].read_text() == last and files[0].read_text() != last


def test_a_given_architecture_is_built_as_it_was_asked_for(finished, tmp_path, capsys):
    shutil.copytree(finished[0], tmp_path / "run")
    choices = {"reduction_edge_0_1": "sep_conv_3x3", "reduction_edge_0_2": "zero", "reduction_edge_1_2": "avg_pool_3x3"}
    text = yaml.safe_dump({**choices, "fusion": "gated"}, default_flow_style=True, width=1000).strip()
    given = ("--set", "derivation.method=given", "--set", f"derivation.choices={text}")
    code, said = in_process(capsys, "derive", tmp_path / "run", *given)
    assert code == 0, said
    found = json.loads((tmp_path / "run/architecture.json").read_text())
    edges = {(edge["source"], edge["target"]): edge["operation"] for edge in found["cells"]["reduction"]["edges"]}
    assert edges == {(0, 1): "sep_conv_3x3", (1, 2): "avg_pool_3x3"}
    assert found["choices"]["fusion"]["choice"] == "gated" and found["provenance"]["strategy"] is None
    code, said = in_process(
        capsys, "derive", tmp_path / "run", "--set", "derivation.choices={fusion: gatd, edge: zero}"
    )
    assert code == 2 and "'gatd' is none of" in said and "reduction_edge_0_1 is missing" in said


def test_finished_stages_are_skipped(finished, capsys):
    run, _ = finished
    stamp = (run / "architecture.json").stat().st_mtime_ns
    code, output = in_process(capsys, "run", run.parent / "experiment.yml", "--output", run)
    assert code == 0
    assert output.count("done before, skipped") == 6
    assert (run / "architecture.json").stat().st_mtime_ns == stamp


def test_another_experiment_does_not_touch_the_run(finished, capsys):
    run, _ = finished
    before = (run / "experiment.yml").read_text()
    code, output = in_process(capsys, "run", run.parent / "experiment.yml", "--output", run, "--set", "search.epochs=9")
    assert code == 2
    assert "belongs to another experiment (search.epochs is 2 there and 9 here)" in output
    assert (run / "experiment.yml").read_text() == before


def test_a_stage_runs_alone_with_other_settings(finished, tmp_path, capsys):
    import shutil

    run = tmp_path / "copy"
    shutil.copytree(finished[0], run)
    code, output = in_process(capsys, "retrain", run, "--set", "training.epochs=1")
    assert code == 0, output
    assert len((run / "retrain/history.jsonl").read_text().splitlines()) == 1
    code, output = in_process(capsys, "report", run)
    assert code == 2 and "stage 'evaluate' is missing or was made with other settings" in output
    assert in_process(capsys, "evaluate", run)[0] == 0
    assert in_process(capsys, "report", run)[0] == 0


@pytest.mark.parametrize(
    "override",
    [
        "data.modalities=[image]",
        "data.modalities=[metadata]",
        "strategy={name: nni_darts}",
        "strategy={name: alternating_darts, alpha_data: shared}",
        "retrain.initial_weights=supernet",
        "derivation.method=perturbation",
        "derivation.method=random",
        "cache.max_gb=0",
        "space.cell_sharing=none",
        "search.precision=bf16-mixed",
        pytest.param("search.devices=2", marks=pytest.mark.nightly),  # by day: test_group.py, test_processes.py
    ],
)
def test_variants_of_the_job_run_to_the_end(override, table_root, tmp_path, capsys):
    experiment = write_experiment(tmp_path, table_root)
    short = ["--set", "search.epochs=1", "--set", "training.epochs=1"]
    code, output = in_process(capsys, "run", experiment, "--output", tmp_path / "run", "--set", override, *short)
    assert code == 0, output
    shares = json.loads((tmp_path / "run/search/shares.json").read_text()) if "random" not in override else {}
    assert all(np.isclose(sum(own.values()), 1) for own in shares.values())
    assert (tmp_path / "run/report.html").is_file()
    metrics = json.loads((tmp_path / "run/evaluation/metrics.json").read_text())
    assert metrics["classes"] == 3 and sum(metrics["split"]["sizes"].values()) == 72
    assert bool(metrics["metadata_columns"]) == (override != "data.modalities=[image]")
    settings = RunDirectory.open(tmp_path / "run").experiment.model_dump(mode="json")
    wanted = load_experiment(experiment, [override, *short[1::2]]).model_dump(mode="json")
    for section in ("space", "strategy", "search", "derivation", "retrain", "training", "cache"):
        assert settings[section] == wanted[section], section


@pytest.mark.parametrize("method", ["strongest", "random"])
def test_a_limit_at_derivation_holds_for_the_network_that_is_trained(method, finished, tmp_path, capsys):
    import shutil

    run = tmp_path / "copy"
    shutil.copytree(finished[0], run)
    free = json.loads((run / "architecture.json").read_text())["sparsity"]
    metrics = json.loads((run / "evaluation/metrics.json").read_text())
    assert free["network"] == {name: metrics[name] for name in ("parameters", "flops")}
    assert free["edges"] == 3 >= free["edges_kept"] and free["dense"]["parameters"] >= free["network"]["parameters"]
    method_of = ["--set", f"derivation.method={method}", "--set", "derivation.seed=2"]
    assert in_process(capsys, "derive", run, *method_of)[0] == 0
    limit = json.loads((run / "architecture.json").read_text())["sparsity"]["network"]["parameters"] - 1
    code, output = in_process(capsys, "derive", run, *method_of, "--set", f"derivation.max_parameters={limit}")
    assert code == 0, output
    assert json.loads((run / "architecture.json").read_text())["sparsity"]["network"]["parameters"] <= limit
    code, output = in_process(capsys, "derive", run, "--set", "derivation.max_parameters=10")
    assert code == 2 and "at most 10. Lower retrain.channels" in output


BAD_INPUT = {
    "missing table": (lambda root: (root / "metadata.csv").unlink(), [], "there is no such table"),
    "missing image root": (lambda root: None, ["data.image_root=none"], "no such image folder"),
    "unknown column": (lambda root: None, ["data.label=spezies"], "no column 'spezies'"),
    "label with one specimen": (lambda root: edit(root, 0, label="wasp"), [], "Label 'wasp' has one specimen only"),
    "path outside the root": (lambda root: edit(root, 0, image="../../etc/passwd"), [], "leads outside the image root"),
    "no usable row": (lambda root: edit(root, None, label=None), [], "no row has both an image"),
    "too many unreadable": (lambda root: spoil(root, 10), [], "10 of 72 images (13.9%) cannot be read"),
    "one class": (lambda root: edit(root, None, label="ant"), [], "two classes at least"),
    "no metadata": (
        lambda root: None,
        ["data.columns={event: group}", "data.infer_columns=false"],
        "no usable metadata column",
    ),
}


def edit(root: Path, row: int | None, **values: object) -> None:
    table = pd.read_csv(root / "metadata.csv")
    for name, value in values.items():
        table.loc[slice(None) if row is None else row, name] = value
    table.to_csv(root / "metadata.csv", index=False)


def spoil(root: Path, count: int) -> None:
    for number in range(count):
        (root / f"images/{number}.png").write_bytes(b"" if number % 2 else b"not an image")


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_gets_one_clear_message_and_code_2(case, table_root, tmp_path, capsys):
    change, overrides, message = BAD_INPUT[case]
    change(table_root)
    experiment = write_experiment(tmp_path, table_root)
    arguments = [part for override in overrides for part in ("--set", override)]
    code, output = in_process(capsys, "run", experiment, "--output", tmp_path / "run", *arguments)
    assert code == 2
    assert message in output
    assert "Traceback" not in output
    left = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert left <= {"experiment.yml", "provenance.json", "unreadable.csv", "audit.json"}  # and where the data lay


def test_a_few_unreadable_images_are_left_out_and_named(table_root, tmp_path, capsys):
    spoil(table_root, 3)
    experiment = write_experiment(tmp_path, table_root)
    short = ["--set", "search.epochs=1", "--set", "training.epochs=1"]
    code, output = in_process(capsys, "run", experiment, "--output", tmp_path / "run", *short)
    assert code == 0 and "3 unreadable images left out" in output
    named = pd.read_csv(tmp_path / "run/unreadable.csv")
    assert named["_image"].tolist() == [f"images/{number}.png" for number in range(3)]
    assert json.loads((tmp_path / "run/audit.json").read_text())["specimens"] == 69


def test_rare_labels_can_be_dropped(table_root, tmp_path, capsys):
    edit(table_root, 0, label="wasp")
    experiment = write_experiment(tmp_path, table_root)
    short = ["--set", "data.rare_labels=drop", "--set", "search.epochs=1", "--set", "training.epochs=1"]
    assert in_process(capsys, "run", experiment, "--output", tmp_path / "run", *short)[0] == 0
    assert json.loads((tmp_path / "run/audit.json").read_text())["labels_dropped"] == {"wasp": 1}


def test_mistakes_in_the_configuration_are_all_shown_without_a_traceback(tmp_path):
    path = tmp_path / "experiment.yml"
    path.write_text(
        "name: x y\nsead: 1\ndata: {source: cvs}\nspace: {name: multimodal, cels: 3}\nsearch: {epochs: 0}\n"
    )
    done = bioautoml("run", path)
    assert done.returncode == 2
    assert "5 configuration mistakes" in done.stderr
    for key in ("name", "sead", "data.source", "space.cels", "search.epochs"):
        assert f"- {key}: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("space", "cells", "kinds"),
    [
        ("{name: multimodal, cells: 3}", 1, "normal, and the search decides normal, reduction;"),
        (
            "{name: multimodal, cells: 2, cell_sharing: none}",
            3,
            "cell0, cell1, cell2, and the search decides cell0, cell1;",
        ),
        (
            "{name: multimodal, cell_sharing: none}",
            3,
            "cell0, cell1, cell2, and the search decides cell0, cell1, cell2, cell3,",
        ),
    ],
)
def test_a_network_with_cells_that_no_search_decides_is_refused_before_the_search(
    space, cells, kinds, table_root, tmp_path, capsys
):
    experiment = write_experiment(tmp_path, table_root)
    settings = ["--set", f"space={space}", "--set", f"retrain.cells={cells}"]
    code, output = in_process(capsys, "run", experiment, "--output", tmp_path / "run", *settings)
    assert code == 2 and f"retrain.cells: a network of {cells} cells has the kinds {kinds}" in output
    assert not (tmp_path / "run/search").exists()


def test_debug_shows_the_traceback(tmp_path):
    done = bioautoml("--debug", "run", tmp_path / "none.yml")
    assert "Traceback" in done.stderr and done.returncode == 1
    assert f"\nbioautoml_nni.utils.errors.ConfigError: {tmp_path / 'none.yml'}: 1 configuration mistake" in done.stderr


def test_folders_that_are_no_run(tmp_path, table_root, capsys):
    code, output = in_process(capsys, "retrain", tmp_path)
    assert code == 2 and "is not a run directory" in output
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    code, output = in_process(capsys, "run", write_experiment(tmp_path, table_root), "--output", tmp_path / "full")
    assert code == 2 and "is not empty and holds no experiment.yml" in output


def test_init_writes_a_file_that_runs_after_editing(tmp_path, capsys):
    code, _ = in_process(capsys, "init", tmp_path / "new")
    assert code == 0
    write_table(tmp_path / "new")
    short = ["search.epochs=1", "training.epochs=1", "space.channels=4", "space.cells=2", "strategy.warmup_epochs=0"]
    arguments = [part for override in short for part in ("--set", override)]
    code, output = in_process(capsys, "run", tmp_path / "new/experiment.yml", "--output", tmp_path / "run", *arguments)
    assert code == 0, output
    code, output = in_process(capsys, "init", tmp_path / "new")
    assert code == 2 and "is there already" in output


def test_init_takes_root_and_lengths_from_a_table(tmp_path, capsys):
    table = write_table(tmp_path / "data")
    code, output = in_process(capsys, "init", tmp_path / "new", "--table", table)
    assert code == 0, output
    experiment = load_experiment(tmp_path / "new/experiment.yml")
    assert (experiment.data.root, experiment.data.arguments["table"]) == (table.parent, table.name)
    assert (experiment.training.epochs, experiment.training.batch_size) == (120, 32)  # a small table
    code, output = in_process(capsys, "init", tmp_path / "other", "--table", tmp_path / "none.csv")
    assert code == 2 and "none.csv" in output and not (tmp_path / "other").exists()


def test_ls_lists_every_plugin():
    result = CliRunner().invoke(command_line.app, ["ls", "operations"])
    assert result.exit_code == 0
    assert "sep_conv_3x3" in result.output and "zero" in result.output


def test_stages_stop_without_what_they_stand_on(table_root, tmp_path, capsys):
    write_experiment(tmp_path, table_root)
    code, output = in_process(capsys, "retrain", tmp_path)
    assert code == 2 and "stage 'derive' is missing" in output
