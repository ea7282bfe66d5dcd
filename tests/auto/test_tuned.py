"""The portfolio as a search space of NNI."""

import json

import pytest
import yaml
from conftest import here, write_experiment, write_table

from bioautoml_nni.auto.tuned import drawn_settings, portfolio_axes, tuned_settings
from bioautoml_nni.config import load_experiment
from bioautoml_nni.config.load import changed
from bioautoml_nni.features.encoder import load_encoder
from bioautoml_nni.nni_jobs.settings import check_nni_file
from bioautoml_nni.nni_jobs.trial import Reporter, trial_runs
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.search_spaces.candidates import FineTunedCandidate
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
    assert set(space["candidate"]["_value"]) >= {
        "probe",
        "searched_on_trunk",
        "fine_tuned",
        "searched",
        "searched_fine_tuned",
    }
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


def test_a_trial_that_is_fine_tuned_stores_maps_only_where_the_cache_has_room(written, monkeypatch):
    drawn = {"candidate": "fine_tuned", "encoder": "efficientnet_lite0", "stage": 4}
    monkeypatch.setattr("nni.get_next_parameter", lambda: drawn)
    roomy, crowded = (
        changed(load_experiment(written), drawn_settings(written, [f"cache.max_gb={size}"]), "test").space.arguments
        for size in (20, 0.01)  # the maps of 72 specimens in four views are 9 MB, of which half of the cache is too few
    )
    assert roomy["trunk"]["frozen_stages"] == 2 and "frozen_stages" not in crowded["trunk"]
    assert roomy["trunk"]["encoder"] == "efficientnet_lite0" and "stage" not in roomy["trunk"]
    every = portfolio_axes(load_experiment(written))["encoder"]["_value"]
    for encoder in every:  # has the stages that stay
        space = tuned_settings(load_experiment(written), {**drawn, "encoder": encoder})["space"]
        assert len(load_encoder(encoder, "encoder").stages(160)) > space["trunk"]["frozen_stages"]


def test_a_trial_of_the_portfolio_reports_a_fine_tuned_network(written, tmp_path, monkeypatch):
    drawn = {"candidate": "fine_tuned", "encoder": "efficientnet_lite0", "stage": 4}
    sent = []
    monkeypatch.setattr("nni.get_next_parameter", lambda: drawn)
    monkeypatch.setattr(Reporter, "_send", lambda self, kind, sequence, values: sent.append((kind, dict(values))))
    monkeypatch.setattr("bioautoml_nni.search_spaces.candidates.SIZE", 64)
    monkeypatch.setattr(FineTunedCandidate, "epochs", 1)
    monkeypatch.chdir(tmp_path)
    done = here("trial", "--config", written, "--portfolio")
    assert done.returncode == 0, done.stderr
    (run,) = trial_runs(tmp_path)
    network = RunDirectory.open(run["path"]).experiment.space.arguments["trunk"]
    assert network["frozen_stages"] == 2 and sent[-1][0] == "FINAL"
    assert sent[-1][1]["default"] == run["result"]["default"]


def test_what_is_no_candidate_and_two_spaces_at_once_are_refused(written):
    with pytest.raises(ConfigError, match="candidate = 'luck': there is no such candidate"):
        tuned_settings(load_experiment(written), {"candidate": "luck"})
    done = here("nni-config", written, "--portfolio", "--architectures")
    assert done.returncode == 2 and "two search spaces" in done.stderr
