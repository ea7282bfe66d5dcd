"""The schedule of a search spans the steps that update weights, whatever data the architecture has."""

import shutil

import pytest
from rich.console import Console

from bioautoml_nni.config.load import changed
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.stages.search import search_parts


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("steps") / "run"
    shutil.copytree(finished[0], folder)
    return RunDirectory.open(folder)


@pytest.mark.parametrize("batch_size", [7, 8])
@pytest.mark.parametrize(
    ("alpha_data", "schedule"),
    [("disjoint", "odd_even"), ("shared", "odd_even"), ("shared", "per_step"), ("validation", "odd_even"),
     ("shared", "single_level")],
)  # fmt: skip
def test_the_rate_falls_over_the_steps_that_update_weights(run, alpha_data, schedule, batch_size):
    own = changed(
        run.experiment,
        {"strategy.alpha_data": alpha_data, "strategy.schedule": schedule, "search.batch_size": batch_size},
        "test",
    )
    data = PreparedData.load(run)
    parts = search_parts(RunDirectory(run.path, own), data, Console(quiet=True))
    given = parts.evaluator
    loader = parts.strategy.train_dataloader(lambda: given.train_dataloaders, lambda: given.val_dataloaders)
    steps = sum(batch.weights is not None for batch in loader)
    assert given.module.total_steps == steps * own.search.epochs
