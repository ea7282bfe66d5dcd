"""Stage `prepare`: what is fitted, and on which specimens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from conftest import tiny_experiment, write_table
from PIL import Image
from rich.console import Console

from bioautoml_nni.audit.examine import examine
from bioautoml_nni.config import parse_experiment
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages.prepare import prepare


def prepared(folder: Path, root: Path, **changes: object) -> RunDirectory:
    run = RunDirectory.create(folder, parse_experiment(tiny_experiment(root, **changes)))
    with run.stage("prepare"):
        prepare(run, Console(quiet=True))
    return run


def test_nothing_is_fitted_on_validation_or_test(tmp_path):
    """Change metadata and images of every specimen outside of training: preprocessing.json stays as it was."""
    root = tmp_path / "data"
    write_table(root)
    first = prepared(tmp_path / "first", root)
    before = (first / "preprocessing.json").read_text()
    part = pd.read_csv(first / "splits.csv")["part"]
    outside = part.isin(["validation", "test"]).to_numpy()
    assert 0 < outside.sum() < len(part)
    table = pd.read_csv(root / "metadata.csv")
    table.loc[outside, "length_mm"] = 1e6 + np.arange(outside.sum())
    table.loc[outside, "site"] = "far away"
    table.to_csv(root / "metadata.csv", index=False)
    for name in table.loc[outside, "image"]:
        Image.new("RGB", (24, 28), (255, 255, 255)).save(root / name)
    second = prepared(tmp_path / "second", root)
    assert (second / "preprocessing.json").read_text() == before
    assert pd.read_csv(second / "splits.csv")["part"].tolist() == part.tolist()


def test_without_room_for_a_cache_the_pixels_are_the_same(tmp_path):
    root = tmp_path / "data"
    write_table(root)
    pixels = []
    for name, size in (("kept", 1.0), ("decoded", 0.0)):
        cache = {"folder": str(tmp_path / f"cache-{name}"), "max_gb": size}
        data = PreparedData.load(prepared(tmp_path / name, root, cache=cache))
        assert data.pixels is not None
        pixels.append(data.pixels.batch(np.arange(len(data.table))))
    np.testing.assert_array_equal(*pixels)
    assert json.loads((tmp_path / "kept/audit.json").read_text())["images"]["checked"] == 72


def test_a_lost_cache_is_built_again(tmp_path):
    import shutil

    root = tmp_path / "data"
    write_table(root)
    cache = {"folder": str(tmp_path / "cache")}
    run = prepared(tmp_path / "run", root, cache=cache)
    before = PreparedData.load(run).pixels.batch(np.arange(5)).copy()
    shutil.rmtree(tmp_path / "cache")
    np.testing.assert_array_equal(PreparedData.load(run).pixels.batch(np.arange(5)), before)


def test_rows_that_share_an_image_survive_an_unreadable_one_and_a_rare_label(tmp_path):
    root = tmp_path / "data"
    write_table(root)
    table = pd.read_csv(root / "metadata.csv")
    table.loc[3, "image"] = table.loc[0, "image"]  # two specimens of one label on one image
    table.loc[[1, 2], "label"] = "wasp"
    table.to_csv(root / "metadata.csv", index=False)
    (root / table.loc[1, "image"]).write_bytes(b"")
    raw = tiny_experiment(root)
    raw["data"]["rare_labels"] = "drop"
    found = examine(parse_experiment(raw), Console(quiet=True))
    assert len(found.table) == len(found.facts) == 70
    assert found.facts["reference"].tolist() == found.table["_image"].tolist()
    assert found.audit.labels_dropped == {"wasp": 1}


def test_an_override_marks_nothing_where_metadata_is_not_used(tmp_path):
    root = tmp_path / "data"
    write_table(root)
    raw = tiny_experiment(root, audit={"allow": {"genus": "upper bound for the thesis"}})
    table = pd.read_csv(root / "metadata.csv")
    table["genus"] = table["label"].str.upper()
    table.to_csv(root / "metadata.csv", index=False)
    marked = examine(parse_experiment(raw), Console(quiet=True))
    raw["data"]["modalities"] = ["image"]
    plain = examine(parse_experiment(raw), Console(quiet=True))
    assert marked.audit.brand.startswith("LEAKY-FEATURES: genus") and plain.audit.brand == ""


def test_pixels_are_normalised_by_the_mean_and_deviation_of_the_training_images(tmp_path):
    root = tmp_path / "data"
    write_table(root)
    run = prepared(tmp_path / "run", root)
    image = json.loads((run / "preprocessing.json").read_text())["image"]
    data = PreparedData.load(run)
    values = data.pixels.batch(np.flatnonzero(data.part.isin(["weights_train", "alpha_train"]))).reshape(-1, 3) / 255
    assert np.ptp(values) > 0.1
    np.testing.assert_allclose(image["mean"], values.mean(0), atol=1e-5)
    np.testing.assert_allclose(image["std"], values.std(0), atol=1e-5)
