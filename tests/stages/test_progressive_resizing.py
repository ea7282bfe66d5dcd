"""A search with progressive resizing, in a whole run."""

import pytest
from conftest import tiny_experiment
from rich.console import Console

from bioautoml_nni.config import parse_experiment
from bioautoml_nni.config.load import changed
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.stages import estimate as estimating
from bioautoml_nni.stages.derive import derive
from bioautoml_nni.stages.run import run_stages
from bioautoml_nni.training.augment import ImageTransform
from bioautoml_nni.utils.errors import ConfigError

SILENT = Console(quiet=True)


def experiment(root, **values):
    settings = {"data.image_size": 24, "search.epochs": 4, "search.image_sizes": [16, 24]}
    return changed(parse_experiment(tiny_experiment(root)), {**settings, **values}, "test")


def test_every_epoch_has_its_size(table_root, tmp_path, monkeypatch):
    sizes = []
    ordinary = ImageTransform.forward

    def seen(self, images):
        found = ordinary(self, images)
        sizes.append((self.training, found.shape[-1]))
        return found

    monkeypatch.setattr(ImageTransform, "forward", seen)
    run = RunDirectory.create(tmp_path / "run", experiment(table_root))
    run_stages(run, ["prepare", "search", "derive"], SILENT)
    trained = [size for training, size in sizes if training]
    assert trained == sorted(trained) and trained.count(16) == trained.count(24) > 0
    looked_at = [size for training, size in sizes if not training]
    assert set(looked_at) == {16, 24}, "validation and the score of what is derived see the same"

    sizes.clear()
    again = RunDirectory(run.path, changed(run.experiment, {"derivation.method": "perturbation"}, "test"))
    again._save_experiment()
    derive(again, SILENT)
    assert {size for _, size in sizes} == {24}


def test_the_supernet_is_asked_at_the_size_that_it_has_learned_last(table_root, tmp_path, monkeypatch):
    run = RunDirectory.create(
        tmp_path / "run",
        experiment(table_root, **{"search.image_sizes": [16], "derivation.method": "perturbation"}),
    )
    run_stages(run, ["prepare", "search"], SILENT)
    sizes = set()
    ordinary = ImageTransform.forward
    monkeypatch.setattr(
        ImageTransform, "forward", lambda self, images: (sizes.add(self.size), ordinary(self, images))[1]
    )
    derive(run, SILENT)
    assert sizes == {16}


@pytest.mark.parametrize(
    ("sizes", "words"),
    [([8], "16 at least"), ([24, 16], "may not fall"), ([16] * 9, "9 sizes for 4 epochs"), ([32], "more than data")],
)
def test_sizes_that_cannot_be_are_refused(sizes, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        experiment(tmp_path, **{"search.image_sizes": sizes})


def test_the_estimate_counts_pixels(tmp_path):
    grows, plain = (experiment(tmp_path, **{"search.image_sizes": sizes}) for sizes in ([16, 20], []))
    by_epoch = [(grows.search.image_size_at(epoch) / 20) ** 2 for epoch in range(4)]
    assert estimating._pixels(grows) == pytest.approx(sum(by_epoch) / 4)
    assert estimating._pixels(plain) == 1
    for one, tried in ((grows, [20]), (plain, [])):
        assert estimating._dry(one, tmp_path / "cache", cached=True).search.image_sizes == tried
