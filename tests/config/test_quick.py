"""`--quick`: few epochs whatever the experiment says."""

from __future__ import annotations

from conftest import tiny_experiment

from bioautoml_nni.config import parse_experiment
from bioautoml_nni.config.quick import quick


def test_a_long_experiment_becomes_short_and_keeps_the_rest(table_root):
    strategy = {"name": "alternating_darts", "alpha_learning_rate": 0.05, "warmup_epochs": 20}
    own = {"epochs": 80, "batch_size": 8, "image_sizes": [16, 16, 24, 32]}
    whole = tiny_experiment(table_root, strategy=strategy, search=own)
    experiment = parse_experiment({**whole, "data": {**whole["data"], "image_size": 32}})
    short = quick(experiment)
    assert (short.search.epochs, short.training.epochs, short.strategy.arguments["warmup_epochs"]) == (3, 2, 1)
    assert (
        short.search.image_sizes == [16, 24, 32] and short.data == experiment.data and short.space == experiment.space
    )


def test_a_short_one_gets_no_longer_and_a_single_epoch_no_warmup(table_root):
    strategy = {"name": "alternating_darts", "warmup_epochs": 0}
    experiment = parse_experiment(
        tiny_experiment(table_root, strategy=strategy, search={"epochs": 1}, training={"epochs": 1})
    )
    short = quick(experiment)
    assert (short.search.epochs, short.training.epochs) == (1, 1) and short.strategy.arguments["warmup_epochs"] == 0
