"""Files of a run: what is written is read back, what is older is read, what is newer or damaged is refused."""

import json

import pytest

from bioautoml_nni.artifacts.audit import AuditRecord
from bioautoml_nni.artifacts.baselines import Baselines
from bioautoml_nni.artifacts.calibration import Calibration
from bioautoml_nni.artifacts.exported import ExportRecord
from bioautoml_nni.artifacts.history import Epoch, read_history, write_history
from bioautoml_nni.artifacts.metrics import Metrics
from bioautoml_nni.artifacts.network import NetworkRecord
from bioautoml_nni.artifacts.outcome import SearchOutcome
from bioautoml_nni.artifacts.preprocessing import Preprocessing
from bioautoml_nni.artifacts.provenance import Provenance
from bioautoml_nni.artifacts.speed import Speed
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.utils.errors import ExportError, RunDirectoryError

OF_A_RUN = {
    "evaluation/metrics.json": Metrics, "evaluation/calibration.json": Calibration,
    "retrain/network.json": NetworkRecord, "search/outcome.json": SearchOutcome, "evaluation/speed.json": Speed,
    "audit.json": AuditRecord, "preprocessing.json": Preprocessing, "provenance.json": Provenance,
}  # fmt: skip


@pytest.mark.parametrize("name", OF_A_RUN)
def test_what_a_run_wrote_is_written_again_byte_for_byte(finished, tmp_path, name):
    OF_A_RUN[name].read(finished[0] / name).write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (finished[0] / name).read_bytes()
    assert json.loads((tmp_path / "again.json").read_text())["version"] == 1


@pytest.mark.parametrize("stage", ["search", "retrain"])
def test_a_history_is_written_again_byte_for_byte(finished, tmp_path, stage):
    epochs = RunDirectory.open(finished[0]).history(stage)
    write_history(tmp_path / "again.jsonl", epochs)
    assert (tmp_path / "again.jsonl").read_bytes() == (finished[0] / stage / "history.jsonl").read_bytes()
    assert [epoch.number for epoch in epochs] == list(range(len(epochs)))
    assert all((epoch.arch_weights is not None) == (stage == "search") for epoch in epochs)
    assert [epoch.score() for epoch in epochs] == [epoch["val_macro_f1"] for epoch in epochs]


@pytest.mark.parametrize("name", OF_A_RUN)
def test_a_file_without_a_version_is_read(finished, tmp_path, name):
    record = json.loads((finished[0] / name).read_text())
    del record["version"]
    (tmp_path / "old.json").write_text(json.dumps(record))
    assert OF_A_RUN[name].read(tmp_path / "old.json") == OF_A_RUN[name].read(finished[0] / name)


@pytest.mark.parametrize("version", [2, 0, "1", 1.0, True, None])
@pytest.mark.parametrize("name", OF_A_RUN)
def test_an_unknown_version_is_refused(finished, tmp_path, name, version):
    record = json.loads((finished[0] / name).read_text())
    (tmp_path / "new.json").write_text(json.dumps({**record, "version": version}))
    with pytest.raises(RunDirectoryError) as caught:
        OF_A_RUN[name].read(tmp_path / "new.json")
    assert str(caught.value) == (
        f"{tmp_path / 'new.json'}: has version {version!r}, this release of bioautoml-nni reads version 1; update "
        "bioautoml-nni, or give the command that wrote the file again."
    )


def test_an_unknown_version_in_an_export_is_an_error_of_the_export(tmp_path):
    (tmp_path / "calibration.json").write_text('{"version": 3, "temperature": 1.5}')
    with pytest.raises(ExportError, match="has version 3"):
        Calibration.read(tmp_path / "calibration.json", "export the run again", ExportError)


@pytest.mark.parametrize(
    ("line", "said"),
    [('{"version": 2, "epoch": 0}', "has version 2"), ('{"val_loss": 1}', "has no epoch"), ("[1]", "has no epoch")],
)
def test_a_line_of_a_history_that_cannot_be_read_is_refused(tmp_path, line, said):
    file = tmp_path / "history.jsonl"
    file.write_text('{"epoch": 0}\n' + line + "\n")
    with pytest.raises(RunDirectoryError, match=said):
        read_history(file)


def test_histories_before_versions_are_read(tmp_path):
    (tmp_path / "history.jsonl").write_text('{"epoch": 0, "val_loss": 0.5}\n')
    assert read_history(tmp_path / "history.jsonl") == [Epoch({"epoch": 0, "val_loss": 0.5})]


@pytest.mark.parametrize(
    ("name", "key"),
    [("evaluation/metrics.json", "accuracy"), ("evaluation/calibration.json", "temperature"),
     ("retrain/network.json", "best_epoch"), ("audit.json", "specimens"), ("preprocessing.json", "classes")],
)  # fmt: skip
def test_a_key_that_is_missing_is_named(finished, tmp_path, name, key):
    record = json.loads((finished[0] / name).read_text())
    del record[key]
    (tmp_path / "cut.json").write_text(json.dumps(record))
    with pytest.raises(RunDirectoryError, match=rf"cut\.json: is damaged or cut short \(.*{key}.*\); .*") as caught:
        OF_A_RUN[name].read(tmp_path / "cut.json")
    assert "\n" not in str(caught.value)


def test_files_of_first_releases_lack_what_came_later(finished, tmp_path):
    """Prediction sets, open set and importance came later; a fitted classifier has no epochs to keep."""
    record = json.loads((finished[0] / "evaluation/metrics.json").read_text())
    for key in ("version", "prediction_sets", "open_set", "metadata_importance"):
        del record[key]
    (tmp_path / "metrics.json").write_text(json.dumps(record))
    shown = Metrics.read(tmp_path / "metrics.json").shown()
    assert shown["prediction_sets"] is shown["open_set"] is shown["metadata_importance"] is None
    (tmp_path / "network.json").write_text(
        '{"space": "probe", "arguments": {}, "brand": "", "best_epoch": 0, "validation_macro_f1": 0.5}'
    )
    assert NetworkRecord.read(tmp_path / "network.json").learned_from == ["weights_train", "alpha_train"]


def test_a_key_of_a_later_release_of_the_same_version_is_kept(finished, tmp_path):
    record = json.loads((finished[0] / "evaluation/metrics.json").read_text())
    (tmp_path / "metrics.json").write_text(json.dumps({**record, "kappa": 0.25}))
    found = Metrics.read(tmp_path / "metrics.json")
    assert found.record()["kappa"] == 0.25 and found.accuracy == record["accuracy"]


OF_AN_EXPORT = {"export.json": ExportRecord, "preprocessing.json": Preprocessing, "calibration.json": Calibration}


@pytest.mark.parametrize("name", OF_AN_EXPORT)
def test_what_an_export_wrote_is_written_again_byte_for_byte(exported, tmp_path, name):
    OF_AN_EXPORT[name].read(exported[0] / name).write(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (exported[0] / name).read_bytes()


@pytest.mark.parametrize(("name", "key"), [("export.json", "format"), ("preprocessing.json", "version")])
def test_a_file_of_an_export_is_read_without_a_version_and_refused_with_an_unknown_one(exported, tmp_path, name, key):
    record, kind = json.loads((exported[0] / name).read_text()), OF_AN_EXPORT[name]
    assert record[key] == 1
    file = tmp_path / name
    file.write_text(json.dumps({other: value for other, value in record.items() if other != key}))
    assert kind.read(file) == kind.read(exported[0] / name)
    file.write_text(json.dumps({**record, key: 2}))
    with pytest.raises(ExportError) as caught:
        kind.read(file, "export the run again", ExportError)
    assert str(caught.value) == (
        f"{file}: has {key} 2, this release of bioautoml-nni reads {key} 1; update bioautoml-nni, or give the command "
        "that wrote the file again."
    )


@pytest.mark.parametrize(
    ("key", "value"), [("modalities", []), ("modalities", ["sound"]), ("parameters", None), ("sha256", [])]
)
def test_an_export_that_does_not_say_what_it_must_is_refused_by_the_key(exported, tmp_path, key, value):
    record = json.loads((exported[0] / "export.json").read_text())
    (tmp_path / "export.json").write_text(json.dumps({**record, key: value}))
    with pytest.raises(
        ExportError, match=rf"export\.json: is damaged or cut short \({key}.*\); export the run again\."
    ):
        ExportRecord.read(tmp_path / "export.json", "export the run again", ExportError)


def test_the_preprocessing_of_an_export_is_that_of_its_run_without_the_place_of_the_images(exported, finished):
    run = Preprocessing.read(finished[0] / "preprocessing.json")
    own = Preprocessing.read(exported[0] / "preprocessing.json")
    assert run.image_root is not None and "image_root" not in json.loads(
        (exported[0] / "preprocessing.json").read_text()
    )
    assert (own.classes, own.metadata, own.image.edge) == (run.classes, run.metadata, run.image.edge)
    image = run.exported([0.1, 0.2, 0.3], [0.4, 0.5, 0.6], "photo").image
    assert image.normalisation == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]) and image.column == "photo"
    assert image.revision == run.image.revision


def test_audits_of_first_checkouts_are_read(tmp_path):
    """They had the role of each column and notes, in place of what the screen says and remarks."""
    (tmp_path / "audit.json").write_text(
        json.dumps(
            {
                "specimens": 9, "labels_dropped": {"wasp": 1}, "unreadable_images": 0,
                "split_sizes": {"weights_train": 4, "alpha_train": 2, "validation": 1, "test": 2},
                "groups_that_cross_into_test": None, "class_counts": {}, "columns": {"length_mm": "size"},
                "notes": ["3 rows have no label."],
            }
        )
    )  # fmt: skip
    audit = AuditRecord.read(tmp_path / "audit.json")
    assert (audit.columns[0].column, audit.columns[0].role, audit.columns[0].verdict) == ("length_mm", "size", "pass")
    assert (audit.remarks[0].level, audit.remarks[0].text) == ("note", "3 rows have no label.")
    assert audit.images is None and audit.split_sizes["alpha_train"] == 2


def test_preprocessing_of_first_checkouts_is_read(tmp_path):
    """It had neither rules of labels nor a revision of the normalisation nor a place of the images."""
    (tmp_path / "preprocessing.json").write_text(
        '{"classes": ["ant", "bee"], "rank": "label", "modalities": ["image"], '
        '"image": {"size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}, "metadata": {}}'
    )
    found = Preprocessing.read(tmp_path / "preprocessing.json")
    assert found.image.revision == 1 and found.labels is None and found.brand == "" and found.image_root is None


def test_what_a_run_records_is_added_and_the_rest_stays(finished, tmp_path):
    run = RunDirectory(tmp_path, RunDirectory.open(finished[0]).experiment)
    assert run.provenance() == Provenance() and not run.done("prepare")
    before = json.loads((finished[0] / "provenance.json").read_text())
    (tmp_path / "provenance.json").write_text(json.dumps({**before, "of_later_releases": 5}))
    run.record(seed=99)
    after = json.loads((tmp_path / "provenance.json").read_text())
    assert after == {**before, "of_later_releases": 5, "seed": 99}


def test_baselines_hold_for_the_settings_that_they_were_made_with_as_far_as_they_say(tmp_path):
    facts = {"prepared": "k", "decision": "balanced", "wanted": ["probe"], "seed": 3, "learned_validation": False}
    line = {"name": "probe", "words": "A probe.", "test": {"macro_f1": 0.5}, "failed": False, "note": ""}
    (tmp_path / "baselines.json").write_text(json.dumps({**facts, "lines": [line]}))
    found = Baselines.read(tmp_path / "baselines.json")
    assert found.made_with(facts) and found.lines[0].test == {"macro_f1": 0.5}
    for key, other in (("prepared", "l"), ("wanted", "auto"), ("seed", 4), ("learned_validation", True)):
        assert not found.made_with({**facts, key: other})
    del facts["learned_validation"]
    (tmp_path / "baselines.json").write_text(json.dumps({**facts, "lines": [line]}))
    older = Baselines.read(tmp_path / "baselines.json")
    assert older.made_with({**facts, "learned_validation": True})
    assert not older.made_with({**facts, "seed": 4, "learned_validation": True})


def test_a_search_that_has_not_ended_has_the_outcome_of_one_without_incident(finished, tmp_path):
    run = RunDirectory(tmp_path, RunDirectory.open(finished[0]).experiment)
    assert run.outcome() == SearchOutcome() and run.outcome().rate_factor == 1.0 and run.history("search") == []
