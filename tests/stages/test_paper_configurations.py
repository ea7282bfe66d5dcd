"""The paper's configurations, from the shipped files, on miniatures in the releases' own layouts."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import here
from sources import archives

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = [
    "data.image_size=16", "space.channels=4", "space.cells=2", "retrain={channels: 4, cells: 2}", "search.epochs=1",
    "search.batch_size=4", "search.precision=32-true", "strategy.warmup_epochs=0", "training.epochs=1",
    "training.batch_size=4", "cache.max_gb=1",
]  # fmt: skip


def write(name, root):
    if name == "bioscan5m":
        archives.write_bioscan5m(root, rows=64)
    else:
        archives.write_insect1m(root, rows=40)


@pytest.mark.parametrize("name", ["bioscan5m", "insect1m"])
def test_the_configuration_runs_to_the_end_on_a_miniature(name, tmp_path):
    write(name, tmp_path / "data")
    changes = [f"data.root={tmp_path / 'data'}", *SMALL]
    options = [option for change in changes for option in ("--set", change)]
    done = here("run", EXAMPLES / name / "experiment.yml", "--output", tmp_path / "run", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    metrics = json.loads((tmp_path / "run/evaluation/metrics.json").read_text())
    assert metrics["rank"] == "order" and metrics["classes"] == 2
    expected = {"bioscan5m": {"country", "coord-lat", "area_fraction"}, "insect1m": {"description"}}[name]
    assert expected <= set(metrics["metadata_columns"])
    assert not {"family", "species", "dna_bin", "dna_barcode"} & set(metrics["metadata_columns"])


@pytest.mark.parametrize("name", ["bioscan5m", "insect1m"])
def test_four_gpus_search_the_same_otherwise(name):
    one, four = (yaml.safe_load((EXAMPLES / name / file).read_text()) for file in ("experiment.yml", "four_gpus.yml"))
    assert four["search"].pop("devices") == 4
    for key in ("batch_size", "learning_rate"):
        assert four["search"].pop(key) != one["search"].pop(key)
    assert one == four
