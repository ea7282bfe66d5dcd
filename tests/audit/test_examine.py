"""The line from a source's table to finished data, and the audit at its end: both only read what they are given."""

from __future__ import annotations

import copy
from types import MappingProxyType

import pandas as pd
import pytest
from conftest import write_table
from rich.console import Console

from bioautoml_nni.audit.examine import examine, finish
from bioautoml_nni.audit.judge import audit
from bioautoml_nni.config import Experiment, parse_experiment
from bioautoml_nni.data.load import load_manifest
from bioautoml_nni.data.manifest import LABEL
from bioautoml_nni.data.remark import Lost
from bioautoml_nni.utils.errors import DataError

QUIET = Console(quiet=True)


@pytest.fixture
def experiment(tmp_path) -> Experiment:
    """Data with everything that the line leaves out or decides: rare labels, a bad image, a leak, roles to infer."""
    path = write_table(tmp_path / "data")
    table = pd.read_csv(path)
    table.loc[5, "label"] = "wasp"
    table.loc[[6, 7], "label"] = "fly"
    table["genus"] = table["label"].str.upper()
    table.to_csv(path, index=False)
    (path.parent / "images/6.png").write_bytes(b"")
    data = {"source": "csv", "root": str(path.parent), "image_size": 16, "rare_labels": "drop"}
    return parse_experiment({"name": "t", "data": data})


def test_a_manifest_stays_as_it_was_given(experiment):
    manifest = load_manifest(experiment)
    before = copy.deepcopy(manifest)
    manifest.roles = MappingProxyType(dict(manifest.roles))  # writing into it would raise
    found = examine(experiment, QUIET, manifest)
    assert found.data.labels_dropped == {"wasp": 1, "fly": 1} and len(found.data.unreadable) == 1
    assert found.data.manifest.roles["site"] == "categorical" and found.data.manifest.roles["genus"] == "taxonomy"
    pd.testing.assert_frame_equal(manifest.table, before.table)
    assert dict(manifest.roles) == dict(before.roles) == {}
    assert manifest.notes == before.notes
    assert examine(experiment, QUIET, manifest).audit == found.audit


def test_the_audit_only_reads_finished_data(experiment):
    data, found = finish(experiment, load_manifest(experiment), QUIET)
    assert data.facts is not None
    before = copy.deepcopy((data.table, data.part, data.facts, data.unreadable))
    roles, remarks = dict(data.manifest.roles), data.remarks
    judged = audit(data, found, experiment.data)
    for was, now in zip(before, (data.table, data.part, data.facts, data.unreadable), strict=True):
        assert was.equals(now)
    assert data.manifest.roles == roles and data.remarks == remarks
    assert judged.remarks[: len(remarks)] == remarks and len(judged.remarks) > len(remarks)


def test_finished_data_fit_row_by_row(experiment):
    data, _ = finish(experiment, load_manifest(experiment), QUIET)
    assert data.facts is not None and data.pixels is not None
    assert data.facts["reference"].tolist() == data.table["_image"].tolist()
    assert data.part.index.equals(data.table.index) and data.table.index.tolist() == list(range(len(data.table)))
    assert set(data.table[LABEL]) == {"ant", "bee", "cicada"} and data.learned.all()


def test_what_was_left_out_before_stands_in_the_sentence_that_ends_it(experiment):
    manifest = load_manifest(experiment)
    manifest.notes.append(Lost("7 image names could mean several files, and none is taken: 'x.png'."))
    manifest.notes.append("t.csv: its fields are separated by ';'.")
    manifest.notes.append("Column 'left out' is taken as text.")  # its words do not make it a loss
    manifest.table[LABEL] = "ant"
    with pytest.raises(DataError, match=r"two classes at least are needed\. Before that: 7 image names") as caught:
        examine(experiment, QUIET, manifest)
    assert "separated" not in str(caught.value) and "taken as text" not in str(caught.value)


@pytest.mark.parametrize("mixed", [True, False])
def test_groups_that_validation_shares_with_training_are_said(tmp_path, mixed):
    """The column that divides the data leaves test alone, and cuts a group in two: choices by validation flatter."""
    rows = range(60)
    part = ["test" if row < 12 else "val" if (row < 24 or (mixed and row % 3 == 0)) else "train" for row in rows]
    table = {
        "label": list("ab") * 30,
        "w": [row * 7 % 11 for row in rows],
        "g": [row // 3 for row in rows],
        "part": part,
    }
    pd.DataFrame(table).to_csv(tmp_path / "metadata.csv", index=False)
    split = {"method": "column", "column": "part", "train": "train", "validation": "val", "test": "test", "group": "g"}
    data = {"source": "csv", "root": str(tmp_path), "image": None, "modalities": ["metadata"], "split": split}
    found = examine(parse_experiment({"name": "t", "data": data}), QUIET)
    said = [
        remark.text for remark in found.judged.remarks if "of the validation specimens are of a group" in remark.text
    ]
    assert len(said) == mixed
    if mixed:
        assert "50% of the validation" in said[0] and "data.split.validation" in said[0]
