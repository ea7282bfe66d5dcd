"""What stages read of a prepared run: joined by id, and its pixels verified once."""

from __future__ import annotations

import pandas as pd
import pytest
from conftest import tiny_experiment, write_table
from rich.console import Console

from bioautoml_nni.config import parse_experiment
from bioautoml_nni.report.examples import read_answers
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages.prepare import prepare
from bioautoml_nni.utils.errors import DataError


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    """Prepared data without images, of which a class has a number for a name."""
    path = write_table(tmp_path / "data")
    table = pd.read_csv(path)
    table.assign(label=table["label"].replace({"ant": "7", "bee": "07"})).to_csv(path, index=False)
    raw = tiny_experiment(tmp_path / "data")
    raw["data"]["modalities"] = ["metadata"]
    opened = RunDirectory.create(tmp_path / "run", parse_experiment(raw))
    with opened.stage("prepare"):
        prepare(opened, Console(quiet=True))
    return opened


def test_a_shuffled_splits_file_gives_every_specimen_its_own_part(run):
    before = PreparedData.load(run)
    written = pd.read_csv(run / "splits.csv", dtype=str)
    written.sample(frac=1, random_state=0).to_csv(run / "splits.csv", index=False)
    after = PreparedData.load(run)
    assert after.part.tolist() == before.part.tolist()
    assert dict(zip(written["id"], written["part"], strict=True)) == dict(
        zip(after.table["_id"], after.part, strict=True)
    )


def test_a_splits_file_that_lacks_a_specimen_is_refused(run):
    written = pd.read_csv(run / "splits.csv", dtype=str)
    written.drop(index=3).to_csv(run / "splits.csv", index=False)
    with pytest.raises(DataError, match=rf"splits\.csv: id '{written['id'][3]}' is missing there; restore it"):
        PreparedData.load(run)


def test_examples_are_rows_of_the_test_part_in_whatever_order_predictions_stand(run):
    data = PreparedData.load(run)
    tested = data.table[(data.part == "test").to_numpy()]
    (run / "evaluation").mkdir()
    file = run / "evaluation/predictions.csv"
    written = pd.DataFrame(
        {"id": tested["_id"], "label": tested["_label"], "predicted": "7", "confidence": [0.5] * len(tested)}
    )
    written.sample(frac=1, random_state=0).to_csv(file, index=False)
    chosen = read_answers(run, data)
    assert set(chosen["predicted"]) == {"7"} and {"7", "07"} <= set(chosen["label"])
    for entry in chosen.to_dict("records"):
        assert data.table.loc[entry["row"], ["_id", "_label"]].tolist() == [entry["id"], entry["label"]]
    pd.concat([written, written.head(1).assign(id="of another run")]).to_csv(file, index=False)
    with pytest.raises(
        DataError, match=r"predictions\.csv: id 'of another run' is there but none .* `bioautoml evaluate"
    ):
        read_answers(run, data)
