import json

import pytest
import yaml
from conftest import tiny_experiment
from nni.experiment.config import ExperimentConfig

from bioautoml_nni.config.load import load_experiment_with, parse_experiment
from bioautoml_nni.nni_jobs.template import (
    ASSESSORS,
    BROKEN,
    TUNERS,
    architecture_search_space,
    default_search_space,
    nni_files,
    write_nni_files,
)
from bioautoml_nni.registry import plugins
from bioautoml_nni.utils.errors import ConfigError


@pytest.fixture
def config(table_root, tmp_path):
    path = tmp_path / "experiment.yml"
    path.write_text(yaml.safe_dump(tiny_experiment(table_root)))
    return path


@pytest.mark.parametrize("tuner", TUNERS)
@pytest.mark.parametrize("assessor", [None, *ASSESSORS])
def test_nni_itself_accepts_the_files(config, tuner, assessor):
    experiment = load_experiment_with(config, {})
    written = write_nni_files(experiment, config, tuner=tuner, assessor=assessor, trials=3, concurrency=2)
    loaded = ExperimentConfig.load(written[0])
    loaded.validate()
    assert loaded.trial_command == "bioautoml trial --config experiment.yml"
    assert loaded.max_trial_number == 3 and loaded.trial_concurrency == 2
    assert str(config.parent) not in written[0].read_text() + written[1].read_text()


def test_every_setting_of_the_search_space_is_one_of_the_experiment(config):
    experiment = load_experiment_with(config, {})
    for key, domain in default_search_space(experiment).items():
        for value in domain["_value"]:
            changed = load_experiment_with(config, {key: value})
            section, name = key.split(".")
            found = getattr(changed, section)
            assert (getattr(found, name, None) or getattr(found, "arguments", {}).get(name, 0)) == value


def test_a_logarithmic_range_surrounds_the_present_value(config):
    experiment = load_experiment_with(config, {"training.learning_rate": 0.02})
    assert default_search_space(experiment)["training.learning_rate"]["_value"] == [0.004, 0.1]


@pytest.mark.parametrize("name", [*BROKEN, "Nonsense"])
def test_tuners_that_do_not_work_are_refused_with_the_reason(config, name):
    with pytest.raises(ConfigError, match=f"--tuner {name}.*choose TPE"):
        nni_files(load_experiment_with(config, {}), "experiment.yml", tuner=name)


def test_all_mistakes_of_a_request_are_said_at_once(config):
    with pytest.raises(ConfigError) as caught:
        nni_files(load_experiment_with(config, {}), "e.yml", tuner="GP", assessor="X", trials=0)
    assert len(caught.value.problems) == 3


def test_settings_of_a_tuner_reach_the_experiment_as_they_are(config):
    changed = load_experiment_with(config, {"training.learning_rate": 1e-05, "loss.tau": 0})
    assert changed.training.learning_rate == 1e-05
    assert changed.loss.name == "logit_adjusted" and changed.loss.arguments == {"tau": 0}


def test_an_unknown_setting_is_named(config):
    with pytest.raises(ConfigError, match="training.learning_rat: there is no such key .did you mean 'learning_rate'"):
        load_experiment_with(config, {"training.learning_rat": 1})
    with pytest.raises(ConfigError, match="name is not a section"):
        load_experiment_with(config, {"name.x": 1})


def test_a_section_with_arguments_alone_means_the_default_plugin(table_root):
    experiment = parse_experiment(tiny_experiment(table_root, loss={"tau": 0.5}))
    assert experiment.loss.name == "logit_adjusted"
    assert json.loads(experiment.model_dump_json())["loss"] == {"name": "logit_adjusted", "tau": 0.5}


def test_an_architecture_is_one_choice_for_everything_that_the_space_leaves_open(config):
    experiment = load_experiment_with(config, {"space.nodes": 3, "space.cells": 4})
    space = architecture_search_space(experiment)
    assert len(space["derivation.choices.normal_edge_0_1"]["_value"]) == 10
    assert space["derivation.choices.reduction_node_3"]["_value"] == ["0+1", "0+2", "1+2"]
    assert set(space["derivation.choices.fusion"]["_value"]) == set(plugins("fusions"))
    assert len(space) == 2 * (6 + 1) + 1
    first = {key: domain["_value"][0] for key, domain in space.items()}
    given = load_experiment_with(config, first, ["derivation.method=given", "space.cells=4"])
    assert given.derivation.choices["fusion"] == space["derivation.choices.fusion"]["_value"][0]
    assert not given.derivation.searched
    with pytest.raises(ConfigError, match="belong together"):
        load_experiment_with(config, first)
    images_only = load_experiment_with(config, {"data.modalities": ["image"]})
    assert "derivation.choices.fusion" not in architecture_search_space(images_only)


def test_files_for_architectures_judge_from_the_first_epoch_and_refuse_a_space_without_choices(config):
    experiment = load_experiment_with(config, {})
    texts = nni_files(experiment, "experiment.yml", assessor="Medianstop", architectures=True)
    written = yaml.safe_load(texts["nni.yml"])
    assert written["trialCommand"] == "bioautoml trial --config experiment.yml --set derivation.method=given"
    assert written["assessor"]["classArgs"]["start_step"] == 1
    assert json.loads(texts["search_space.json"]) == architecture_search_space(experiment)
    alone = load_experiment_with(config, {"data.modalities": ["metadata"]})
    with pytest.raises(ConfigError, match="leaves nothing open"):
        nni_files(alone, "experiment.yml", architectures=True)
