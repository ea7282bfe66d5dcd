"""Stage `evaluate` on a run that is finished: what it reads, and how often."""

from __future__ import annotations

import json
import shutil

import numpy as np
from rich.console import Console

from bioautoml_nni.data import image_store
from bioautoml_nni.data.image_store import ImageStore
from bioautoml_nni.data.verified import Verified
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages.evaluate import altered_metadata, evaluate


def test_evaluate_looks_at_the_images_once_and_scores_as_before(finished, tmp_path, monkeypatch):
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run/evaluation/metrics.json").unlink()
    looks = []
    check = ImageStore._sound
    monkeypatch.setattr(ImageStore, "_sound", lambda *arguments: looks.append(1) or check(*arguments))
    monkeypatch.setattr(image_store, "_verified", Verified())  # as in a process that begins with evaluate
    run = RunDirectory.open(tmp_path / "run")
    evaluate(run, Console(quiet=True))
    assert len(looks) == 1
    found, before = (json.loads((path / "evaluation/metrics.json").read_text()) for path in (run.path, finished[0]))
    assert set(found["ablations"]) == {"metadata_hidden", "metadata_permuted"}
    assert found["ablations"] == before["ablations"] and found["macro"] == before["macro"]
    evaluate(run, Console(quiet=True))
    assert len(looks) == 1, "nor does a later stage of the process"


def test_altered_metadata_share_the_pixels(finished):
    data = PreparedData.load(RunDirectory.open(finished[0]))
    altered = altered_metadata(data)
    assert all(other.pixels is data.pixels is not None for other in altered.values())
    assert not altered["metadata_hidden"].metadata.mask.any() and data.metadata.mask.any()
    outside = (data.part != "test").to_numpy()
    np.testing.assert_array_equal(
        altered["metadata_permuted"].metadata.numeric[outside], data.metadata.numeric[outside]
    )
