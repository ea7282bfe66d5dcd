"""Whatever a name looks like, it is the same text in every file and setting that holds it."""

import json

import pandas as pd
import pytest

from bioautoml_nni.config.load import apply_overrides, parse_experiment, read_experiment
from bioautoml_nni.data import splits
from bioautoml_nni.data.joining import read_by_id
from bioautoml_nni.data.manifest import LABEL
from bioautoml_nni.data.own_csv import csv_text, read_own
from bioautoml_nni.data.tables import read_names, read_table
from bioautoml_nni.evaluation.metrics import read_per_class
from bioautoml_nni.utils.yaml_files import flow

NAMES = [
    "no", "1e3", "0x10", "007", "1_000", "12:30", "2024-01-01", "NA", "None", "nan", "1.50", "+5", "-0", "1e+3", ".5",
    "True", "1.0", "12345678901234567890",
]  # fmt: skip
REASON = "needed for the comparison here"


def experiment(folder, written):
    """An experiment.yml in which the name stands wherever one can, as a person writes it: without quotes."""
    (folder / "experiment.yml").write_text(
        f"name: t\naudit:\n  allow: {{{written}: {REASON}}}\ndata:\n  source: csv\n  root: .\n  hold_out: [{written}]\n"
        f"  label: {written}\n  missing: [{written}]\n  columns: {{{written}: size}}\n"
        f"  split: {{method: column, column: {written}, group: {written}, train: [{written}], test: [other]}}\n"
    )
    return read_experiment(folder / "experiment.yml")


def held(loaded):
    data = loaded.data
    return [
        *loaded.audit.allow, *data.hold_out, data.arguments["label"], *data.arguments["missing"],
        *data.arguments["columns"], data.split.column, data.split.group, *data.split.train,
    ]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_settings_is_a_text(tmp_path, name):
    if name not in ("True",):  # which YAML has as a truth value; quotes make it a text
        assert set(held(parse_experiment(experiment(tmp_path, name)))) == {name}
    raw = experiment(tmp_path, flow(name))
    assert set(held(parse_experiment(raw))) == {name}
    again = parse_experiment(json.loads(json.dumps(parse_experiment(raw).model_dump(mode="json"))))
    assert set(held(again)) == {name}
    changed = apply_overrides(raw, [f"data.hold_out=[{flow(name)}]", f"data.split.train=[{flow(name)}]"])
    assert set(held(parse_experiment(changed))) == {name}
    single = [f"data.{key}={flow(name)}" for key in ("hold_out", "split.train", "missing")]  # a list of one
    assert set(held(parse_experiment(apply_overrides(raw, single)))) == {name}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_files_is_a_text(tmp_path, name):
    table = pd.DataFrame({"id": [name, "x"], "class": [name, "y"], "train": [1, 2], "f1": [0.5, float("nan")]})
    (tmp_path / "t.csv").write_text(csv_text(table), encoding="utf-8")
    assert read_own(tmp_path / "t.csv")["id"].tolist() == [name, "x"]
    assert read_by_id(tmp_path / "t.csv", pd.Series(["x", name]), "")["class"].tolist() == ["y", name]
    per_class = read_per_class(tmp_path / "t.csv")
    assert per_class["class"].tolist() == [name, "y"] and per_class["train"].tolist() == [1, 2]
    assert per_class["f1"].isna().tolist() == [False, True]
    assert read_table(tmp_path / "t.csv")["class"].tolist() == [name, "y"]
    (tmp_path / "names.txt").write_text(f"{name}\nx\n")
    assert read_names(tmp_path / "names.txt") == [name, "x"]
    parts = parse_experiment(experiment(tmp_path, flow(name))).data.split.model_copy(update={"group": None})
    rows = pd.DataFrame({name: [name, "other"] * 40, LABEL: ["a", "a", "b", "b"] * 20})
    assert set(splits.assign(rows, parts, 0)[rows[name] == "other"]) == {splits.TEST}
