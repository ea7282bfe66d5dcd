"""The parts of the recipe that change the network, and all of them together in a run."""

import json
import shutil

import numpy as np
import pytest
import torch
from conftest import here
from rich.console import Console
from scipy.special import log_softmax, softmax
from teacher_logits import teacher_logits

from bioautoml_nni.architecture import Architecture
from bioautoml_nni.artifacts.history import read_history
from bioautoml_nni.config.load import changed
from bioautoml_nni.data import splits
from bioautoml_nni.data.dataset import make_loader
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.networks import build_network, load_model, predict_logits
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.runs.teacher import distillation
from bioautoml_nni.runs.train import train
from bioautoml_nni.stages.derive import derive
from bioautoml_nni.stages.retrain import retrain
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.training.auxiliary import AuxiliaryHead
from bioautoml_nni.utils.errors import ConfigError, DataError, RunDirectoryError

SILENT = Console(quiet=True)


# Stochastic depth and the auxiliary classifier


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of a finished run, and a function that opens it with other settings."""
    run = tmp_path / "run"
    shutil.copytree(finished[0], run)

    def opened(**settings):
        found = RunDirectory.open(run)
        if settings:
            found = RunDirectory(run, changed(found.experiment, settings, "test"))
            found._save_experiment()
        return found

    return opened


class Joined(torch.nn.Module):
    def forward(self, states):
        return torch.cat(states, dim=1)


def test_dropped_paths_keep_the_mean_and_are_gone_in_evaluation(copy):
    run = copy()
    data = PreparedData.load(run)
    network, _ = build_network(run, data)
    (cell, *_) = network.image_encoder.cells
    cell.project = Joined()
    for module in cell.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0  # in training mode it normalises with the batch all the same
    torch.manual_seed(0)
    features = torch.randn(64, 4, 6, 6)
    network.train()
    plain = cell(features)
    network.set_drop_path(0.4)
    assert all(other.drop_path == 0.4 for other in network.image_encoder.cells)
    cell.incoming = {node: sources for node, sources in cell.incoming.items() if node == cell.live_nodes[0]}
    cell.live_nodes = cell.live_nodes[:1]
    first = plain[:, : features.shape[1]]
    drawn = torch.stack([cell(features) for _ in range(400)])
    assert (drawn[0] != first).any()
    torch.testing.assert_close(drawn.mean(0), first, rtol=0, atol=0.25 * float(first.detach().abs().max()))
    network.eval()
    before = cell(features)
    network.set_drop_path(0.0)
    torch.testing.assert_close(before, cell(features))


def test_a_skip_is_never_dropped(copy):
    run = copy()
    architecture = Architecture.load(run / "architecture.json")
    data = PreparedData.load(run)
    network, _ = build_network(run, data, architecture)
    for cell in network.image_encoder.cells:
        named = {tuple(map(int, edge.split("_"))): name for edge, name in cell.operation_names.items()}
        assert cell.droppable == {edge for edge, name in named.items() if name != "skip"}


def test_the_auxiliary_classifier_teaches_the_first_part_of_the_network(copy):
    run = copy(**{"training.auxiliary_weight": 0.4})
    data = PreparedData.load(run)
    network, _ = build_network(run, data)
    source, channels = network.auxiliary_source()
    assert source is network.image_encoder.cells[1]
    head = AuxiliaryHead(source, channels, 3)
    batch = next(iter(make_loader(data.dataset([splits.WEIGHTS, splits.ALPHA]), 8, shuffle=False)))
    batch["image"] = batch["image"].float() / 255
    network.train()
    network(batch)
    head().sum().backward()
    assert network.image_encoder.stem[0].weight.grad.abs().sum() > 0
    assert network.classifier[1].weight.grad is None
    first = set(dict(network.image_encoder.named_parameters(prefix="image_encoder")))
    taught = {name for name, own in network.named_parameters() if own.grad is not None}
    assert {name for name in first if ".cells.1." not in name} - taught == set() and taught <= first
    network.eval()
    network(batch)
    assert head._features is None, "outside of training nothing is kept"


# In a run


WHOLE = {
    "training.epochs": 4, "training.mixup": 0.4, "training.cutmix": 1.0, "training.drop_path": 0.2,
    "training.auxiliary_weight": 0.4, "training.accumulate": 2, "training.ema_decay": 0.5,
    "training.sampler": "square_root", "training.precision": "bf16-mixed", "training.patience": 9,
    "training.augmentation.erasing": 0.5,
}  # fmt: skip


def test_a_training_with_all_parts_resumes_exactly(copy):
    run = copy(**WHOLE)
    data = PreparedData.load(run)

    def trained(name, *stops):
        folder = run / name
        folder.mkdir()
        for epochs in stops:
            torch.manual_seed(3)
            network, _ = build_network(run, data)
            train(run, data, network, folder, "test", SILENT, epochs)
        return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"], read_history(folder / "history.jsonl")

    (once, history), (twice, resumed) = trained("once", 4), trained("twice", 2, 4)
    assert history == resumed and len(history) == 4
    assert once.keys() == twice.keys() and all(torch.equal(once[name], twice[name]) for name in once)
    assert any(name.startswith("auxiliary.") for name in once)


def test_all_parts_leave_an_ordinary_network_and_are_said_to_overdo_it(copy):
    run = copy(**WHOLE)
    said = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115
    retrain(run, said)
    assert "training.sampler square_root and loss logit_adjusted both make rare classes count" in said.export_text()
    network, _ = build_network(run, PreparedData.load(run))
    weights = torch.load(run / "retrain/model.pt", weights_only=True)
    assert weights.keys() == network.state_dict().keys()
    assert len(read_history(run / "retrain/history.jsonl")) == 4


def test_a_teacher_is_asked_about_the_training_specimens_alone(copy, finished):
    run = copy(**{"training.distillation.teacher": str(finished[0]), "training.distillation.weight": 1.0})
    data = PreparedData.load(run)
    found = teacher_logits(run, data, SILENT)
    other = RunDirectory.open(finished[0])
    taught = PreparedData.load(other)
    expected, target = predict_logits(taught, load_model(other, taught), splits.ALPHA)
    counts = np.array(taught.class_counts())
    np.testing.assert_allclose(
        found[(data.part == splits.ALPHA).to_numpy()],
        expected.numpy() + np.log(counts / counts.sum()), rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    assert np.isnan(found[~data.in_training]).all() and np.isfinite(found[data.in_training]).all()
    assert len(target) == (data.part == splits.ALPHA).sum()


def test_of_a_teacher_the_largest_logits_are_kept_if_the_run_says_so(copy, finished):
    """With one class left over, its share of the rest is its own, so that all logits come back."""
    teacher = {"training.distillation.teacher": str(finished[0])}
    whole, top, single = (copy(**teacher, **{"training.distillation.top_k": k}) for k in (None, 2, 1))
    data = PreparedData.load(whole)
    expected = teacher_logits(whole, data, SILENT)
    np.testing.assert_allclose(teacher_logits(top, data, SILENT), expected, rtol=1e-3, atol=1e-4)
    found = teacher_logits(single, data, SILENT)[data.in_training]
    asked = expected[data.in_training]
    assert (found.argmax(1) == asked.argmax(1)).all() and np.allclose(found.max(1), asked.max(1), atol=1e-5)


def test_a_student_learns_what_its_teacher_says(copy, finished):
    run = copy(
        **{
            "training.distillation.teacher": str(finished[0]), "training.distillation.weight": 1.0,
            "training.distillation.temperature": 1.0, "training.epochs": 30, "training.learning_rate": 0.01,
            "data.image_size": 16,
        }
    )  # fmt: skip
    with run.stage("retrain"):
        retrain(run, SILENT)
    data = PreparedData.load(run)
    wanted = teacher_logits(run, data, SILENT)

    def divergence(network):
        logits, _ = predict_logits(data, network, splits.WEIGHTS)
        own = data.loss().prior_logits(logits).double().numpy()
        teacher = wanted[(data.part == splits.WEIGHTS).to_numpy()].astype(float)
        return (softmax(teacher, axis=1) * (log_softmax(teacher, axis=1) - log_softmax(own, axis=1))).sum(1).mean()

    fresh, _ = build_network(run, data)
    assert divergence(load_model(run, data)) < 0.3 * divergence(fresh.eval())


def test_features_of_a_run_are_what_its_classifier_gets_and_a_student_comes_nearer_to_them(copy, finished):
    """With a weight that leaves the other losses nothing to say, what is not explained of them falls."""
    lessons = {"teacher": str(finished[0]), "weight": 0.5, "features": 1000}
    rate = {"training.epochs": 6, "training.learning_rate": 0.02, "training.ema_decay": 0}
    run = copy(**{"training.distillation": lessons, **rate})
    data = PreparedData.load(run)
    teacher = distillation(run, data, SILENT).teacher
    network = load_model(RunDirectory.open(finished[0]), data)
    transform = data.image_transform(run.experiment.training.augmentation).eval()
    batch = data.dataset([splits.WEIGHTS], teacher).__getitems__([0, 1, 2, 3, 4])
    with torch.no_grad():
        wanted = network.embed({**batch, **transform.of_batch(batch)})
    standard = teacher.features.standard
    std = torch.from_numpy(standard.std)  # they are kept in half precision
    torch.testing.assert_close(std * batch["teacher_features"], std * standard(wanted), rtol=2e-3, atol=2e-3)
    (run / "own").mkdir()
    torch.manual_seed(0)
    student, _ = build_network(run, data)
    train(run, data, student, run / "own", "test", SILENT, distillation=distillation(run, data, SILENT))
    losses = [line["train_loss"] for line in read_history(run / "own/history.jsonl")]
    assert losses[-1] < 0.8 * losses[0]


def test_candidates_of_halving_have_the_teacher_too(copy, finished):
    halving = {"method": "successive_halving", "candidates": 2, "first_epochs": 1}
    run = copy(**{"derivation": halving, "training.distillation.teacher": str(finished[0])})
    derive(run, SILENT)
    (found,) = json.loads((run / "derive/halving.json").read_text())["rounds"]
    assert set(found["scores"]) == {"0", "1"}


def test_a_teacher_that_saw_the_test_specimens_is_refused(copy, finished):
    run = copy(**{"training.distillation.teacher": str(finished[0])})
    data = PreparedData.load(run)
    data.part = data.part.replace({splits.TEST: splits.ALPHA, splits.ALPHA: splits.TEST})
    with pytest.raises(DataError, match=r"was trained on \d+ of the specimens that this run validates and tests with"):
        teacher_logits(run, data, SILENT)


def test_a_teacher_of_other_classes_is_refused(copy, finished):
    run = copy(**{"training.distillation.teacher": str(finished[0])})
    data = PreparedData.load(run)
    data.classes = ["ant", "bee", "dragonfly"]
    with pytest.raises(DataError, match=r"knows other classes \(cicada, dragonfly\)"):
        teacher_logits(run, data, SILENT)


def test_what_a_recipe_cannot_have_is_said_at_once(copy):
    with pytest.raises(ConfigError) as caught:
        copy(
            **{
                "space": {"name": "timm", "encoder": "resnet10t"}, "training.drop_path": 0.1,
                "training.auxiliary_weight": 0.4,
            }
        )  # fmt: skip
    for key in ("drop_path", "auxiliary_weight"):
        assert f"training.{key}: space 'timm' cannot be trained with it" in str(caught.value)


def test_a_teacher_that_is_gone_is_missed_in_training_alone(copy, tmp_path):
    run = copy(**{"training.distillation.teacher": str(tmp_path / "gone")})
    settings = RunDirectory.open(run.path).experiment.training.distillation
    assert settings is not None and settings.teacher == str(tmp_path / "gone")
    with pytest.raises(RunDirectoryError, match=r"gone: is not a run directory"):
        retrain(run, SILENT)


def test_without_images_the_parts_for_images_rest(copy, tmp_path):
    metadata = changed(copy().experiment, {**WHOLE, "data.modalities": ["metadata"]}, "test")
    run = RunDirectory.create(tmp_path / "metadata", metadata)
    run_stages(run, ["prepare", "search", "derive", "retrain"], SILENT)
    assert len(read_history(run / "retrain/history.jsonl")) == 4


def test_the_teacher_s_path_starts_at_the_experiment_s_folder(finished, tmp_path):
    raw = (finished[0] / "experiment.yml").read_text()
    (tmp_path / "experiment.yml").write_text(raw.replace("distillation: null", "distillation: {teacher: nowhere}"))
    done = here("run", tmp_path / "experiment.yml", "--output", tmp_path / "run")
    assert done.returncode == 2 and str(tmp_path / "nowhere") in done.stderr.replace("\n", "")
