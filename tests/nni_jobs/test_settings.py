"""What a tuner may draw is checked before an experiment starts, by `nni-config` and at `create`."""

import json

import pytest
import yaml
from conftest import tiny_experiment

from bioautoml_nni.config.load import load_experiment_with
from bioautoml_nni.nni_jobs.settings import check_nni_file, check_settings
from bioautoml_nni.nni_jobs.template import write_nni_files
from bioautoml_nni.utils.errors import ConfigError


@pytest.fixture
def config(table_root, tmp_path):
    path = tmp_path / "experiment.yml"
    path.write_text(yaml.safe_dump(tiny_experiment(table_root)))
    return path


def choice(*values):
    return {"_type": "choice", "_value": list(values)}


def test_every_value_is_tried_and_every_wrong_one_is_named(config):
    space = {
        "space.cells": choice(2, -1, 0),
        "training.learning_rate": {"_type": "loguniform", "_value": [-0.1, 0.1]},
        "training.epochs": {"_type": "randint", "_value": [1, 5]},
        "loss.tua": choice(0.5),
        "search.batch_size": {"_type": "quniform", "_value": [1, 64, 1]},
    }
    with pytest.raises(ConfigError) as error:
        check_settings(config, space)
    text = str(error.value)
    assert "space.cells: Input should be greater than or equal to 0 (found -1)" in text
    assert "(found 0)" in text and "(found 2)" not in text
    assert "training.learning_rate: Input should be greater than 0 (found -0.1)" in text
    assert "loss.tua: 'logit_adjusted' has no such argument (did you mean 'tau'?" in text
    assert "search.batch_size: Input should be greater than or equal to 2 (found 1)" in text
    assert len(error.value.problems) == 5


def test_a_sound_search_space_passes_and_nonsense_is_named(config):
    check_settings(config, {"training.learning_rate": {"_type": "uniform", "_value": [0.001, 0.1]}})
    with pytest.raises(ConfigError, match="training.learning_rate: is not a search space of NNI's"):
        check_settings(config, {"training.learning_rate": [0.1]})


@pytest.mark.parametrize("inline", [True, False])
def test_create_looks_at_the_search_space_that_the_file_names(config, inline):
    [written, _] = write_nni_files(load_experiment_with(config, {}), config)
    check_nni_file(written)
    content = yaml.safe_load(written.read_text())
    space = {"space.cells": choice(-1)}
    if inline:
        content["searchSpace"] = space
        del content["searchSpaceFile"]
    else:
        (config.parent / "search_space.json").write_text(json.dumps(space))
    written.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"space.cells.*found -1"):
        check_nni_file(written)


def test_experiments_of_others_are_left_to_nni(config):
    file = config.parent / "nni.yml"
    for text in ("trialCommand: python train.py\nsearchSpace: {lr: 1}", "[", "searchSpace: {}", "trialCommand: '\"'"):
        file.write_text(text)
        check_nni_file(file)
    check_nni_file(config.parent / "nowhere.yml")


def test_files_that_somebody_has_changed_are_kept_unless_forced(config):
    experiment = load_experiment_with(config, {})
    written = write_nni_files(experiment, config)
    assert write_nni_files(experiment, config) == written, "the same files may be written again"
    for path in written:
        path.write_text(path.read_text() + "\n")
    before = [path.read_text() for path in written]
    with pytest.raises(ConfigError) as error:
        write_nni_files(experiment, config)
    assert [str(path) in problem for path, problem in zip(written, error.value.problems, strict=True)] == [True, True]
    assert "--force" in str(error.value) and [path.read_text() for path in written] == before
    write_nni_files(experiment, config, force=True)
    assert [path.read_text() for path in written] == [text[:-1] for text in before]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("space.cells", -1),
        ("space.channels", 0),
        ("space.nodes", 0),
        ("space.inputs_per_node", 0),
        ("space.stem_stride", 3),
        ("space.dropout", 1.0),
        ("space.field_dropout", -0.1),
        ("strategy.alpha_learning_rate", 0),
        ("strategy.alpha_weight_decay", -1),
        ("strategy.gradient_clip", -1),
        ("strategy.warmup_epochs", -1),
        ("strategy.partial_channels", 0),
        ("strategy.max_skips", -1),
        ("loss.tau", -1),
        ("strategy.relaxation", {"name": "gumbel", "start": 0}),
        ("strategy.regularisers", [{"name": "skip_dropout", "rate": 1.5}]),
        ("strategy.alpha_learning_rate", float("inf")),
    ],
)
def test_numbers_without_sense_are_refused_by_their_key(config, key, value):
    with pytest.raises(ConfigError, match=rf"{key}.*Input should be"):
        load_experiment_with(config, {key: value})
