"""A probe from table to export, as a user makes it."""

import json

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import timm
import torch
from conftest import here, in_process, write_experiment, write_table
from rich.console import Console
from teacher_logits import teacher_logits

from bioautoml_nni.config.load import changed
from bioautoml_nni.data import splits
from bioautoml_nni.data.manifest import IMAGE
from bioautoml_nni.features.store import FeatureStore
from bioautoml_nni.runs import teacher_table
from bioautoml_nni.runs.before_refit import network_before_refit
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.networks import load_model, predict_logits
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.runs.probe import learned_parts, validation_logits
from bioautoml_nni.runs.teacher import distillation, require_fitting_teachers, require_teacher
from bioautoml_nni.runtime import Model
from bioautoml_nni.runtime.predict import Request, predict
from bioautoml_nni.stages.search import search
from bioautoml_nni.utils.errors import DataError, EncoderError
from bioautoml_nni.utils.shard import Shard

SILENT = Console(quiet=True)
ENCODER = "timm:test_resnet@random"


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    """A finished run of a probe, and its export."""
    folder = tmp_path_factory.mktemp("probe")
    write_table(folder / "data")
    raw = write_experiment(
        folder, folder / "data", space={"name": "probe", "encoder": ENCODER}, training={"recipe": "probe"},
        strategy={"name": "alternating_darts"}, name="probe",
    )  # fmt: skip
    done = here("run", raw, "--output", folder / "run", "--set", "data.image_size=auto")
    assert done.returncode == 0, done.stdout + done.stderr
    exported = here("export", folder / "run")
    assert exported.returncode == 0, exported.stdout + exported.stderr
    return folder / "run", folder / "data"


def test_the_size_is_the_encoder_s_as_far_as_images_hold_it(probe):
    data = PreparedData.load(RunDirectory.open(probe[0]))
    assert data.image_size == 64  # twice 28 pixels, rounded up to 32s
    assert data.image.mean == [0.5, 0.5, 0.5] and data.image.std == [0.5, 0.5, 0.5]


def test_stored_features_answer_as_images_do(probe):
    data = PreparedData.load(RunDirectory.open(probe[0]))
    network = load_model(data.run, data)
    stored, _ = predict_logits(data, network, splits.TEST)
    seen, _ = predict_logits(data.as_images(), network, splits.TEST)
    assert stored.numpy() == pytest.approx(seen.numpy(), rel=0.02, abs=0.05)  # half precision
    assert torch.equal(stored.argmax(1), seen.argmax(1))


def test_trust_is_measured_by_what_had_not_seen_validation(probe):
    run = RunDirectory.open(probe[0])
    data = PreparedData.load(run)
    assert splits.VALIDATION in learned_parts(run)
    unseen = validation_logits(run)
    own, _ = predict_logits(data, load_model(run, data), splits.VALIDATION)
    assert unseen.shape == own.shape and not np.allclose(unseen, own.numpy(), atol=1e-3)
    network = json.loads((run / "retrain/network.json").read_text())
    assert network["decay"] in (float(decay) for decay in network["validation_loss"])


def test_report_and_card_name_the_weights(probe):
    for name in ("report.html", "MODEL_CARD.md", "export/MODEL_CARD.md"):
        text = (probe[0] / name).read_text()
        assert f"pretrained encoder {ENCODER}, kept as it was." in text and "licence: none, random weights" in text


NUMBERED = {
    "probe": {"space": {"name": "probe", "encoder": "timm:test_resnet@FILE"}},
    "trunk": {"space.trunk": {"encoder": "timm:test_resnet@FILE", "stage": 1}, "space.cells": 1},
    "timm": {"space": {"name": "timm", "encoder": "test_resnet", "weights": "FILE"}},
    "teacher": {"training.distillation": {"teacher": "timm:test_resnet@FILE"}},
}


@pytest.mark.parametrize("use", NUMBERED)
def test_weights_taken_by_position_are_told_and_bad_ones_refused_before_images_are_read(use, tmp_path, capsys):
    write_table(tmp_path / "data")
    weights = timm.create_model("test_resnet", num_classes=10).state_dict()
    torch.save({f"layer{number}": value for number, value in enumerate(weights.values())}, tmp_path / "numbered.pth")
    torch.save({"something": torch.zeros(3)}, tmp_path / "other.pth")
    experiment = write_experiment(tmp_path, tmp_path / "data", cache={"folder": str(tmp_path / "cache")})

    def said(file):
        settings = [
            part for key, value in NUMBERED[use].items()
            for part in ("--set", f"{key}={json.dumps(value).replace('FILE', str(tmp_path / file))}")
        ]  # fmt: skip
        code, text = in_process(capsys, "prepare", experiment, "--output", tmp_path / f"run-{file}", *settings)
        return code, " ".join(text.split())

    code, text = said("other.pth")
    assert code == 2 and "other.pth: holds the weights of another network" in text
    assert not (tmp_path / "cache").exists() and not (tmp_path / "run-other.pth/splits.csv").exists()
    code, text = said("numbered.pth")
    assert code == 0 and text.count("arrays were taken by their position, where all shapes agree") == 1, text


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_embeddings_come_with_predictions(probe, tmp_path, suffix):
    run, root = probe
    model = Model.load(run)
    outcome = predict(model, Request(root / "metadata.csv", tmp_path / f"out{suffix}", embeddings=True, logits=True))
    assert outcome.rows == 72 and outcome.failed == 0
    answers = pd.read_csv(tmp_path / "out.csv") if suffix == ".csv" else pd.read_parquet(tmp_path / "out.parquet")
    columns = [name for name in answers if name.startswith("embedding")]
    found = answers[columns].to_numpy() if suffix == ".csv" else np.stack(answers["embedding"])
    data = PreparedData.load(RunDirectory.open(run)).as_images()
    network = load_model(data.run, data)
    transform = data.image_transform(data.run.experiment.training.augmentation).eval()
    batch = data.dataset([splits.TEST]).__getitems__([0, 1])
    rows = answers.set_index("image").index.get_indexer(
        data.table.loc[(data.part == splits.TEST).to_numpy(), "_image"].iloc[:2]
    )
    with torch.no_grad():
        expected = network.image_encoder(transform(batch["image"])).numpy()
    assert found[rows] == pytest.approx(expected, rel=1e-3, abs=1e-3)
    plain, _ = model.predict_rows(pd.read_csv(root / "metadata.csv"), root, "image")
    logits = answers[[name for name in answers if name.startswith("logit_")]].to_numpy()
    assert logits == pytest.approx(plain, abs=1e-3)


def test_embeddings_of_the_runtime_are_not_a_number_where_an_image_is_missing(probe):
    run, root = probe
    found = Model.load(run).predict_files(root, ["images/0.png", "images/none.png"], embeddings=True)
    assert np.isfinite(found["embedding"][0]).all() and np.isnan(found["embedding"][1]).all()
    assert found["error"][1] == "the file is missing"


def test_a_second_run_computes_no_features(probe, tmp_path, monkeypatch):
    from bioautoml_nni.features import store

    def computed(*arguments):
        raise AssertionError("features were computed again")

    monkeypatch.setattr(store.FeatureStore, "_compute", computed)
    done = here(
        "run", probe[1].parent / "experiment.yml", "--output", tmp_path / "again", "--set", "data.image_size=auto",
        "--set", "evaluation.examples=0", "--set", "space.refit=false",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert splits.VALIDATION not in learned_parts(RunDirectory.open(tmp_path / "again"))


@pytest.fixture
def taught(probe):
    """The prepared data of the probe, as a run that has a teacher."""
    data = PreparedData.load(RunDirectory.open(probe[0]))

    def with_teacher(teacher):
        from bioautoml_nni.config.load import changed

        run = RunDirectory(
            data.run.path, changed(data.run.experiment, {"training.distillation": {"teacher": str(teacher)}}, "t")
        )
        return teacher_logits(run, data, SILENT)

    return data, with_teacher


def test_an_encoder_teaches_by_a_head_that_is_made_once(taught):
    data, with_teacher = taught
    found = with_teacher(ENCODER)
    assert np.isfinite(found[data.in_training]).all() and np.isnan(found[~data.in_training]).all()
    right = (found[data.in_training].argmax(1) == data.targets[data.in_training]).mean()
    assert right > 0.8  # three colours
    kept = data.run.path / "teacher/logits.npy"
    before = kept.stat().st_mtime_ns
    assert np.array_equal(with_teacher(ENCODER), found, equal_nan=True) and kept.stat().st_mtime_ns == before
    with pytest.raises(EncoderError, match="training.distillation.teacher: timm has no model 'nothing'"):
        with_teacher("timm:nothing")


def test_a_probe_that_learned_from_validation_teaches_as_it_was_before_and_a_refit_as_it_is(taught, probe):
    data, with_teacher = taught
    run = RunDirectory.open(probe[0])
    before, _ = predict_logits(data, network_before_refit(run, data), splits.VALIDATION)
    np.testing.assert_allclose(before.numpy(), validation_logits(run), rtol=1e-3, atol=1e-3)
    with_teacher(probe[0])
    lessons = {"training.distillation": {"teacher": str(probe[0])}, "retrain.refit": True}
    student = RunDirectory(run.path, changed(run.experiment, lessons, "test"))
    require_fitting_teachers(student, data)
    said = {refit: distillation(student, data, SILENT, refit=refit).teacher.values[0] for refit in (False, True)}
    network, loss = load_model(run, data), data.loss()
    for rows, part in ((data.mask_of(part), part) for part in (*splits.TRAINING, splits.VALIDATION)):
        own = loss.prior_logits(predict_logits(data, network, part)[0])
        np.testing.assert_allclose(said[True][rows], own.numpy(), rtol=1e-4, atol=1e-4)
    assert np.isnan(said[False][data.mask_of(splits.VALIDATION)]).all()
    assert not np.allclose(said[False][data.in_training], said[True][data.in_training], atol=1e-2)


def test_a_run_that_learned_from_what_its_student_tests_with_teaches_neither_training_nor_refit(taught, probe):
    data, with_teacher = taught
    lessons = {"training.distillation": {"teacher": str(probe[0])}, "retrain.refit": True}
    student = RunDirectory(data.run.path, changed(data.run.experiment, lessons, "test"))
    refused = "was trained on .* of the specimens that this run validates and tests with"
    data.part = data.part.replace({splits.TEST: splits.VALIDATION, splits.VALIDATION: splits.TEST})
    with_teacher(probe[0])  # it has not learned from validation yet
    with pytest.raises(DataError, match=refused):
        distillation(student, data, SILENT, refit=True)
    with pytest.raises(DataError, match=refused):
        require_fitting_teachers(student, data)  # before a search takes its time
    data.part = data.part.replace({splits.VALIDATION: splits.ALPHA, splits.ALPHA: splits.VALIDATION})
    with pytest.raises(DataError, match=refused):
        with_teacher(probe[0])


def test_a_table_teaches_by_logits_or_embeddings(taught, tmp_path):
    data, with_teacher = taught
    ids = data.table["_id"].astype(str)
    logits = np.random.default_rng(0).normal(size=(len(ids), 3))
    table = pd.DataFrame({"id": ids, **dict(zip(reversed(data.classes), logits.T[::-1], strict=True))})
    table.sample(frac=1, random_state=0).to_parquet(tmp_path / "logits.parquet")
    found = with_teacher(tmp_path / "logits.parquet")
    assert found[data.in_training] == pytest.approx(logits[data.in_training], rel=1e-5)
    prefixed = table.rename(columns={name: f"logit_{name}" for name in data.classes}).assign(prediction="ant")
    prefixed.to_parquet(tmp_path / "prefixed.parquet")
    assert np.array_equal(with_teacher(tmp_path / "prefixed.parquet"), found, equal_nan=True)
    embeddings = np.eye(3)[data.targets] + 0.1 * logits
    pd.DataFrame({"id": ids, "embedding": list(embeddings)}).to_parquet(tmp_path / "embeddings.parquet")
    taught_by = with_teacher(tmp_path / "embeddings.parquet")
    assert (taught_by[data.in_training].argmax(1) == data.targets[data.in_training]).all()


def test_a_table_with_both_teaches_by_its_logits_and_its_embeddings_are_the_features(taught, tmp_path):
    data, _ = taught
    ids = data.table["_id"].astype(str)
    rng = np.random.default_rng(0)
    logits, embeddings = rng.normal(size=(len(ids), 3)), rng.normal(3, 2, (len(ids), 5)).astype(np.float32)
    both = pd.DataFrame({"id": ids, **dict(zip(data.classes, logits.T, strict=True)), "embedding": list(embeddings)})
    file = tmp_path / "both.parquet"

    def found(features):
        settings = {"training.distillation": {"teacher": str(file), "features": features}}
        own = RunDirectory(data.run.path, changed(data.run.experiment, settings, "test"))
        require_teacher(own)
        return distillation(own, data, SILENT).teacher

    for table in (both, both.rename(columns={name: f"logit_{name}" for name in data.classes}).assign(prediction="ant")):
        table.sample(frac=1, random_state=0).to_parquet(file)
        teacher = found(0.5)
        assert teacher.values[0][data.in_training] == pytest.approx(logits[data.in_training], rel=1e-5)
        kept = teacher.features.values[0]
        np.testing.assert_allclose(kept[data.in_training], embeddings[data.in_training], rtol=1e-3)
        assert np.isnan(kept[~data.in_training]).all()
    assert found(0).features is None
    both[["id", "embedding"]].to_parquet(file)
    alone = found(0.5)
    assert np.isfinite(alone.values[0][data.in_training]).all() and alone.feature_width == 5
    both.drop(columns="embedding").to_parquet(file)
    with pytest.raises(DataError, match="has no column 'embedding' of features, which training.distillation.features"):
        found(0.5)


def test_processes_compute_their_shares_of_the_features(probe, tmp_path, monkeypatch):
    run = RunDirectory.open(probe[0])
    expected = PreparedData.load(run).features.values
    run.experiment = changed(run.experiment, {"cache.folder": str(tmp_path)}, "test")
    data, shares = PreparedData.load(run), [0]
    compute = FeatureStore._compute
    monkeypatch.setattr(
        FeatureStore, "_compute", lambda *given: shares.append(shares.pop() + len(given[2])) or compute(*given)
    )
    for number in (1, 2):
        data.fill_features(Shard(number, 2))
        shares.append(0)
    distinct = len(set(data.image_store().verified(data.table[IMAGE].tolist())["digest"]))
    views = 1 + data.features.views
    assert shares == [views * -(-distinct // 2), views * (distinct // 2), 0], "nothing is left to compute"
    np.testing.assert_allclose(data.features.values, expected, rtol=2e-3, atol=2e-3)


def test_of_a_large_table_the_row_groups_and_columns_of_the_run_are_read_in_blocks(taught, tmp_path, monkeypatch):
    data, with_teacher = taught
    ids = data.table["_id"].astype(str)
    own = pd.DataFrame({"id": ids, "learned": False, **dict.fromkeys(data.classes, 0.5)})
    others = pd.concat([own.assign(id=[f"other-{part}-{row}" for row in range(len(own))]) for part in range(4)])
    table = pd.concat([others.iloc[: len(own)], own, others.iloc[len(own) :]])
    table = table.rename(columns={name: f"logit_{name}" for name in data.classes}).assign(remark="x" * 100)
    table.to_parquet(tmp_path / "large.parquet", row_group_size=len(own) // 2, index=False)
    asked, read = [], pq.ParquetFile.iter_batches
    monkeypatch.setattr(teacher_table, "BLOCK_BYTES", 8 * 4 * 5)

    def noted(file, rows, row_groups, columns, **others):
        for block in read(file, rows, row_groups=row_groups, columns=columns, **others):
            asked.append((row_groups[0], tuple(columns), len(block)))
            yield block

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", noted)
    assert with_teacher(tmp_path / "large.parquet")[data.in_training] == pytest.approx(0.5)
    logits = {(group, rows) for group, columns, rows in asked if len(columns) > 2}
    assert {group for group, _ in logits} == {2, 3} and max(rows for _, rows in logits) <= 5
    assert not any("remark" in columns for _, columns, _ in asked)
    assert {group for group, columns, _ in asked if columns == ("id", "learned")} == set(range(10))


def test_tables_that_do_not_fit_get_one_sentence(taught, tmp_path):
    data, with_teacher = taught
    ids = data.table["_id"].astype(str)
    good = pd.DataFrame({"id": ids, **dict.fromkeys(data.classes, 0.5)})
    first = ids[data.in_training].iloc[0]
    tested = ids[(data.part == splits.TEST).to_numpy()]
    ragged = [[1.0] * (number % 2 + 1) for number in range(len(ids))]
    cases = {
        "lacks 1 of .* training specimens, such as": good[good["id"] != first],
        r"has other classes than this run \(cicada, dragonfly\)": good.rename(columns={"cicada": "dragonfly"}),
        "names specimen .* twice": pd.concat([good, good.iloc[:1]]),
        "values that are not finite": good.assign(ant=np.nan),
        "logits that are no numbers": good.assign(ant="much"),
        "was trained on 1 of the specimens": good.assign(learned=ids == tested.iloc[0]),
        "must hold lists of one length": pd.DataFrame({"id": ids, "embedding": ragged}),
    }  # fmt: skip
    for message, table in cases.items():
        table.to_parquet(tmp_path / "teacher.parquet")
        with pytest.raises(DataError, match=message) as caught:
            with_teacher(tmp_path / "teacher.parquet")
        assert "teacher.parquet: training.distillation.teacher" in str(caught.value)
    (tmp_path / "broken.parquet").write_text("no table")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        with_teacher(tmp_path / "broken.parquet")
    with pytest.raises(DataError, match="there is no such file"):
        with_teacher(tmp_path / "gone.parquet")


@pytest.mark.parametrize("section", ["search", "training"])
def test_a_table_that_does_not_fit_stops_the_run_before_its_search(taught, tmp_path, section):
    data, _ = taught
    ids = data.table["_id"].astype(str)
    good = pd.DataFrame({"id": ids, "learned": False, **dict.fromkeys(data.classes, 0.5)})
    cases = {
        "lacks 1 of .* training specimens": good[good["id"] != ids[data.in_training].iloc[0]],
        "has other classes than this run": good.rename(columns={"cicada": "dragonfly"}),
        "was trained on .* of the specimens": good.assign(learned=True),
    }
    settings = {f"{section}.distillation": {"teacher": str(tmp_path / "teacher.parquet")}}
    run = RunDirectory(data.run.path, changed(data.run.experiment, settings, "test"))
    for message, table in cases.items():
        table.to_parquet(tmp_path / "teacher.parquet")
        with pytest.raises(DataError, match=message) as caught:
            require_fitting_teachers(run, data)
        assert f"teacher.parquet: {section}.distillation.teacher" in str(caught.value)
    with pytest.raises(DataError, match="was trained on"):
        search(run, SILENT)


def test_what_cannot_be_is_said_at_once(tmp_path, probe):
    experiment = probe[1].parent / "experiment.yml"
    for setting, message in {
        "space={name: multimodal}": "data.image_size: auto is the size of a pretrained encoder",
        "space.encoder=timm:resnet81": "timm has no model 'resnet81'",
        "cache.max_gb=0.00005": "cache.max_gb: the features of 72 images",
        "data.modalities=[metadata]": "space 'probe' needs images",
    }.items():
        done = here(
            "run", experiment, "--output", tmp_path / setting[:12], "--set", "data.image_size=auto", "--set", setting
        )
        assert done.returncode == 2 and message in " ".join((done.stdout + done.stderr).split()), (
            done.stdout + done.stderr
        )
