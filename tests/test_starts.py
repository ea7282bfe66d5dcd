"""Commands that train nothing start without torch, NNI and Lightning, which take seconds to import."""

import json
import re
import signal
import subprocess
import sys

import pandas as pd
import pytest
from conftest import write_experiment

HEAVY = ("nni", "pytorch_lightning", "timm", "torch", "torchmetrics", "torchvision")
SCRIPT = f"""
import atexit, json, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # uvicorn raises it again after its end
atexit.register(lambda: print("imported:", json.dumps([name for name in {HEAVY!r} if name in sys.modules])))
from bioautoml_nni.cli.main import main
main()
"""


def start(*arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def imported(output: str) -> list[str]:
    """The heavy packages that a process had imported when it ended."""
    return json.loads(re.search(r"^imported: (.*)$", output, re.MULTILINE)[1])


def run(*arguments: object) -> tuple[int, str]:
    process = start(*arguments)
    output, _ = process.communicate(timeout=120)
    return process.returncode, output


def test_an_import_would_be_seen():
    script = SCRIPT.replace("main()\n", "import bioautoml_nni.data.dataset\n")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert imported(done.stdout) == ["torch"]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["ls"], ["ls", "search_spaces"]])
def test_help_and_lists(arguments):
    code, output = run(*arguments)
    assert code == 0 and imported(output) == []


def test_init_with_a_table_and_check_of_what_it_wrote(table_root, tmp_path):
    code, output = run("init", tmp_path / "new", "--table", table_root / "metadata.csv")
    assert code == 0 and imported(output) == []
    code, output = run("check", tmp_path / "new" / "experiment.yml", "--output", tmp_path / "audit.json")
    assert code in (0, 1, 2) and imported(output) == []
    assert json.loads((tmp_path / "audit.json").read_text())["specimens"] == 72


def test_check_reports_mistakes_in_the_arguments_of_every_plugin_at_once(table_root, tmp_path):
    experiment = write_experiment(
        tmp_path, table_root,
        space={"name": "multimodal", "chanels": 3, "cell_sharing": "some", "operations": "zero"},
        strategy={"name": "alternating_darts", "regularisers": [{"name": "beta_decay", "weight": "much"}]},
        loss={"name": "focal", "gama": 2, "gamma": "high"},
    )  # fmt: skip
    code, output = run("check", experiment)
    text = " ".join(output.split())
    assert code == 2 and imported(output) == []
    for mistake in (
        "space.chanels: 'multimodal' has no such argument (did you mean 'channels'?",
        "space.cell_sharing: Input should be 'kind' or 'none' (found 'some').",
        "space.operations: Input should be a valid list (found 'zero').",
        "strategy.regularisers.0.weight: Input should be a valid number, unable to parse string as a number",
        "loss.gama: 'focal' has no such argument (did you mean 'gamma'?",
        "loss.gamma: Input should be a valid number, unable to parse string as a number (found 'high').",
    ):
        assert mistake in text


def test_predict(exported, tmp_path):
    folder, finished = exported
    image = next((finished.parent / "data" / "images").iterdir())
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / image.name).write_bytes(image.read_bytes())
    code, output = run("predict", folder, tmp_path / "one", "--output", tmp_path / "answers.csv")
    assert code == 0 and imported(output) == []
    (row,) = pd.read_csv(tmp_path / "answers.csv", keep_default_na=False).to_dict("records")
    assert row["image"] == image.name and row["error"] == ""
    assert row["prediction"] in set(pd.read_csv(folder / "classes.csv")["name"])


def test_serve(exported):
    process = start("serve", exported[0], "--port", "0", "--threads", "1")
    first = process.stdout.readline()
    assert "Listening on" in first
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert imported(output) == []
