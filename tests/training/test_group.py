"""Two processes train together: equal weights, one process's result, resumption bit for bit, failures told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import COMMAND, free_port, surroundings, write_experiment, write_table

from bioautoml_nni.config.schema import TrainingConfig
from bioautoml_nni.losses.cross_entropy import CrossEntropy
from bioautoml_nni.stages.together import require_alike
from bioautoml_nni.training.group import weights_digest
from bioautoml_nni.training.retraining import RetrainModule
from bioautoml_nni.utils.errors import RunDirectoryError

TRAINING = {
    "epochs": 3, "batch_size": 8, "warmup_steps": 2, "accumulate": 2, "ema_decay": 0.9, "mixup": 0.2,
    "sampler": "balanced", "keep": "greedy", "auxiliary_weight": 0.4,
}  # fmt: skip


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory):
    """The folder in which group_of_processes.py has left what it found."""
    folder = tmp_path_factory.mktemp("group")
    write_table(folder / "data", rows=60)
    write_experiment(
        folder, folder / "data", training=TRAINING, retrain={"refit": True},
        search={"epochs": 2, "batch_size": 8, "devices": 2},
        space={"name": "multimodal", "channels": 4, "cells": 1, "metadata_features": 4, "fusion_features": 8},
    )  # fmt: skip
    (folder / "finetune").mkdir()
    trunk = {"encoder": "timm:test_resnet@random", "embedding": True, "frozen": False, "embedding_dropout": 0}
    unchanged = dict.fromkeys(("rotation", "scale", "translation", "brightness", "contrast", "erasing"), 0)
    write_experiment(
        folder / "finetune", folder / "data", space={"name": "multimodal", "cells": 0, "trunk": trunk},
        training={
            "recipe": "finetune", "epochs": 3, "batch_size": 8, "warmup_steps": 2, "learning_rate": 0.01,
            "augmentation": {**unchanged, "flip": False},
        },
    )  # fmt: skip
    script = Path(__file__).with_name("group_of_processes.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), str(folder)], capture_output=True, text=True, timeout=900,
        env=surroundings(), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def codes(folder):
    return json.loads((folder / "codes.json").read_text())


def said(folder, rank=0):
    return " ".join((folder / f"said-{rank}.txt").read_text().split())


def test_shares_of_every_batch_train_what_one_process_trains(scenarios):
    from group_of_processes import fit

    one = fit((0, 1), accelerator="cpu", devices=1)
    first, second = (torch.load(scenarios / f"fit/fit-{rank}.pt", weights_only=True) for rank in (0, 1))
    assert codes(scenarios / "fit") == [0, 0]
    for name, value in one["weights"].items():
        torch.testing.assert_close(first["weights"][name], value)
        assert torch.equal(first["weights"][name], second["weights"][name]), name
    assert first["metrics"] == second["metrics"]
    assert first["metrics"] == pytest.approx(one["metrics"], rel=1e-5)


@pytest.mark.parametrize("unread", [True, False])
def test_parameters_that_no_loss_reaches_are_found_and_nothing_changes(unread):
    from group_of_processes import Network

    network = Network(4, 3)
    network.unread = torch.nn.Linear(2, 2) if unread else torch.nn.Identity()
    module = RetrainModule(3, CrossEntropy([1, 1, 1]), None, TrainingConfig(ema_decay=0.9), 4, seed=0)
    module.set_model(network)
    before, drawn = weights_digest(module.state_dict()), torch.random.get_rng_state()
    assert module.has_unread_parameters({"numeric": torch.ones(2, 4)}) is unread
    assert weights_digest(module.state_dict()) == before and torch.equal(torch.random.get_rng_state(), drawn)
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_run_in_two_processes_ends_with_the_same_weights_in_both(scenarios):
    folder = scenarios / "whole"
    assert codes(folder) == [0, 0], said(folder) + said(folder, 1)
    weights = [(folder / f"weights-{rank}.txt").read_text().split() for rank in (0, 1)]
    assert len(weights[0]) == 2 and weights[0] == weights[1], "of the training and of the refit"
    assert all(f"{stage}: in 2 processes on 1 machine" in said(folder) for stage in ("search", "retrain", "evaluate"))
    assert "Report:" in said(folder) and said(folder, 1) == ""
    assert json.loads((folder / "run/provenance.json").read_text())["stages"].keys() >= {"prepare", "report"}


def test_two_processes_evaluate_what_one_does_byte_for_byte(scenarios):
    assert (scenarios / "alone/code.txt").read_text() == "0"
    together, alone = scenarios / "whole/run/evaluation", scenarios / "alone/run/evaluation"
    for name in ("metrics.json", "calibration.json", "predictions.csv", "per_class.csv", "logits.npz"):
        assert (together / name).read_bytes() == (alone / name).read_bytes(), name


def test_an_evaluation_that_was_killed_ends_byte_for_byte_like_one_that_was_not(scenarios):
    folder, whole = scenarios / "killed", scenarios / "whole/run/evaluation"
    assert codes(folder / "second") == [-15, -9], said(folder / "second")
    assert "Traceback" not in said(folder / "second")
    assert codes(folder / "both") == [-9, -9]
    left = json.loads((folder / "both/left.json").read_text())
    assert left and not any(name.endswith("metrics.json") for name in left), "killed in the middle"
    assert codes(folder / "whole") == [0, 0], said(folder / "whole")
    assert "evaluate: in 2 processes on 1 machine" in said(folder / "whole")
    names = {file.name for file in whole.iterdir()}
    assert {file.name for file in (folder / "run/evaluation").iterdir()} == names
    for name in names - {"speed.json"}:
        assert (folder / "run/evaluation" / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_training_that_failed_and_was_killed_ends_like_one_that_was_not(scenarios):
    folder, whole = scenarios / "interrupted", scenarios / "whole/run/retrain"
    reason = "images/7.png: cannot be read any more; bring it back."
    assert codes(folder / "broken") == [2, 2]
    assert "Error: process 1 of 2 on" in said(folder / "broken", 1) and reason in said(folder / "broken", 1)
    assert reason not in said(folder / "broken") and "Error" not in said(folder / "broken"), "said once"
    assert codes(folder / "killed") == [2, -9]
    assert "has lost another process, which was killed" in said(folder / "killed")
    assert "Traceback" not in said(folder / "killed")
    assert codes(folder / "whole") == [0], said(folder / "whole")
    assert "retrain: in 2 processes on 1 machine" in said(folder / "whole")
    assert said(folder / "whole").count("resumes from the last completed epoch") == 1
    for name in ("history.jsonl", "network.json", "refit/history.jsonl"):
        assert (folder / "run/retrain" / name).read_bytes() == (whole / name).read_bytes(), name
    own, others = (np.load(place / "validation_logits.npy") for place in (folder / "run/retrain", whole))
    np.testing.assert_allclose(own, others, atol=1e-6)  # asked in batches of 256 there, and of 4 here
    resumed, uninterrupted = (torch.load(place / "model.pt") for place in (folder / "run/retrain", whole))
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in resumed)


def test_a_search_that_was_killed_ends_like_one_that_was_not(scenarios):
    folder, whole = scenarios / "searches", scenarios / "whole/run/search"
    assert codes(folder / "killed") == [2, -9]
    assert "has lost another process, which was killed" in said(folder / "killed")
    assert codes(folder / "whole") == [0, 0], said(folder / "whole")
    assert "search: resumes from the last completed epoch" in said(folder / "whole")
    for name in ("history.jsonl", "shares.json"):
        assert (folder / "search" / name).read_bytes() == (whole / name).read_bytes(), name
    resumed, uninterrupted = (torch.load(place / "supernet.pt") for place in (folder / "search", whole))
    assert resumed.keys() == uninterrupted.keys()
    assert all(torch.equal(resumed[name], uninterrupted[name]) for name in resumed)


def test_a_search_whose_processes_end_with_different_weights_is_refused(scenarios):
    folder = scenarios / "searches"
    assert codes(folder / "changed") == [2, 2]
    assert "search: the processes have ended with different weights" in said(folder / "changed")
    assert not (folder / "run/search/shares.json").exists()


def test_two_processes_fine_tune_an_encoder_to_the_same_weights(scenarios):
    folder = scenarios / "tuned"
    assert codes(folder / "together") == [0, 0], said(folder / "together") + said(folder / "together", 1)
    weights = [(folder / f"together/weights-{rank}.txt").read_text() for rank in (0, 1)]
    assert weights[0] == weights[1]
    start, end = torch.load(folder / "start.pt"), torch.load(folder / "run/retrain/model.pt")
    first, last = (f"image_encoder.trunk.body.{name}.weight" for name in ("conv1.0", "layer4.0.downsample.1"))
    moved = {name: float((end[name] - value).abs().mean()) for name, value in start.items() if name in (first, last)}
    assert 0 < moved[first] < moved[last], "layers near the image take smaller steps"
    statistics = [name for name in start if "trunk" in name and "running" in name]
    assert statistics and all(torch.equal(start[name], end[name]) for name in statistics), "they stay as they came"


def test_other_data_in_one_process_are_one_sentence(scenarios):
    folder = scenarios / "other/processes"
    assert codes(folder) == [2, 2]
    assert "has other splits.csv than process 0 of 2" in said(folder) and said(folder).count("Error") == 1
    assert said(folder, 1) == "" and not (scenarios / "other/run/retrain/history.jsonl").exists()


def test_two_machines_that_share_the_run_directory_alone_train_the_same(scenarios, tmp_path):
    from group_of_processes import copy_of

    shared, port = copy_of(scenarios / "whole/run", scenarios / "machines"), free_port()
    machines = []
    for rank in (0, 1):
        place = tmp_path / f"machine-{rank}"
        place.mkdir()
        (place / "run").symlink_to(shared)
        command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--nnodes", "2", "--node-rank", rank]
        command += ["--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", port]
        command += ["--no-python", *COMMAND, "retrain", "run"]
        environment = surroundings(XDG_CACHE_HOME=str(place / "cache"))
        output = (tmp_path / f"said-{rank}.txt").open("w")
        machines.append(
            subprocess.Popen(list(map(str, command)), cwd=place, env=environment, stdout=output, stderr=output)
        )
    ended = [machine.wait(timeout=400) for machine in machines]
    assert ended == [0, 0], said(tmp_path) + said(tmp_path, 1)
    assert "retrain: in 2 processes on 2 machines" in said(tmp_path)
    first, second = (torch.load(run / "retrain/model.pt") for run in (shared, scenarios / "whole/run"))
    assert all(torch.equal(first[name], second[name]) for name in second)


def test_a_command_of_one_process_is_refused(scenarios):
    assert codes(scenarios / "refused") == [2, 2]
    assert "`bioautoml compare` works in one process" in said(scenarios / "refused")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"device": "cpu"}, "process 1: no GPU of its own, where other processes have one"),
        ({"version": "0.1 with torch 2"}, r"other version \(9 with torch 2, 0.1 with torch 2\)"),
        ({"splits.csv": "b", "settings": "k"}, "has other settings and splits.csv than process 0"),
    ],
)
def test_what_differs_between_processes_is_named(changed, words):
    first = {"process": "process 0", "device": "cuda", "version": "9 with torch 2", "settings": "s", "splits.csv": "a"}
    require_alike([first, {**first, "process": "process 1"}])
    with pytest.raises(RunDirectoryError, match=words):
        require_alike([first, {**first, "process": "process 1", **changed}])
