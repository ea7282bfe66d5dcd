"""A whole run whose cells stand on a pretrained trunk."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import forked, in_process, write_experiment, write_table
from rich.console import Console

from bioautoml_nni.architecture.budgets import BUDGETS
from bioautoml_nni.auto.attempt import cut_short
from bioautoml_nni.config import load_experiment
from bioautoml_nni.config.load import changed
from bioautoml_nni.data.splits import ALPHA, VALIDATION, WEIGHTS
from bioautoml_nni.evaluation.calibration import negative_log_likelihood
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.networks import load_model, predict_logits
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.training.weights import load_weights

SILENT = Console(quiet=True)

TRUNK = {"encoder": "efficientnet_lite0", "stage": [1, 2, "1+2"], "embedding": "open"}
PARAMETERS = 30_000
"""More than the encoder up to stage 1 and small cells, less than up to stage 2."""


def experiment(folder: Path, data: Path, **changes: object) -> Path:
    return write_experiment(
        folder, data,
        **{
            "space": {"name": "multimodal", "channels": 4, "cells": 1, "fusion_features": 8, "trunk": TRUNK},
            "search": {"epochs": 1, "batch_size": 8},
            "derivation": {"max_parameters": PARAMETERS},
            "training": {"epochs": 2, "batch_size": 8, "warmup_steps": 2, "mixup": 0.2, "keep": "last"},
            "evaluation": {"examples": 3},
            **changes,
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def on_trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, with data/ beside it."""
    folder = tmp_path_factory.mktemp("trunk")
    write_table(folder / "data")
    done = forked("run", experiment(folder, folder / "data"), "--output", folder / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"


def test_a_budget_is_met_by_taking_fewer_stages(on_trunk):
    found = json.loads((on_trunk / "architecture.json").read_text())
    assert found["schema_version"] == 2
    assert found["trunk"]["encoder"] == "efficientnet_lite0" and found["trunk"]["licence"] == "Apache-2.0"
    assert found["trunk"]["stages"] == [1] and not found["trunk"]["embedding"]
    metrics = json.loads((on_trunk / "evaluation/metrics.json").read_text())
    assert metrics["parameters"] == found["sparsity"]["network"]["parameters"] <= PARAMETERS


def test_a_trap_gets_a_trunk_without_embedding_that_fits(on_trunk, tmp_path):
    """Up to its last stage the encoder has 2.96 of a trap's 3 million parameters, which leaves too little for cells."""
    trunk = {"encoder": "efficientnet_lite0", "stage": [5, 6]}
    space = {"name": "multimodal", "channels": 64, "cells": 2, "trunk": trunk}
    path = experiment(tmp_path, on_trunk.parent / "data", space=space, derivation={"method": "random"})
    first = RunDirectory.create(tmp_path / "run", load_experiment(path))
    run_stages(first, ["prepare"], SILENT)
    chosen = {None: [], "trap": []}
    for target, found in chosen.items():
        for seed in range(3):
            settings = {"derivation.seed": seed, "derivation.target": target}
            run = RunDirectory(first.path, changed(first.experiment, settings, "test"))
            run_stages(run, ["derive"], SILENT)
            architecture = json.loads((run / "architecture.json").read_text())
            found += architecture["trunk"]["stages"]
            parameters = architecture["sparsity"]["network"]["parameters"]
            assert target is None or parameters <= BUDGETS[target].parameters
            assert not architecture["trunk"]["embedding"]
    assert 6 in chosen[None] and set(chosen["trap"]) == {5}


def test_the_last_epoch_is_kept(on_trunk):
    network = json.loads((on_trunk / "retrain/network.json").read_text())
    assert network["keep"] == "last" and network["best_epoch"] == 1
    assert "the last weights are kept" in (on_trunk / "report.html").read_text(encoding="utf-8")


def test_images_are_normalised_as_the_encoder_was_trained(on_trunk):
    data = PreparedData.load(RunDirectory.open(on_trunk))
    assert data.image.mean == data.image.std == [0.5, 0.5, 0.5]


def test_an_export_predicts_as_the_network_does(on_trunk, tmp_path, capsys):
    code, said = in_process(capsys, "export", on_trunk, "--output", tmp_path / "model", "--int8", "--target", "trap")
    assert code == 0, said
    parity = json.loads((tmp_path / "model/parity.json").read_text())
    assert max(parity["largest_difference"].values()) < parity["tolerance"]
    assert (tmp_path / "model/gradcam.onnx").is_file()
    preprocessing = json.loads((tmp_path / "model/preprocessing.json").read_text())
    assert preprocessing["image"]["mean"] == [0.5, 0.5, 0.5]
    table = on_trunk.parent / "data/metadata.csv"
    code, said = in_process(capsys, "predict", tmp_path / "model", table, "--output", tmp_path / "answers.csv")
    assert code == 0, said
    test = pd.read_csv(on_trunk / "evaluation/predictions.csv", dtype=str).set_index("id")
    answers = pd.read_csv(tmp_path / "answers.csv", dtype=str).iloc[test.index.astype(int)]
    agreeing = np.mean(answers["prediction"].to_numpy() == test["predicted"].to_numpy())
    assert agreeing > 0.9  # stored features have half precision


@pytest.mark.parametrize(
    "strategy", [{"name": "nni_darts", "arc_learning_rate": 0.01}, {"name": "random_paths"}], ids=lambda s: s["name"]
)
def test_nni_s_own_strategies_search_on_a_trunk(strategy, on_trunk, tmp_path, capsys):
    path = experiment(tmp_path, on_trunk.parent / "data", strategy=strategy, derivation={})
    code, said = in_process(capsys, "run", path, "--output", tmp_path / "run", "--set", "training.epochs=1")
    assert code == 0, said
    shares = json.loads((tmp_path / "run/search/shares.json").read_text())
    assert set(shares["stage"]) == {"1", "2", "1+2"} and set(shares["embedding"]) == {"none", "embedding"}


def test_a_trunk_is_trained_along_where_it_is_not_frozen(on_trunk, tmp_path, capsys):
    path = experiment(
        tmp_path, on_trunk.parent / "data", derivation={},
        space={"name": "multimodal", "cells": 0, "trunk": {**TRUNK, "stage": 1, "embedding": False, "frozen": False}},
        training={"recipe": "finetune", "epochs": 1, "batch_size": 8},
    )  # fmt: skip
    code, said = in_process(capsys, "run", path, "--output", tmp_path / "run")
    assert code == 0, said
    found = json.loads((tmp_path / "run/architecture.json").read_text())
    assert found["trunk"] == {**found["trunk"], "stages": [1], "embedding": False, "frozen": False}
    assert json.loads((tmp_path / "run/retrain/network.json").read_text())["keep"] == "last"


def test_the_network_that_a_search_on_a_frozen_trunk_found_trains_its_trunk_along(on_trunk, tmp_path, capsys):
    """The stages up to the one named stay to the last bit; the search is the same as without."""
    data = on_trunk.parent / "data"
    path = experiment(tmp_path, data, retrain={"trunk": {"frozen": False, "frozen_stages": 0, "views": 1}})
    code, said = in_process(capsys, "run", path, "--output", tmp_path / "run")
    assert code == 0, said
    shares = [
        pd.json_normalize(json.loads((run / "search/shares.json").read_text())) for run in (on_trunk, tmp_path / "run")
    ]
    pd.testing.assert_frame_equal(*shares, atol=1e-4)
    run = RunDirectory.open(tmp_path / "run")
    trunk = run.network().arguments["trunk"]
    assert (trunk["frozen"], trunk["frozen_stages"], trunk["views"]) == (False, 0, 1)
    assert run.experiment.space.arguments["trunk"] == TRUNK, "what the search had stays written"
    assert "trained further after its stage 0" in (run / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "kept as it was" in (on_trunk / "MODEL_CARD.md").read_text(encoding="utf-8")
    before, after = (load_weights(where / "retrain/model.pt") for where in (on_trunk, run))
    assert before.keys() == after.keys()
    changed_names = {name for name in before if ".trunk." in name and not torch.equal(before[name], after[name])}
    blocks = {name.split(".blocks.")[1].split(".")[0] for name in changed_names if ".blocks." in name}
    assert blocks == {"1"}, "stage 1 is trained, stage 0 and the stem are not"
    code, said = in_process(capsys, "export", run.path, "--output", tmp_path / "model", "--int8")
    assert code == 0, said
    code, said = in_process(
        capsys, "predict", tmp_path / "model", data / "metadata.csv", "--output", tmp_path / "answers.csv"
    )
    assert code == 0, said
    test = pd.read_csv(run / "evaluation/predictions.csv", dtype=str).set_index("id")
    answers = pd.read_csv(tmp_path / "answers.csv", dtype=str).iloc[test.index.astype(int)]
    assert np.mean(answers["prediction"].to_numpy() == test["predicted"].to_numpy()) > 0.9


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"frozen_stages": 1}, "add frozen: false"),
        ({"frozen": False, "frozen_stages": 2}, "retrain.trunk.frozen_stages: 2 leaves nothing of stages 0 to 2"),
        ({"frozen": False, "views": 2}, "retrain.trunk.views: a trunk that is trained sees every image again"),
        ({"stage": 2}, "retrain.trunk.stage: there is no such key"),
    ],
)
def test_a_trunk_that_cannot_be_trained_so_is_refused_before_the_search(settings, sentence, on_trunk, tmp_path, capsys):
    trunk = {**TRUNK, "embedding": False}
    space = {"name": "multimodal", "channels": 4, "cells": 1, "fusion_features": 8, "trunk": trunk}
    path = experiment(tmp_path, on_trunk.parent / "data", space=space, retrain={"trunk": settings})
    code, said = in_process(capsys, "run", path, "--output", tmp_path / "run")
    assert code == 2 and sentence in said
    assert not (tmp_path / "run").exists()


def test_settings_of_a_trunk_that_is_not_there_are_refused(on_trunk, tmp_path, capsys):
    space = {"name": "multimodal", "channels": 4, "cells": 1}
    path = experiment(tmp_path, on_trunk.parent / "data", space=space, retrain={"trunk": {"frozen": False}})
    code, said = in_process(capsys, "run", path, "--output", tmp_path / "run")
    assert code == 2 and "retrain.trunk: there is no space.trunk that it could change; remove it" in said


def test_what_stored_features_cannot_do_is_refused_at_once(on_trunk, tmp_path, capsys):
    path = experiment(
        tmp_path, on_trunk.parent / "data", training={"cutmix": 1.0}, search={"epochs": 2, "image_sizes": [16, 32]}
    )
    code, said = in_process(capsys, "run", path, "--output", tmp_path / "run")
    assert code == 2 and "training.cutmix" in said and "search.image_sizes" in said and "frozen" in said
    assert not (tmp_path / "run").exists()
    space = {"name": "multimodal", "cells": 0, "trunk": {"encoder": "efficientnet_lite0", "embedding": True}}
    path = experiment(
        tmp_path, on_trunk.parent / "data", space=space, retrain={"cells": 2}, training={"auxiliary_weight": 0.4}
    )
    code, said = in_process(capsys, "run", path, "--output", tmp_path / "run")
    assert code == 2 and "retrain.cells" in said and "training.auxiliary_weight" in said and "no cells" in said


def test_a_refit_learns_from_validation_and_is_calibrated_by_what_had_not_seen_it(on_trunk, tmp_path, capsys):
    path = experiment(
        tmp_path, on_trunk.parent / "data", derivation={"method": "random"}, retrain={"refit": True}, evaluation={}
    )
    code, said = in_process(capsys, "run", path, "--output", tmp_path / "run")
    assert code == 0, said
    run = RunDirectory.open(tmp_path / "run")
    data = PreparedData.load(run)
    kept, first = (load_weights(run / f"retrain/{name}") for name in ("model.pt", "best.pt"))
    assert any(not torch.equal(kept[name], first[name]) for name in kept)
    network = load_model(run, data)
    network.load_state_dict(first)
    logits, target = predict_logits(data, network.eval(), VALIDATION)
    shipped = json.loads((run / "evaluation/calibration.json").read_text())["nll"]["before"]
    own = predict_logits(data, load_model(run, data), VALIDATION)[0]
    assert shipped == pytest.approx(negative_log_likelihood(logits.double().numpy(), target), rel=1e-4)
    assert shipped != pytest.approx(negative_log_likelihood(own.double().numpy(), target), rel=1e-4)
    batches = len(data.dataset([WEIGHTS, ALPHA, VALIDATION])) // 8
    checkpoint = torch.load(run / "retrain/refit/last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2 * batches > 2 * (len(data.dataset([WEIGHTS, ALPHA])) // 8)
    assert run.network().learned_from == [WEIGHTS, ALPHA, VALIDATION] and not cut_short(run.path)


def test_a_refit_for_which_there_is_no_time_leaves_the_network_that_was_trained(
    on_trunk, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("bioautoml_nni.stages.retrain.SLACK", 1e-9)
    settings = {"refit": True, "max_minutes": 100}
    path = experiment(
        tmp_path, on_trunk.parent / "data", derivation={"method": "random"}, retrain=settings, evaluation={}
    )
    code, said = in_process(capsys, "run", path, "--output", tmp_path / "run")
    assert code == 0 and "no time for it (retrain.max_minutes: 100)" in " ".join(said.split())
    run = RunDirectory.open(tmp_path / "run")
    kept, first = (load_weights(run / f"retrain/{name}") for name in ("model.pt", "best.pt"))
    assert all(torch.equal(kept[name], first[name]) for name in first)
    assert run.network().learned_from == [WEIGHTS, ALPHA] and not (run / "retrain/validation_logits.npy").exists()
    assert cut_short(run.path) == ["had no time to learn from the validation split too"]
