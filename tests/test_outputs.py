"""What commands print and write: on any terminal, in any place, beside whatever columns a table has."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import COMMAND, here, tiny_experiment, write_experiment, write_table

from bioautoml_nni.cli import main as command_line
from bioautoml_nni.runtime import Model
from bioautoml_nni.runtime.predict import Request, predict

LETTERS = "Käfer – φ"
"""What ASCII has no letters for."""
OURS = ("_id", "_image", "_label", "_split", "error", "rank", "prediction", "set", "index", "confidence", "warning")
"""Names that our own columns bear somewhere."""


def in_ascii(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[int, str]:
    """Run a command whose terminal knows ASCII alone; return exit code and what it showed."""
    shown = io.BytesIO()
    terminal = io.TextIOWrapper(shown, encoding="ascii", write_through=True)
    code = 0
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", terminal)
        patch.setattr(sys, "stderr", terminal)
        patch.setattr(command_line.errors, "_file", None)
        patch.setattr(sys, "argv", ["bioautoml", *map(str, arguments)])
        try:
            command_line.main()
        except SystemExit as done:
            code = int(done.code or 0)
    return code, shown.getvalue().decode("ascii")


@pytest.fixture(scope="module")
def lettered(tmp_path_factory):
    """A table whose file, labels, sites and images have letters that ASCII lacks, with its experiment."""
    folder = tmp_path_factory.mktemp("lettered") / LETTERS
    table = pd.read_csv(write_table(folder, rows=48))
    table["label"] = LETTERS + " " + table["label"]
    table["site"] = LETTERS + " " + table["site"]
    (folder / "images" / f"{LETTERS}.png").write_bytes(b"no image")
    table.loc[0, "image"] = f"images/{LETTERS}.png"
    table.to_csv(folder / "metadata.csv", index=False)
    return folder


@pytest.mark.parametrize("command", ["check", "init", "predict", "ls", "run", "doctor", "nni-config", "a mistake"])
def test_a_terminal_that_lacks_letters_gets_substitutes(exported, lettered, tmp_path, monkeypatch, command):
    model, run = exported
    experiment = write_experiment(tmp_path, lettered)
    arguments = {
        "check": ["check", experiment, "--output", tmp_path / f"{LETTERS}.json"],
        "init": ["init", lettered / "images" / "..", "--table", lettered / "metadata.csv"],
        "predict": ["predict", model, lettered / "metadata.csv", "--output", tmp_path / f"{LETTERS}.csv"],
        "ls": ["ls", "sources"],
        "run": ["run", run],
        "doctor": ["doctor", run],
        "nni-config": ["nni-config", experiment],
        "a mistake": ["check", lettered / "nothing.yml"],
    }[command]
    code, shown = in_ascii(monkeypatch, *arguments)
    assert code in (0, 1, 2) and shown.strip() and "Traceback" not in shown, shown
    if command in ("predict", "ls", "run"):
        assert code == 0, shown
    if command in ("check", "predict", "a mistake"):
        assert "K?fer" in shown, shown


def test_a_process_in_the_locale_c_prints(lettered):
    environment = {**os.environ, "LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    for arguments in (["--help"], ["check", lettered / "nothing.yml"]):
        done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, env=environment, timeout=300)
        assert done.returncode in (0, 2) and b"Traceback" not in done.stdout + done.stderr
        (done.stdout + done.stderr).decode("ascii")


@pytest.mark.parametrize("command", ["run", "compare", "check", "export", "predict", "auto"])
def test_a_place_where_nothing_can_be_written_is_found_before_the_work(exported, tmp_path, monkeypatch, command):
    model, run = exported
    data = run.parent / "data"
    experiment = write_experiment(tmp_path, data)
    (tmp_path / "file").write_text("a file, in which no folder can be")
    place = tmp_path / "file" / "below"
    arguments = {
        "run": [experiment], "compare": [experiment, "--rows", "majority", "--seeds", 1], "check": [experiment],
        "export": [run], "predict": [model, data / "metadata.csv"], "auto": [data / "metadata.csv", "--label", "label"],
    }[command]  # fmt: skip
    suffix = {"predict": ".csv", "check": ".json"}.get(command, "")
    monkeypatch.chdir(tmp_path)
    done = here(command, *arguments, "--output", f"{place}{suffix}")
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 2 and "Traceback" not in said and str(tmp_path / "file") in said, said
    assert "export: ONNX" not in said and "macro-F1" not in said


@pytest.fixture
def own_columns(tmp_path) -> Path:
    """A table with columns that are called like ours, whose texts must stay what they are."""
    path = write_table(tmp_path / "own", rows=48)
    table = pd.read_csv(path, dtype=str)
    for number, name in enumerate(OURS):
        table[name] = [f"{number}0{row}" for row in range(len(table))]
    table["label_1"], table["site (input)"] = "mine", "yours"
    table = table[[*reversed(table.columns)]]
    table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_every_column_of_a_table_survives_a_prediction(exported, own_columns, tmp_path, kind):
    given = pd.read_csv(own_columns, dtype=str)
    output = tmp_path / f"answers{kind}"
    outcome = predict(Model.load(exported[0], threads=1), Request(own_columns, output, group="error", logits=True))
    read = pd.read_csv(output, dtype=str) if kind == ".csv" else pd.read_parquet(output)
    assert len(read) == len(given) and read.columns.is_unique
    kept = {name: name if name in read and read[name].equals(given[name]) else f"{name} (input)" for name in given}
    for name, now in kept.items():
        assert read[now].tolist() == given[name].tolist(), name
    order = [list(read).index(now) for now in kept.values()]
    assert order == sorted(order)
    assert read["prediction"].notna().all() and any("(input)" in note for note in outcome.notes)
    groups = pd.read_csv(output.with_name(f"answers_by_error{kind}"), dtype=str) if kind == ".csv" else None
    assert groups is None or len(groups) == len(given)


def test_columns_that_are_called_like_ours_are_checked_as_any_other(own_columns, tmp_path):
    changed = tiny_experiment(own_columns.parent)
    changed["data"]["columns"] |= {"index": "ignored", "set": "categorical"}
    (tmp_path / "experiment.yml").write_text(yaml.safe_dump(changed))
    done = here("check", tmp_path / "experiment.yml", "--output", tmp_path / "audit.json")
    assert done.returncode in (0, 1), done.stdout + done.stderr
    read = yaml.safe_load((tmp_path / "audit.json").read_text())
    seen = {column["column"] for column in read["columns"]}
    assert {"error", "rank", "prediction", "set", "index"} <= seen and "_id (table)" in seen
