"""A run exported and used as a user would: tables, folders, damage, stops, and a process without torch."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console
from scipy.special import softmax

from bioautoml_nni.data.load import load_manifest
from bioautoml_nni.report.card import model_card
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.runtime import Model
from bioautoml_nni.runtime import predict as predict_module
from bioautoml_nni.runtime.predict import Request, predict
from bioautoml_nni.stages.prepare import prepare
from bioautoml_nni.utils.errors import DataError, ExportError


@pytest.fixture
def table(exported, tmp_path):
    """A folder with a copy of the training table and its images."""
    shutil.copytree(exported[1].parent / "data", tmp_path / "new")
    return tmp_path / "new" / "metadata.csv"


def test_the_export_is_complete_and_names_no_place_of_this_machine(exported):
    folder, run = exported
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "model.onnx", "image_encoder.onnx", "fusion_head.onnx", "gradcam.onnx", "model.pt2", "model_int8.onnx",
        "preprocessing.json",
        "classes.csv", "calibration.json", "parity.json", "MODEL_CARD.md", "export.json",
    }  # fmt: skip
    parity = json.loads((folder / "parity.json").read_text())
    assert set(parity["largest_difference"]) == {"model.onnx", "model.pt2", "fusion_head.onnx"}
    assert max(parity["largest_difference"].values()) < 1e-4
    for path in folder.iterdir():
        assert str(run.parent).encode() not in path.read_bytes(), path
    card = (folder / "MODEL_CARD.md").read_text()
    of_the_run = (run / "MODEL_CARD.md").read_text()
    assert card.partition("## Files")[0] == of_the_run.partition("## Files")[0]
    assert "model.onnx" in card and "model.onnx" not in of_the_run and "retrain/model.pt" in of_the_run
    assert "length_mm" in card and "always" in card and "macro-F1" in card


def test_predictions_equal_those_of_the_evaluation(exported, table, tmp_path):
    folder, run = exported
    predict(Model.load(folder), Request(table, tmp_path / "answers.csv", logits=True))
    answers = pd.read_csv(tmp_path / "answers.csv", keep_default_na=False)
    assert len(answers) == len(pd.read_csv(table))
    scored = pd.read_csv(run / "evaluation/predictions.csv")
    manifest = pd.read_parquet(run / "manifest.parquet").set_index("_id")
    images = manifest.loc[scored["id"].astype(str), "_image"].tolist()
    mine = answers.set_index("image").loc[images]
    assert mine["label_1"].tolist() == scored["predicted"].tolist()
    assert np.allclose(mine["probability_1"].astype(float), scored["confidence"], atol=1e-4)  # both calibrated
    logits = mine[[name for name in mine if name.startswith("logit_")]].to_numpy()
    temperature = json.loads((folder / "calibration.json").read_text())["temperature"]
    assert np.allclose(softmax(logits / temperature, axis=1).max(1), scored["confidence"], atol=1e-4)


def test_damaged_rows_become_rows_with_an_error(exported, table, tmp_path):
    images = table.parent / "images"
    (images / "0.png").write_bytes(b"")
    (images / "1.png").write_bytes((images / "1.png").read_bytes()[:100])
    (images / "2.png").unlink()
    content = pd.read_csv(table).astype(object)
    content.loc[3, "image"] = "../../../etc/passwd"
    content.loc[4, "image"] = None
    content.loc[5, "length_mm"] = "unknown"
    content.to_csv(table, index=False)
    outcome = predict(Model.load(exported[0]), Request(table, tmp_path / "answers.parquet"))
    answers = pd.read_parquet(tmp_path / "answers.parquet")
    assert outcome.rows == len(answers) == len(content) and outcome.failed == 5
    assert answers["error"][0] == "the file is empty" and answers["error"][2] == "the file is missing"
    assert "outside" in answers["error"][3] and "names no image" in answers["error"][4]
    assert (answers["prediction"][:5] == "").all() and answers["error"][5] == "" and answers["prediction"][5] != ""


def test_a_folder_is_answered_without_metadata(exported, table, tmp_path):
    outcome = predict(
        Model.load(exported[0]), Request(table.parent, tmp_path / "a.csv", sort_into=tmp_path / "sorted", link=True)
    )
    answers = pd.read_csv(tmp_path / "a.csv", keep_default_na=False)
    assert outcome.missing_columns == ("length_mm", "site") and len(answers) == 72
    links = [path for path in (tmp_path / "sorted").rglob("*") if path.is_symlink()]
    assert len(links) == 72 and all(path.resolve().is_file() for path in links)
    assert {path.parent.name for path in links} == set(answers["prediction"])
    assert (table.parent / "images" / "0.png").is_file()  # never moved


def test_groups_get_one_answer_from_the_mean_of_their_logits(exported, table, tmp_path):
    model = Model.load(exported[0])
    predict(model, Request(table, tmp_path / "a.csv", group="event", logits=True, coverage=0.9))
    rows, groups = pd.read_csv(tmp_path / "a.csv"), pd.read_csv(tmp_path / "a_by_event.csv")
    assert groups["specimens"].sum() == len(rows) and "set" in groups
    first = rows[rows["event"] == groups["event"][0]]
    mean = first[[name for name in rows if name.startswith("logit_")]].mean().to_numpy()[None]
    assert groups["probability_1"][0] == pytest.approx(model.probabilities(mean).max(), abs=1e-5)


def test_a_stopped_prediction_goes_on_after_its_last_block(exported, table, tmp_path, monkeypatch):
    model = Model.load(exported[0])
    monkeypatch.setattr(predict_module, "BLOCK", 16)
    predict(model, Request(table, tmp_path / "whole.csv"))
    request = Request(table, tmp_path / "a.csv")
    done = []

    def stop(count):
        done.append(count)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(model, request, stop)
    assert not request.output.exists()
    calls = []
    original = Model.predict_rows
    monkeypatch.setattr(Model, "predict_rows", lambda *given: calls.append(1) or original(*given))
    predict(model, request)
    assert len(calls) == 2  # 72 rows are five blocks, three of which were done
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "whole.csv").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "new", "whole.csv"]


def test_a_folder_with_more_images_is_answered_anew(exported, table, tmp_path):
    model, request = Model.load(exported[0]), Request(table.parent, tmp_path / "a.csv")
    with pytest.raises(KeyboardInterrupt):
        predict(model, request, lambda count: (_ for _ in ()).throw(KeyboardInterrupt))
    shutil.copy(table.parent / "images/0.png", table.parent / "images/00.png")
    assert predict(model, request).rows == 73


def test_a_changed_table_is_answered_anew(exported, table, tmp_path):
    model = Model.load(exported[0])
    request = Request(table, tmp_path / "a.csv")
    with pytest.raises(KeyboardInterrupt):
        predict(model, request, lambda count: (_ for _ in ()).throw(KeyboardInterrupt))
    pd.read_csv(table).head(10).to_csv(table, index=False)
    assert predict(model, request).rows == 10


@pytest.mark.parametrize(
    ("request_of", "message"),
    [
        (lambda table: Request(table.with_name("none.csv"), table.with_name("o.csv")), "no such table or folder"),
        (lambda table: Request(table, table.with_name("o.xlsx")), "use .csv or .parquet"),
        (
            lambda table: Request(table, table.with_name("o.csv"), image_column="x"),
            "choose with --image",
        ),
        (lambda table: Request(table, table.with_name("o.csv"), group="x"), "choose with --group"),
        (lambda table: Request(table, table.with_name("o.csv"), coverage=0.5), "is not calibrated; choose 0.8"),
        (lambda table: Request(table, table.with_name("o.csv"), species_list=("dodo",)), "dodo is not a class"),
    ],
)
def test_bad_requests_say_what_to_do(exported, table, request_of, message):
    with pytest.raises(DataError, match=message):
        predict(Model.load(exported[0]), request_of(table))
    assert not table.with_name("o.csv").exists()


def test_a_folder_without_an_export_and_a_damaged_one_are_refused(exported, tmp_path):
    with pytest.raises(ExportError, match="bioautoml export"):
        Model.load(tmp_path)
    shutil.copytree(exported[0], tmp_path / "damaged")
    (tmp_path / "damaged/model.onnx").write_bytes(b"no model")
    with pytest.raises(ExportError, match="is another file than was exported"):
        Model.load(tmp_path / "damaged")


def test_a_budget_that_is_broken_is_refused_with_what_helps(finished, tmp_path, monkeypatch):
    from rich.console import Console

    from bioautoml_nni.architecture import budgets
    from bioautoml_nni.runs.directory import RunDirectory
    from bioautoml_nni.stages.export import export

    run = RunDirectory.open(finished[0])
    parameters = json.loads((finished[0] / "evaluation/metrics.json").read_text())["parameters"]
    monkeypatch.setitem(budgets.BUDGETS, "trap", budgets.Budget(parameters - 1, 2e9))
    with pytest.raises(ExportError, match=r"retrain\.channels|fewer cells"):
        export(run, tmp_path / "model", Console(quiet=True), target="trap")
    with pytest.raises(ExportError, match="is unknown; choose trap, pi, station"):
        export(run, tmp_path / "model", Console(quiet=True), target="moon")
    assert not (tmp_path / "model").exists()


def test_the_runtime_imports_no_torch(exported, tmp_path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    script = (
        "import sys\nfrom bioautoml_nni.runtime import Model\nimport bioautoml_nni.runtime.predict\n"
        f"print(Model.load({str(exported[0])!r}).predict_files({str(tmp_path)!r}, ['a.png'])['prediction'][0])\n"
        "assert not {'torch', 'nni', 'sklearn', 'scipy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in {"ant", "bee", "cicada"}


def test_the_origin_of_the_data_stands_in_provenance_and_card(finished, tmp_path):
    run = RunDirectory.open(Path(shutil.copytree(finished[0], tmp_path / "run")))
    assert "## Data" not in model_card(run, PreparedData.load(run))
    origin = {"doi": "10.15468/dl.abc", "title": "Moths", "image_licences": {"CC0": 70, "not stated": 2}}
    prepare(run, Console(quiet=True), replace(load_manifest(run.experiment), origin=origin))
    assert run.provenance().origin == origin
    card = model_card(run, PreparedData.load(run))
    assert "Moths. Cite as https://doi.org/10.15468/dl.abc." in card
    assert "CC0 (70), not stated (2)" in card
    run.record(origin={"title": "A [table] {{ x }}"})
    assert "A [table] {{ x }}. No DOI is known (data.doi names one)." in model_card(run, PreparedData.load(run))
