"""Teachers in the search and in the training: an encoder end to end, who is taught when, what is refused."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
import yaml
from conftest import in_process, write_experiment, write_table
from rich.console import Console

from bioautoml_nni.config import load_experiment
from bioautoml_nni.config.load import changed
from bioautoml_nni.data import splits
from bioautoml_nni.data.metadata import EncodedMetadata
from bioautoml_nni.features.store import FeatureStore
from bioautoml_nni.runs.directory import STAGES, RunDirectory
from bioautoml_nni.runs.greedy import kept_weights
from bioautoml_nni.runs.networks import load_model, predict_logits
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.runs.teacher import distillation, shared_teacher
from bioautoml_nni.runs.train import train
from bioautoml_nni.stages import retrain
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.stages.search import search_parts
from bioautoml_nni.training.distillation import LiveTeacher
from bioautoml_nni.training.teacher_features import Standard
from bioautoml_nni.training.weights import load_weights
from bioautoml_nni.utils.errors import ConfigError, DataError
from bioautoml_nni.utils.shard import Shard
from bioautoml_nni.utils.yaml_files import load_yaml

SILENT = Console(quiet=True)
ENCODER = "timm:resnet10t@random"
LESSONS = {"teacher": ENCODER, "weight": 0.8, "same_view": True, "folds": 2, "features": 0.5}


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A finished run whose cells stand on a trunk, taught by an encoder in the search and in the training."""
    folder = tmp_path_factory.mktemp("student")
    write_table(folder / "data")
    path = write_experiment(
        folder, folder / "data",
        space={
            "name": "multimodal", "channels": 4, "cells": 1, "fusion_features": 8,
            "trunk": {"encoder": "efficientnet_lite0", "stage": 1, "views": 1},
        },
        search={"epochs": 1, "batch_size": 8, "distillation": LESSONS},
        retrain={"refit": True},
        training={
            "epochs": 3, "batch_size": 8, "warmup_steps": 2, "mixup": 0.2, "keep": "greedy", "distillation": LESSONS,
        },
        evaluation={"examples": 0},
    )  # fmt: skip
    run_stages(RunDirectory.create(folder / "run", load_experiment(path)), tuple(STAGES), SILENT)
    return folder / "run"


def test_an_encoder_teaches_search_and_training_with_the_view_that_its_student_sees(student):
    run = RunDirectory.open(student)
    data = PreparedData.load(run)
    logits = np.load(student / "teacher/logits.npy")
    assert logits.shape == (2, len(data.table), 3)
    assert np.isfinite(logits[:, data.in_training]).all() and np.isnan(logits[:, ~data.in_training]).all()
    teacher = distillation(run, data, SILENT).teacher
    dataset = data.dataset([splits.WEIGHTS, splits.ALPHA], teacher, views=True)
    seen = set()
    for seed in range(8):
        torch.manual_seed(seed)
        batch = dataset.__getitems__([0, 1, 2])
        views = [np.array_equal(batch["teacher"].numpy(), logits[view, dataset.positions[:3]]) for view in (0, 1)]
        features = [data.features.batch(dataset.positions[:3], view)["stage1"] for view in (0, 1)]
        stored = [torch.equal(batch["stage1"], own) for own in features]
        assert views == stored and sum(views) == 1
        seen.add(views.index(True))
        kept = np.load(student / "teacher/features.npy")
        standard = Standard.of(kept[0, data.in_training].astype(np.float32))
        wanted = standard(torch.from_numpy(kept[views.index(True), dataset.positions[:3]]))
        torch.testing.assert_close(batch["teacher_features"], wanted)
    assert seen == {0, 1}


def test_for_a_refit_the_encoder_s_head_learns_from_validation_too(student):
    run = RunDirectory.open(student)
    data = PreparedData.load(run)
    before, after = np.load(student / "teacher/logits.npy"), np.load(student / "teacher/refit/logits.npy")
    learned = data.in_training | data.mask_of(splits.VALIDATION)
    assert np.isfinite(after[:, learned]).all() and np.isnan(after[:, ~learned]).all()
    assert not np.allclose(before[:, data.in_training], after[:, data.in_training], atol=1e-3)
    assert np.array_equal(distillation(run, data, SILENT, refit=True).teacher.values, after, equal_nan=True)
    heads = [np.load(student / folder / "weight.npy") for folder in ("teacher", "teacher/refit")]
    assert heads[0].shape == heads[1].shape and not np.allclose(*heads, atol=1e-4)


def test_a_projection_of_features_is_learned_and_thrown_away(student):
    for folder in ("search", "retrain"):
        checkpoint = torch.load(student / folder / "last.ckpt", weights_only=True)
        state = checkpoint["state_dict"]
        shapes = {name: tuple(value.shape) for name, value in state.items() if "projection.linear" in name}
        assert sorted(shapes.values()) == [(512,), (512, 8)], folder  # of the joint embedding, and of resnet10t
        steps = [slot for found in checkpoint["optimizer_states"] for slot in found["state"].values()]
        updated = {tuple(value.shape) for slot in steps for value in slot.values() if isinstance(value, torch.Tensor)}
        assert (512, 8) in updated, f"{folder}: the optimiser knows it"
    assert not any("projection.linear" in name for name in load_weights(student / "retrain/model.pt"))


def test_processes_compute_their_shares_of_what_an_encoder_that_teaches_sees(student, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shutil.copytree(student, folder)
    shutil.rmtree(folder / "teacher")
    run = RunDirectory(folder, changed(RunDirectory.open(folder).experiment, {"cache.folder": str(tmp_path)}, "test"))
    data, shares = PreparedData.load(run), [0]
    compute = FeatureStore._compute

    def counted(store, pixels, wanted, outputs):
        shares[-1] += len(wanted) if store.encoder.reference == ENCODER else 0
        return compute(store, pixels, wanted, outputs)

    monkeypatch.setattr(FeatureStore, "_compute", counted)
    for number in (1, 2):
        shared_teacher(run, data, SILENT, "training", validation=True).fill_features(Shard(number, 2))
        shares.append(0)
    found = distillation(run, data, SILENT).teacher.values
    distillation(run, data, SILENT, refit=True)
    assert shares[0] and abs(shares[0] - shares[1]) <= 2 and shares[2] == 0, "nothing is left to compute"
    np.testing.assert_allclose(found, np.load(student / "teacher/logits.npy"), rtol=2e-2, atol=2e-2)
    shared_teacher(run, data, SILENT, "training").fill_features(Shard(1, 2))
    assert shares[2] == 0, "answers that are kept need no features"


def test_of_an_encoder_the_largest_logits_are_kept_on_the_disk_if_the_run_says_so(student, tmp_path):
    """With one class left over, its share of the rest is its own, so that all logits come back."""
    folder = tmp_path / "run"
    shutil.copytree(student, folder)
    run = RunDirectory.open(folder)
    data = PreparedData.load(run)
    own = RunDirectory(run.path, changed(run.experiment, {"training.distillation.top_k": 2}, "test"))
    for _ in range(2):  # the second time from the disk
        teacher = distillation(own, data, SILENT).teacher
        whole = np.load(student / "teacher/logits.npy")
        found = np.stack([teacher.whole(np.arange(len(data.table)), view) for view in range(2)])
        np.testing.assert_allclose(found, whole, rtol=2e-3, atol=2e-3)
    assert np.load(folder / "teacher/logits.npy").shape == (2, len(data.table), 2)
    assert np.load(folder / "teacher/classes.npy").dtype == np.int32


def test_cross_fitted_answers_know_nothing_of_the_labels_themselves(student):
    run = RunDirectory.open(student)
    data = PreparedData.load(run)
    data.targets = np.random.default_rng(0).permutation(data.targets)  # which nobody can know without having seen them
    folds = {}
    for number in (0, 2):
        own = RunDirectory(
            run.path, changed(run.experiment, {"training.distillation": {"teacher": ENCODER, "folds": number}}, "test")
        )
        folds[number] = distillation(own, data, SILENT).teacher.values[0][data.in_training]
    target = data.targets[data.in_training]

    def loss(logits):
        return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(target)))

    assert loss(folds[0]) < np.log(3) < loss(folds[2])


def test_the_greedy_average_is_what_is_kept(student):
    network = json.loads((student / "retrain/network.json").read_text())
    assert network["keep"] == "greedy" and set(network["averaged_epochs"]) <= {0, 1, 2}
    assert "the weights of epochs" in (student / "report.html").read_text(encoding="utf-8")
    run = RunDirectory.open(student)
    data = PreparedData.load(run)
    members = [load_weights(student / f"retrain/epoch-{epoch}.pt") for epoch in network["averaged_epochs"]]
    average = {name: sum(each[name] for each in members) / len(members) for name in members[0]}
    for name, value in kept_weights(run).items():
        assert not value.is_floating_point() or torch.allclose(value, average[name], rtol=1e-5, atol=1e-7)
    model = load_model(run, data)
    model.load_state_dict(average, strict=False)
    logits, _ = predict_logits(data, model, splits.VALIDATION)
    np.testing.assert_allclose(np.load(student / "retrain/validation_logits.npy"), logits.numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("steps", "taught"), [("both", {"weights", "alpha"}), ("weights", {"weights"}), ("architecture", {"alpha"})]
)
def test_a_teacher_teaches_in_the_steps_that_are_asked_for(student, steps, taught):
    run = RunDirectory.open(student)
    settings = {"search.distillation.steps": steps, "search.distillation.features": 0}
    run = RunDirectory(run.path, changed(run.experiment, settings, "test"))
    parts = search_parts(run, PreparedData.load(run), SILENT)
    loaders = parts.evaluator.train_dataloaders
    assert {group for group, loader in loaders.items() if "teacher" in next(iter(loader))} == taught
    assert "teacher" not in next(iter(parts.evaluator.val_dataloaders))
    module = parts.evaluator.module
    module.log = lambda *args, **kwargs: None
    module.set_model(_Constant())
    batch = next(iter(loaders["weights"]))
    plain = float(module.loss(torch.zeros(len(batch["target"]), 3), batch["target"]))
    assert (float(module.training_step(batch, 0)) == pytest.approx(plain)) == ("weights" not in taught)


class _Constant(torch.nn.Module):
    def forward(self, batch):
        return torch.zeros(len(batch["target"]), 3)


@pytest.mark.parametrize(
    "strategy",
    [
        {"name": "random_paths"},
        {"name": "alternating_darts", "schedule": "single_level"},
        {"name": "alternating_darts", "schedule": {"name": "per_step"}, "alpha_data": "shared"},
    ],
)
def test_strategies_that_update_all_by_one_batch_have_a_teacher_in_both(student, strategy):
    """Said when the experiment is read, with whatever else is wrong."""
    settings = {"search.distillation.steps": "weights", "strategy": strategy, "search.image_sizes": [512]}
    with pytest.raises(ConfigError) as refused:
        changed(RunDirectory.open(student).experiment, settings, "test")
    assert f"search.distillation.steps: strategy {strategy['name']!r}, as it is set, updates" in str(refused.value)
    assert "search.image_sizes: " in str(refused.value)


def test_a_strategy_of_two_kinds_of_steps_is_taught_in_one(student):
    strategy = {"name": "alternating_darts", "schedule": {"name": "per_step"}}
    settings = {"search.distillation.steps": "weights", "strategy": strategy}
    found = changed(RunDirectory.open(student).experiment, settings, "test")
    assert found.search.distillation.steps == "weights"


def test_a_live_teacher_sees_the_student_s_images_as_it_was_trained(student):
    class Mean(torch.nn.Module):
        def forward(self, batch):
            assert batch["image"].shape[-1] == 8
            return torch.cat([batch["image"].mean((2, 3)), batch["numeric"]], dim=1), None

    rows = np.array([2, 0])
    metadata = EncodedMetadata(
        np.arange(6, dtype=np.float32).reshape(3, 2), np.zeros((3, 0), np.int64), np.ones((3, 2))
    )
    teacher = LiveTeacher(Mean(), 8, [0.5, 0.4, 0.3], [0.2, 0.3, 0.4], metadata)
    pixels = torch.rand(2, 3, 4, 4)
    shape = (1, 3, 1, 1)
    images = (pixels - torch.tensor([0.5, 0.4, 0.3]).view(shape)) / torch.tensor([0.2, 0.3, 0.4]).view(shape)
    found, features, of_mixed = teacher.answer({"image": images, **teacher.batch(rows, 0)})
    assert of_mixed and features is None
    torch.testing.assert_close(found[:, :3], pixels.mean((2, 3)), rtol=1e-2, atol=1e-2)
    assert found[:, 3:].tolist() == [[4, 5], [0, 1]]


@pytest.mark.parametrize("kind", ["encoder", "run"])
def test_a_live_teacher_says_of_plain_images_what_a_teacher_that_was_asked_before_says(kind, finished):
    reference = ENCODER if kind == "encoder" else str(finished[0])
    found = RunDirectory.open(finished[0])
    answers, features = {}, {}
    for same_view in (False, True):
        settings = {"teacher": reference, "same_view": same_view, "features": 1.0}
        own = RunDirectory(finished[0], changed(found.experiment, {"training.distillation": settings}, "test"))
        data = PreparedData.load(own)
        teacher = distillation(own, data, SILENT).teacher
        dataset = data.dataset([splits.WEIGHTS], teacher)
        batch = dataset.__getitems__([0, 1, 2, 3])
        transform = data.image_transform(own.experiment.training.augmentation).eval()
        said = teacher.answer({**batch, **transform.of_batch(batch)})
        answers[same_view], features[same_view] = said.logits, said.features
    assert features[True].shape == features[False].shape and torch.isfinite(features[True]).all()
    if kind == "run":
        torch.testing.assert_close(answers[True], answers[False], rtol=1e-3, atol=1e-3)
        std = torch.from_numpy(teacher.standard.std)  # the others were kept in half precision
        torch.testing.assert_close(std * features[True], std * features[False], rtol=2e-3, atol=2e-3)
    else:  # the encoder's own size is larger: it sees the student's image enlarged
        assert answers[True].shape == answers[False].shape and torch.isfinite(answers[True]).all()


def test_a_search_refuses_a_teacher_that_saw_test_specimens(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "run")  # other settings remove what an earlier search left unfinished
    shutil.copytree(finished[0].parent / "data", tmp_path / "data")
    found = RunDirectory.open(tmp_path / "run")
    run = RunDirectory(
        found.path, changed(found.experiment, {"search.distillation": {"teacher": str(finished[0])}}, "test")
    )
    data = PreparedData.load(run)
    data.part = data.part.replace({splits.TEST: splits.ALPHA, splits.ALPHA: splits.TEST})
    with pytest.raises(DataError, match=r"search.distillation.teacher: was trained on \d+ of the specimens"):
        search_parts(run, data, SILENT)


def test_views_that_a_teacher_cannot_see_are_refused_at_once(tmp_path, capsys):
    write_table(tmp_path / "data")
    trunk = {"encoder": "efficientnet_lite0", "stage": 1}
    lessons = {"teacher": "efficientnet_lite0", "same_view": True}
    path = write_experiment(
        tmp_path, tmp_path / "data", space={"name": "multimodal", "trunk": trunk},
        search={"distillation": lessons}, training={"distillation": {**lessons, "teacher": "logits.parquet"}},
    )  # fmt: skip
    code, said = in_process(capsys, "run", path, "--output", tmp_path / "run")
    assert code == 2 and not (tmp_path / "run").exists()
    assert "search.distillation.same_view: maps of a frozen trunk are turned themselves" in said
    assert "training.distillation.same_view: a table knows the plain images only" in said
    with pytest.raises(ConfigError, match="training.distillation.same_view: there are no images"):
        load_experiment(path, ["data.modalities=[metadata]", "space={name: multimodal}"])


def test_folds_that_would_be_none_are_refused_at_once(tmp_path):
    write_table(tmp_path / "data")
    path = write_experiment(tmp_path, tmp_path / "data")

    def said(teacher, folds, **more):
        lessons = {"teacher": teacher, "folds": folds, **more}
        with pytest.raises(ConfigError) as refused:
            load_experiment(path, [f"training.distillation={json.dumps(lessons)}"])
        return str(refused.value)

    assert "training.distillation.folds: heads are fitted to an encoder, which" in said("logits.parquet", 3)
    assert "training.distillation.folds: a teacher that sees the changed images" in said(ENCODER, 3, same_view=True)
    assert "training.distillation.folds: one fold leaves nothing to learn from" in said(ENCODER, 1)


def test_more_folds_than_groups_are_refused_before_anything_is_fitted(student):
    run = RunDirectory.open(student)
    lessons = {"training.distillation": {"teacher": ENCODER, "folds": 40}}
    own = RunDirectory(run.path, changed(run.experiment, lessons, "test"))
    with pytest.raises(DataError, match=r"training.distillation.folds: 40 folds need as many groups, and the training"):
        distillation(own, PreparedData.load(run), SILENT)


def test_teachers_of_one_name_are_refused_since_they_would_share_a_folder(tmp_path):
    write_table(tmp_path / "data")
    path = write_experiment(tmp_path, tmp_path / "data")
    named = ["search.distillation={teacher: one/teacher.yml}", "training.distillation={teacher: two/teacher.yml}"]
    with pytest.raises(ConfigError, match="is another file than search.distillation.teacher and called teacher, too"):
        load_experiment(path, named)
    assert load_experiment(path, [named[0], "training.distillation={teacher: one/teacher.yml}"])


@pytest.fixture
def taught_by_a_file(tmp_path):
    """An experiment whose teacher is another one, which sees larger images and has not been trained."""
    write_table(tmp_path / "data")
    teacher = write_experiment(tmp_path, tmp_path / "elsewhere", name="teacher", seed=7, retrain={"refit": True})
    values = load_yaml(teacher.read_text())
    del values["data"]["root"]  # as in an example, whose data are named by --set
    values["data"].update(image_size=20, split={"method": "stratified"})  # the student's data, split and seed hold
    (tmp_path / "teacher.yml").write_text(yaml.safe_dump(values))
    lessons = {"teacher": "teacher.yml", "weight": 0.5}
    training = {"epochs": 2, "batch_size": 8, "warmup_steps": 2, "distillation": lessons}
    return write_experiment(tmp_path, tmp_path / "data", training=training)


def test_an_experiment_file_is_trained_first_on_the_same_data_and_kept(taught_by_a_file, tmp_path, capsys):
    code, text = in_process(capsys, "run", taught_by_a_file, "--output", tmp_path / "run")
    assert code == 0, text
    student, teacher = (RunDirectory.open(tmp_path / name) for name in ("run", "run/teachers/teacher"))
    assert (teacher / "splits.csv").read_text() == (student / "splits.csv").read_text()
    assert teacher.experiment.data.image_size == 20 and teacher.experiment.seed == student.experiment.seed
    assert not teacher.experiment.retrain.refit  # its student has none
    assert teacher.done("retrain") and not teacher.done("evaluate")
    data = PreparedData.load(student)
    found = distillation(student, data, SILENT).teacher.values[0][data.in_training]
    named = RunDirectory(student.path, changed(student.experiment, {
        "training.distillation.teacher": str(teacher.path)
    }, "test"))  # fmt: skip
    assert np.array_equal(found, distillation(named, data, SILENT).teacher.values[0][data.in_training])

    trained = (teacher / "retrain/model.pt").stat().st_mtime_ns
    kept = (tmp_path / "teacher.yml").read_text()
    (tmp_path / "teacher.yml").write_text(kept.replace("channels: 4", "channels: 8"))
    code, text = in_process(capsys, "retrain", tmp_path / "run", "--set", "training.weight_decay=0.01")
    assert code == 2 and "teacher.yml: has changed since its network was trained (space.channels is 4 there" in text
    (tmp_path / "teacher.yml").write_text(kept)
    code, text = in_process(capsys, "retrain", tmp_path / "run", "--set", "threads=1", "--set", "training.epochs=1")
    assert code == 0, text  # what the student decides may change
    (tmp_path / "teacher.yml").unlink()  # it is needed no more
    code, text = in_process(capsys, "retrain", tmp_path / "run", "--set", "training.epochs=1")
    assert code == 0, text
    assert (teacher / "retrain/model.pt").stat().st_mtime_ns == trained


def test_a_teacher_that_is_refitted_teaches_the_refit_and_the_one_before_teaches_before(
    taught_by_a_file, tmp_path, capsys, monkeypatch
):
    taught = []

    def noted(*arguments, refit=False, **more):
        if more["distillation"] is not None:
            taught.append((refit, more["distillation"].teacher.values[0]))
        return train(*arguments, refit=refit, **more)

    monkeypatch.setattr(retrain, "train", noted)
    code, text = in_process(
        capsys, "run", taught_by_a_file, "--output", tmp_path / "run", "--set", "retrain.refit=true"
    )
    assert code == 0, text
    student, teacher = (RunDirectory.open(tmp_path / name) for name in ("run", "run/teachers/teacher"))
    assert teacher.experiment.retrain.refit and splits.VALIDATION in teacher.network().learned_from
    data, asked = PreparedData.load(student), PreparedData.load(teacher)
    (first, said), (second, said_later) = taught
    assert not first and second
    assert np.isnan(said[~data.in_training]).all()
    assert np.isnan(said_later[data.mask_of(splits.TEST)]).all()
    network = load_model(teacher, asked)
    for weights, answers, parts in (
        (kept_weights(teacher), said, splits.TRAINING),
        (load_weights(teacher / "retrain/model.pt"), said_later, (*splits.TRAINING, splits.VALIDATION)),
    ):
        network.load_state_dict(weights)
        for part in parts:
            own = asked.loss().prior_logits(predict_logits(asked, network, part)[0])
            np.testing.assert_allclose(answers[data.mask_of(part)], own.numpy(), rtol=1e-4, atol=1e-4)

    trained = (teacher / "retrain/model.pt").stat().st_mtime_ns
    code, text = in_process(capsys, "retrain", student.path, "--set", "retrain.refit=false")
    assert code == 0, text  # what it was before it was refitted is kept
    assert (teacher / "retrain/model.pt").stat().st_mtime_ns == trained


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: x\nsorce: csv\n", "teacher.yml: .* sorce: there is no such key"),
        (None, "teacher.yml: .* there is no such file"),
        (
            "name: x\ndata: {source: csv, root: .}\ntraining: {distillation: {teacher: other.yml}}\n",
            "training.distillation.teacher: other.yml is an experiment too; .* by a run, an encoder or a table",
        ),
    ],
)
def test_a_file_that_cannot_teach_is_refused_at_once(taught_by_a_file, tmp_path, capsys, text, words):
    (tmp_path / "teacher.yml").unlink() if text is None else (tmp_path / "teacher.yml").write_text(text)
    code, said = in_process(capsys, "run", taught_by_a_file, "--output", tmp_path / "run")
    assert code == 2 and re.search(words, " ".join(said.split())), said
    assert not (tmp_path / "run/search").exists()
