"""Files of a run: what is written is read back, what is older is read, what is newer or damaged is refused."""

import json

import pytest

from bioautoml_nni.artifacts.calibration import Calibration
from bioautoml_nni.artifacts.history import Epoch, read_history, write_history
from bioautoml_nni.artifacts.metrics import Metrics
from bioautoml_nni.artifacts.network import NetworkRecord
from bioautoml_nni.artifacts.outcome import SearchOutcome
from bioautoml_nni.artifacts.speed import Speed
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.utils.errors import ExportError, RunDirectoryError

OF_A_RUN = {
    "evaluation/metrics.json": Metrics, "evaluation/calibration.json": Calibration,
    "retrain/network.json": NetworkRecord, "search/outcome.json": SearchOutcome, "evaluation/speed.json": Speed,
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
     ("retrain/network.json", "best_epoch")],
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


def test_a_search_that_has_not_ended_has_the_outcome_of_one_without_incident(finished, tmp_path):
    run = RunDirectory(tmp_path, RunDirectory.open(finished[0]).experiment)
    assert run.outcome() == SearchOutcome() and run.outcome().rate_factor == 1.0 and run.history("search") == []
