"""Folders of unfinished stages: files of other settings do not stay."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from conftest import tiny_experiment, write_table

from bioautoml_nni.config import parse_experiment
from bioautoml_nni.runs.directory import KEY_LENGTH, RunDirectory

MADE = (
    "last.ckpt",
    "best.pt",
    "history.jsonl",
    "epoch-3.pt",
    "refit/last.ckpt",
    "refit/best.pt",
    "candidate-0/best.pt",
)


def opened(folder: Path, root: Path, epochs: int) -> RunDirectory:
    return RunDirectory.create(folder, parse_experiment(tiny_experiment(root, training={"epochs": epochs})))


def test_a_network_of_other_settings_and_its_refit_are_not_continued(tmp_path):
    write_table(tmp_path / "data")
    run = opened(tmp_path / "first", tmp_path / "data", 2)
    folder = run.work_folder("retrain")
    for name in MADE:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    assert run.work_folder("retrain") == folder
    assert all((folder / name).is_file() for name in MADE)
    other = opened(tmp_path / "second", tmp_path / "data", 3)
    (folder / "key").write_text(other.key("retrain"))
    run.work_folder("retrain")
    assert sorted(path.name for path in folder.iterdir()) == ["key"]


def test_a_run_of_an_older_version_whose_parts_were_numbers_is_still_done(tmp_path):
    write_table(tmp_path / "data")
    split = {"method": "column", "column": "length_mm", "train": [1, 2], "test": ["007", 3]}
    raw = tiny_experiment(tmp_path / "data")
    raw["data"]["split"] = split
    run = RunDirectory.create(tmp_path / "run", parse_experiment(raw))
    dumped = run.experiment.model_dump(mode="json", exclude_defaults=True)
    dumped["data"]["split"] |= {"train": [1, 2], "test": ["007", 3]}
    settings = {section: dumped.get(section) for section in ("seed", "data", "audit")}
    expected = hashlib.sha256(json.dumps(["prepare", settings]).encode()).hexdigest()
    assert run.key("prepare") == expected[:KEY_LENGTH] and KEY_LENGTH >= 12
