"""Settings, plug-ins and methods by the names that they had before 0.2."""

import hashlib
import json

import pytest
import torch

from bioautoml_nni import registry
from bioautoml_nni.config.load import load_experiment, parse_experiment
from bioautoml_nni.losses._base import Loss
from bioautoml_nni.runs.directory import KEY_LENGTH, STAGES, RunDirectory
from bioautoml_nni.strategies.relaxations._base import Relaxation
from bioautoml_nni.utils.errors import ConfigError

FORMER = """\
name: old
data: {source: csv, table: table.csv, image: image, label: label, root: .}
strategy: {name: alternating_darts, most_skips: 2, least_entropy: 0.5}
search: {most_restarts: 1}
derivation: {method: shares, proposals: shares}
evaluation: {decision: natural}
"""
PRESENT = (
    FORMER.replace("most_skips", "max_skips")
    .replace("least_entropy", "min_entropy")
    .replace("most_restarts", "max_restarts")
    .replace("method: shares, proposals: shares", "method: strongest, proposals: sampled")
    .replace("natural", "training_prior")
)


def test_former_names_are_read_and_told(tmp_path):
    for name, text in {"former": FORMER, "present": PRESENT}.items():
        (tmp_path / f"{name}.yml").write_text(text)
    with pytest.warns(FutureWarning) as told:
        former = load_experiment(tmp_path / "former.yml")
    assert former == load_experiment(tmp_path / "present.yml")
    assert [str(warning.message).partition(";")[0] for warning in told] == [
        "strategy.most_skips is now called strategy.max_skips",
        "strategy.least_entropy is now called strategy.min_entropy",
        "search.most_restarts is now called search.max_restarts",
        "derivation.method: shares is now called derivation.method: strongest",
        "derivation.proposals: shares is now called derivation.proposals: sampled",
        "evaluation.decision: natural is now called evaluation.decision: training_prior",
    ]


@pytest.mark.filterwarnings("ignore::bioautoml_nni.utils.renamed.RenamedWarning")
def test_stages_that_were_done_under_former_names_stay_done(tmp_path):
    (tmp_path / "former.yml").write_text(FORMER)
    run = RunDirectory.create(tmp_path / "run", load_experiment(tmp_path / "former.yml"))
    section = {"name": "alternating_darts", "most_skips": 2, "least_entropy": 0.5}  # as version 0.1 hashed it
    digest = hashlib.sha256()
    data = {
        **run.experiment.data.model_dump(mode="json", exclude_defaults=True),
        "root": str(run.first_root),
    }
    for stage, (names, _) in STAGES.items():
        known = {
            "data": data,
            "strategy": section,
            "search": {"most_restarts": 1},
            "evaluation": {"decision": "natural"},
            "name": "old",
        }
        digest.update(json.dumps([stage, {name: known.get(name) for name in names}]).encode())
        assert run.key(stage) == digest.hexdigest()[:KEY_LENGTH], stage


def test_both_names_of_a_setting_are_refused():
    raw = {
        "name": "both",
        "data": {"source": "csv", "table": "t.csv"},
        "search": {"most_restarts": 1, "max_restarts": 2},
    }
    with pytest.raises(ConfigError, match="search.most_restarts: is the former name of search.max_restarts"):
        parse_experiment(raw)


def test_a_kind_of_plugins_is_found_by_its_former_name():
    assert registry.plugins("contenders") == registry.plugins("methods") != {}


def test_a_loss_with_the_former_method_puts_the_prior_back():
    with pytest.warns(FutureWarning, match=r"natural_logits is now called prior_logits"):

        class Former(Loss):
            def natural_logits(self, logits):
                return logits + 1

    assert Former([1, 1]).prior_logits(torch.zeros(1, 2)).tolist() == [[1.0, 1.0]]


def test_a_relaxation_with_the_former_method_derives_by_it():
    with pytest.warns(FutureWarning, match="shares is now called probabilities"):

        class Former(Relaxation):
            def shares(self, alpha):
                return alpha

    assert Former().probabilities(torch.ones(2)).tolist() == [1.0, 1.0]
