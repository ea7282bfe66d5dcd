"""The plug-in package of CONTRIBUTING.md, installed as somebody else's: found, tested and used in a search."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import write_experiment, write_table
from PIL import Image

from bioautoml_nni.registry import KINDS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "examples/plugin"


def test_the_text_shows_the_package():
    shown = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    source = "".join(file.read_text() for file in sorted(PACKAGE.rglob("*.py")))
    classes = [code for code in shown if "class " in code]
    assert len(classes) == 3
    for code in classes:
        assert code in source
    [entry] = re.findall(r"```ini\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    assert all(line in (PACKAGE / "setup.cfg").read_text() for line in entry.splitlines())


def test_the_document_shows_the_rest_of_the_package_and_all_of_its_kinds():
    text = (ROOT / "docs/plugins.md").read_text()
    shown = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    for name in (
        "strategies",
        "schedules",
        "relaxations",
        "fusions",
        "losses",
        "sources",
        "encoders",
        "methods",
        "candidates",
    ):
        source = (PACKAGE / f"beetle_parts/{name}.py").read_text()
        assert source.partition('"""\n\n')[2] in shown, name
    assert (PACKAGE / "setup.cfg").read_text() in text
    assert {kind for kind in KINDS if f"bioautoml_nni.{kind} =" in text} == set(KINDS)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A function that runs Python with the package installed beside ours."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(PACKAGE, folder / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", folder / "site", folder / "source"], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(folder / "site"), "COLUMNS": "200"}

    def run(code: str, *arguments: object) -> subprocess.CompletedProcess:
        command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)

    return run


def test_its_parts_are_found_and_pass_their_suites(installed):
    done = installed(
        "from bioautoml_nni.registry import plugins\n"
        "from bioautoml_nni.testing import check\n"
        "assert len(plugins('operations')) == 11\n"
        "check('operations', 'asymmetric_conv')\n"
        "check('regularisers', 'equal_shares', weight=2.0)\n"
        "check('schedules', 'seldom', every=3)\n"
        "check('relaxations', 'cold')\n"
        "check('search_spaces', 'one_convolution', sizes=[3, 5, 7])\n"
        "check('fusions', 'sum')\n"
        "check('losses', 'smoothed')\n"
        "check('strategies', 'nni_gumbel')\n"
        "check('encoders', 'small_resnet', argument='random')\n"
        "assert plugins('methods')['wider'].target('48').settings(0) == {'space.channels': 48}\n"
        "print('all hold')"
    )
    assert "all hold" in done.stdout, done.stderr


def test_a_search_uses_them(installed, tmp_path):
    write_table(tmp_path / "data")
    experiment = write_experiment(tmp_path, tmp_path / "data")
    changes = ["space.operations=[asymmetric_conv, skip_connect, zero]", "strategy.regularisers=[equal_shares]"]
    changes += ["search.epochs=1", "training.epochs=1", "strategy.schedule=seldom", "strategy.relaxation=cold"]
    options = [option for change in changes for option in ("--set", change)]
    code = "from bioautoml_nni.cli.main import main; main()"
    done = installed(code, "run", experiment, "--output", tmp_path / "run", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    shares = json.loads((tmp_path / "run/search/shares.json").read_text())
    assert all("asymmetric_conv" in own for label, own in shares.items() if "_edge_" in label)
    assert any("asymmetric_conv" in json.dumps(own) for own in shares.values())


def test_a_whole_run_with_its_space_strategy_loss_and_source(installed, tmp_path):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(45):
        name, tint = [("ant", 40), ("bee", 120), ("cicada", 200)][number % 3]
        pixels = np.clip(tint + rng.normal(0, 30, (24, 24, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{name}_{number}.png")
    experiment = {
        "name": "beetles",
        "data": {"source": "file_names", "root": "images", "modalities": ["image"], "image_size": 16},
        "space": {"name": "one_convolution", "sizes": [3, 5]},
        "strategy": {"name": "nni_gumbel", "start": 1.0},
        "loss": {"name": "smoothed", "smoothing": 0.1},
        "search": {"epochs": 1, "batch_size": 8},
        "training": {"epochs": 1, "batch_size": 8, "warmup_steps": 1},
    }
    (tmp_path / "experiment.yml").write_text(yaml.safe_dump(experiment))
    code = "from bioautoml_nni.cli.main import main; main()"
    done = installed(code, "run", tmp_path / "experiment.yml", "--output", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    shares = json.loads((tmp_path / "run/search/shares.json").read_text())["size"]
    assert set(shares) == {"conv_3", "conv_5"}
    assert (tmp_path / "run/report.html").is_file()
    chosen = json.loads((tmp_path / "run/architecture.json").read_text())["choices"]["size"]["choice"]
    assert chosen == max(shares, key=shares.get)
    metrics = json.loads((tmp_path / "run/evaluation/metrics.json").read_text())
    assert metrics["classes"] == 3 and sum(metrics["split"]["sizes"].values()) == 45
