"""From a stranger's spreadsheet to a report, without a line of experiment.yml edited."""

import json
import os
import pty
import select
import subprocess
import time

import pandas as pd
import pytest
import strangers
from conftest import COMMAND, in_process

from bioautoml_nni.config import load_experiment
from bioautoml_nni.data.load import load_manifest

TINY = {
    "data.image_size": 16, "space.channels": 2, "space.cells": 1, "search.epochs": 1, "training.epochs": 1,
    "strategy.warmup_epochs": 0, "training.ema_decay": 0, "evaluation.examples": 1, "search.score_derived": "false",
}  # fmt: skip


def test_a_database_is_guessed_by_the_table_that_has_the_columns(tmp_path, capsys):
    table = strangers.pest_database(tmp_path)
    assert in_process(capsys, "init", table)[0] == 0
    manifest = load_manifest(load_experiment(tmp_path / "experiment.yml"))
    assert len(manifest.table) == 72 and manifest.rank == "plaga" and manifest.roles["hora"] == "hour"


@pytest.mark.parametrize("who", ["museum", "traps", "pests"])
def test_from_a_strangers_table_to_a_report(tmp_path, capsys, who):
    data = getattr(strangers, who)(tmp_path)
    code, said = in_process(capsys, "init", data)
    assert code == 0, said
    changes = [part for key, value in TINY.items() for part in ("--set", f"{key}={value}")]
    code, said = in_process(capsys, "run", tmp_path / "experiment.yml", "--output", tmp_path / "run", *changes)
    assert code == 0, said
    assert (tmp_path / "run/report.html").is_file()
    table = pd.read_parquet(tmp_path / "run/manifest.parquet")
    metadata = json.dumps(json.loads((tmp_path / "run/preprocessing.json").read_text())["metadata"])
    assert not pd.read_csv(tmp_path / "run/unreadable.csv").size
    if who == "museum":
        assert len(table) == 66 and table["_id"].iloc[1] == "000007"
        predicted = pd.read_csv(tmp_path / "run/evaluation/predictions.csv", dtype=str)
        assert set(predicted["id"]) <= set(table["_id"])
        assert '"excel"' in metadata and table["Flügellänge [mm]"].between(10, 40).all()
    elif who == "traps":
        assert len(table) == 88 and '"NA"' in metadata and table["latitude"].between(40, 46).all()
        part = pd.read_csv(tmp_path / "run/splits.csv")["part"].eq("test")
        assert not set(table["piège"][part]) & set(table["piège"][~part]) and "000" in set(table["piège"])
    else:
        assert len(table) == 72 and set(table["_label"]) == {"Pulgón", "Trips", "Mosca blanca"}


def write_unsure(folder):
    for n in range(12):
        strangers.draw(folder / f"{n}.png", n % 3, strangers.np.random.default_rng(n))
    rows = [[f"{n}.png", "abc"[n % 3], ["xx", "yy"][n % 2]] for n in range(12)]
    pd.DataFrame(rows, columns=["image", "species", "genus"]).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def test_init_asks_at_a_terminal_and_never_in_a_pipe(tmp_path):
    table = write_unsure(tmp_path)
    piped = subprocess.run([*COMMAND, "init", table], input="genus\n", capture_output=True, text=True, timeout=120)
    assert piped.returncode == 0 and "data.label" not in piped.stdout
    assert load_experiment(tmp_path / "experiment.yml").data.arguments["label"] == "species"
    (tmp_path / "experiment.yml").unlink()
    main, terminal = pty.openpty()
    plain = {**os.environ, "TERM": "dumb", "NO_COLOR": "1"}  # no colours between what is looked for
    process = subprocess.Popen([*COMMAND, "init", table], stdin=terminal, stdout=terminal, stderr=terminal, env=plain)
    os.close(terminal)
    said, answers, end = "", ["family", "genus"], time.monotonic() + 120
    while process.poll() is None and time.monotonic() < end:
        try:
            said += os.read(main, 4096).decode(errors="replace") if select.select([main], [], [], 0.2)[0] else ""
        except OSError:  # how Linux says that nobody holds the terminal any more
            break
        if answers and said.count("(species): ") > 2 - len(answers):
            os.write(main, f"{answers.pop(0)}\n".encode())
    os.close(main)
    assert process.wait(timeout=10) == 0, said
    assert "data.label [species/genus] (species): family" in said
    assert load_experiment(tmp_path / "experiment.yml").data.arguments["label"] == "genus"
    assert "as you said" in (tmp_path / "experiment.yml").read_text()
