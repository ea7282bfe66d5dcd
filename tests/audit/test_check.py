"""`bioautoml check` as a user runs it, on tables with planted leaks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import tiny_experiment, write_table
from typer.testing import CliRunner

from bioautoml_nni.cli.main import app

NEON = Path(__file__).parents[3] / "shared" / "data" / "neon_pitfall"


def check(folder: Path, experiment: dict) -> tuple[int, str, dict]:
    """Run the check; return exit code, output and audit."""
    path = folder / "experiment.yml"
    path.write_text(yaml.safe_dump(experiment))
    result = CliRunner().invoke(app, ["check", str(path), "--output", str(folder / "audit.json")])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return (
        result.exit_code,
        " ".join(result.output.replace("│", " ").split()),
        json.loads((folder / "audit.json").read_text()),
    )


def plain(root: Path, **data: object) -> dict:
    return {"name": "t", "data": {"source": "csv", "root": str(root), "image_size": 16, **data}}


def column(audit: dict, name: str) -> dict:
    return next(entry for entry in audit["columns"] if entry["column"] == name)


def test_a_sound_table_is_clean(tmp_path):
    write_table(tmp_path / "data", rows=240)
    code, output, audit = check(tmp_path, plain(tmp_path / "data", columns={"event": "ignored"}))
    assert code == 0 and audit["verdict"] == "clean"
    assert "CLEAN" in output
    assert column(audit, "length_mm")["role"] == "size" and column(audit, "site")["role"] == "categorical"


def test_a_poisoned_table_is_seen_through(tmp_path):
    """A renamed taxonomy column, the species' name inside notes, and images copied across the split."""
    root = tmp_path / "data"
    write_table(root, rows=240)
    table = pd.read_csv(root / "metadata.csv")
    table["drawer"] = table["label"].map({"ant": 3, "bee": 1, "cicada": 2})
    table["notes"] = [f"seen {n}, {label if n % 5 == 0 else 'unclear'}" for n, label in enumerate(table["label"])]
    table["part"] = [("test", "val", "train", "train")[n % 4] for n in range(240)]
    for number in range(0, 40, 4):  # copies of training images under new names stand in the test split
        shutil.copy(root / f"images/{number + 3}.png", root / f"images/{number}.png")
        table.loc[number, "label"] = table.loc[number + 3, "label"]
        table.loc[number, "drawer"] = table.loc[number + 3, "drawer"]
    table.to_csv(root / "metadata.csv", index=False)
    split = {"method": "column", "column": "part", "train": ["train"], "validation": ["val"], "test": ["test"]}
    code, output, audit = check(tmp_path, plain(root, split=split))
    assert code == 1 and audit["verdict"] == "warnings"
    assert column(audit, "drawer")["verdict"] == column(audit, "notes")["verdict"] == "refuse"
    assert column(audit, "drawer")["role"] == column(audit, "notes")["role"] == "ignored"
    assert audit["images"]["exact_duplicates"]["test_images_with_a_twin_in_training"] == 10
    assert "10 test images have such a twin in training" in output


def test_a_declared_leak_is_refused_unless_the_audit_is_given_a_reason(tmp_path):
    root = tmp_path / "data"
    write_table(root, rows=240)
    table = pd.read_csv(root / "metadata.csv")
    table["genus"] = table["label"].str.upper()
    table.to_csv(root / "metadata.csv", index=False)
    experiment = plain(root, columns={"genus": "categorical", "event": "ignored"})
    code, output, audit = check(tmp_path, experiment)
    assert code == 2 and audit["verdict"] == "refused"
    assert "data.columns.genus: cannot be a feature for 'label'" in output and "audit.allow.genus" in output
    experiment["audit"] = {"allow": {"genus": "upper bound for the thesis"}}
    code, output, audit = check(tmp_path, experiment)
    assert code == 1
    assert audit["brand"] == "LEAKY-FEATURES: genus (upper bound for the thesis)"
    assert column(audit, "genus")["role"] == "categorical"
    assert "LEAKY-FEATURES" in output


def test_the_reason_must_be_one_and_the_column_must_exist(tmp_path):
    root = tmp_path / "data"
    write_table(root, rows=60)
    terse = plain(root) | {"audit": {"allow": {"site": "yes"}}}
    result = CliRunner().invoke(app, ["check", str(_write(tmp_path, terse))])
    assert "say in words why" in str(result.exception)
    experiment = plain(root) | {"audit": {"allow": {"sitte": "upper bound for the thesis"}}}
    code, output, _ = check(tmp_path, experiment)
    assert code == 2 and "audit.allow.sitte: the table has no such column (did you mean 'site'?" in output


def _write(folder: Path, experiment: dict) -> Path:
    path = folder / "experiment.yml"
    path.write_text(yaml.safe_dump(experiment))
    return path


def test_labels_and_images_that_stop_a_run_are_all_told(tmp_path):
    root = tmp_path / "data"
    write_table(root, rows=60)
    table = pd.read_csv(root / "metadata.csv")
    table.loc[0, "label"] = "wasp"
    table.to_csv(root / "metadata.csv", index=False)
    for number in range(1, 11):
        (root / f"images/{number}.png").write_bytes(b"")
    code, output, audit = check(tmp_path, plain(root))
    assert code == 2
    assert "Label 'wasp' has one specimen only" in output and "10 of 59 images (16.9%) cannot be read" in output
    assert [entry["id"] for entry in audit["unreadable"]] == [str(number) for number in range(1, 11)]


def test_the_tail_and_missing_classes_are_told(tmp_path):
    root = tmp_path / "data"
    write_table(root, rows=240)
    table = pd.read_csv(root / "metadata.csv")
    table["part"] = np.where((table.index % 5 == 0) & (table["label"] != "bee"), "test", "train")
    table = table.drop(index=table.index[(table["label"] == "cicada")][:65])
    table.to_csv(root / "metadata.csv", index=False)
    split = {"method": "column", "column": "part", "train": ["train"], "test": ["test"]}
    _, output, audit = check(tmp_path, plain(root, split=split))
    assert audit["tail"] == {"head": [], "medium": ["ant", "bee"], "tail": ["cicada"]}
    assert "1 class has no test specimen: bee." in output


def test_a_branded_run_carries_its_mark_everywhere(tmp_path, monkeypatch):
    root = tmp_path / "data"
    write_table(root)
    table = pd.read_csv(root / "metadata.csv")
    table["genus"] = table["label"].str.upper()
    table.to_csv(root / "metadata.csv", index=False)
    experiment = tiny_experiment(root, audit={"allow": {"genus": "upper bound for the thesis"}})
    experiment["data"]["columns"]["genus"] = "categorical"
    experiment["search"]["epochs"] = experiment["training"]["epochs"] = 1
    result = CliRunner().invoke(app, ["run", str(_write(tmp_path, experiment)), "--output", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    brand = "LEAKY-FEATURES: genus (upper bound for the thesis)"
    run = tmp_path / "run"
    for name in ("evaluation/metrics.json", "preprocessing.json", "retrain/network.json", "audit.json"):
        assert json.loads((run / name).read_text())["brand"] == brand, name
    assert brand in (run / "report.html").read_text()
    assert "LEAKY-FEATURES" in result.output


@pytest.mark.skipif(not NEON.is_dir(), reason="the pitfall data lies outside of the project and is absent here")
def test_the_pitfall_table_without_any_hint(tmp_path):
    experiment = plain(NEON, id="specimen_id", modalities=["metadata"])
    code, _, audit = check(tmp_path, experiment)
    assert code == 1
    refused = {entry["column"] for entry in audit["columns"] if entry["verdict"] == "refuse"}
    taxonomy = "phylum class order family subfamily genus species det_level taxon_label is_arthropod is_insect"
    assert refused == set(taxonomy.split())
    events = {entry["column"] for entry in audit["columns"] if entry["kind"] == "event"}
    assert {"event", "site", "plot", "col_date", "tmax_c", "precip_sum_mm", "dna_araneae", "dna_acari"} <= events
    passed = {entry["column"] for entry in audit["columns"] if entry["verdict"] == "pass"}
    measurements = "area_mm2 perimeter_mm width_mm height_mm feret_mm circularity aspect_ratio roundness solidity"
    assert set(measurements.split()) <= passed
    assert audit["event"]["key"] == ["event"] and audit["event"]["events"] == 23
