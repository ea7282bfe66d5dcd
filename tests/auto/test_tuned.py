"""The portfolio as a search space of NNI."""

import json

import pytest
import yaml
from conftest import here, write_experiment, write_table

from bioautoml_nni.auto.tuned import drawn_settings, tuned_settings
from bioautoml_nni.config import load_experiment
from bioautoml_nni.config.load import changed
from bioautoml_nni.nni_jobs.settings import check_nni_file
from bioautoml_nni.utils.errors import ConfigError


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    experiment = write_experiment(folder, write_table(folder / "data").parent)
    done = here("nni-config", experiment, "--portfolio", "--assessor", "Medianstop")
    assert done.returncode == 0, done.stderr
    return experiment


def test_candidate_encoder_and_stage_are_axes(written):
    space = json.loads((written.parent / "search_space.json").read_text())
    assert {axis["_type"] for axis in space.values()} == {"choice"}
    assert set(space["candidate"]["_value"]) >= {"probe", "searched_on_trunk", "fine_tuned", "searched"}
    assert not {"searched_on_trunk_2", "searched_with_teacher", "metadata_boosting"} & set(space["candidate"]["_value"])
    assert "efficientnet_lite0" in space["encoder"]["_value"] and space["stage"]["_value"] == [4, 5, "4+5"]
    nni = yaml.safe_load((written.parent / "nni.yml").read_text())
    assert nni["trialCommand"] == "bioautoml trial --config experiment.yml --portfolio"
    check_nni_file(written.parent / "nni.yml")  # its axes are no settings, and are not taken for such


def test_a_point_of_the_space_is_an_experiment(written, monkeypatch):
    experiment = load_experiment(written)
    drawn = {"candidate": "searched_on_trunk", "encoder": "efficientnet_lite0", "stage": 4}
    trunk = changed(experiment, tuned_settings(experiment, drawn), "test").space.arguments["trunk"]
    assert trunk["encoder"] == "efficientnet_lite0" and trunk["stage"] == 4
    probe = changed(experiment, tuned_settings(experiment, {**drawn, "candidate": "probe"}), "test").space
    assert probe.name == "probe" and probe.arguments["encoder"] == "efficientnet_lite0"
    plain = changed(experiment, tuned_settings(experiment, {**drawn, "candidate": "searched"}), "test")
    assert plain.space == experiment.space and plain.evaluation.baselines == []
    monkeypatch.setattr("nni.get_next_parameter", lambda: drawn)
    assert drawn_settings(written, []) == tuned_settings(experiment, drawn)


def test_what_is_no_candidate_and_two_spaces_at_once_are_refused(written):
    with pytest.raises(ConfigError, match="candidate = 'luck': there is no such candidate"):
        tuned_settings(load_experiment(written), {"candidate": "luck"})
    done = here("nni-config", written, "--portfolio", "--architectures")
    assert done.returncode == 2 and "two search spaces" in done.stderr
