"""Candidates scored by a supernet's weights: NNI's RandomOneShot and evolution, as a user runs them."""

import json
import shutil

import pytest
import torch
from conftest import forked, here, in_process, write_experiment, write_table
from nni.nas.nn.pytorch import LayerChoice
from nni.nas.oneshot.pytorch.supermodule.base import BaseSuperNetModule
from scipy import stats
from sklearn.metrics import f1_score
from torch import nn

from bioautoml_nni.architecture import Architecture
from bioautoml_nni.architecture.weights import one_hot_weights, open_choices, weight_statistics
from bioautoml_nni.artifacts.history import read_history
from bioautoml_nni.config import parse_experiment
from bioautoml_nni.derivation.deriver import Deriver
from bioautoml_nni.derivation.evolution import scored_candidates
from bioautoml_nni.derivation.inherited import InheritedScore, recalibrate_batch_norm
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.runs.networks import predict_logits
from bioautoml_nni.runs.prepared import PreparedData
from bioautoml_nni.strategies.random_paths import RandomPaths
from bioautoml_nni.training.weights import load_weights
from bioautoml_nni.utils.errors import ConfigError

EVOLUTION = {"method": "evolution", "evaluations": 12, "population": 4, "max_mflops": 0.12}


@pytest.fixture(scope="module")
def evolved(tmp_path_factory):
    """A finished run of the tiny experiment by random paths and evolution, within a budget."""
    folder = tmp_path_factory.mktemp("evolved")
    write_table(folder / "data")
    experiment = write_experiment(folder, folder / "data", strategy={"name": "random_paths"}, derivation=EVOLUTION)
    done = here("run", experiment, "--output", folder / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"


def test_the_best_candidate_within_the_budget_is_derived(evolved):
    run = RunDirectory.open(evolved)
    data, lines = PreparedData.load(run), scored_candidates(run)
    topology = data.topology()
    labels = open_choices(topology)
    assert 4 <= len(lines) <= 12 and all(line["choices"].keys() == labels.keys() for line in lines)
    best = max(lines, key=lambda line: line["score"])
    assert best["score"] >= 0
    architecture = Architecture.load(run / "architecture.json")
    deriver = Deriver(topology, architecture.space, {}, None, None)
    networks = [deriver.plain(one_hot_weights(topology, line["choices"])).decisions() for line in lines]
    assert len(set(networks)) == len(lines), "no network is tried twice"
    assert architecture.decisions() == deriver.strongest(one_hot_weights(topology, best["choices"])).decisions()
    assert architecture.sparsity.network.flops <= 0.12e6
    # nothing of it was trained, so that the weights are those of the search, which prefers nothing
    weights = [edge.operation_share for cell in architecture.cells.values() for edge in cell.edges]
    assert weights == pytest.approx([1 / len(topology.operations)] * len(weights))


def test_scores_are_those_of_the_path_through_nnis_own_supernet(evolved):
    """The path is sampled in NNI's supernet, whose batch norms see the same training data."""
    run = RunDirectory.open(evolved)
    data, weights = PreparedData.load(run), load_weights(evolved / "search/supernet.pt")
    score = InheritedScore(run, data)
    topology = data.topology()
    compared = 0
    for line in scored_candidates(run):
        if line["score"] < 0 or topology.zero in line["choices"].values():
            continue  # a removed edge changes the scale of a node, which batch norm takes out up to its epsilon
        supernet = RandomPaths().mutate_model(data.search_space())
        supernet.load_state_dict(weights)
        for module in supernet.modules():
            if isinstance(module, BaseSuperNetModule):
                choice = line["choices"].get(module.label)
                if isinstance(module, LayerChoice):
                    module._sampled = choice or module.names[0]
                else:
                    module._sampled = list(map(int, choice.split("+"))) if choice else list(range(module.n_candidates))
        recalibrate_batch_norm(supernet, score.batches())
        logits, target = predict_logits(data, supernet, "validation")
        own = f1_score(target, logits.argmax(1).numpy(), average="macro")
        assert line["score"] == pytest.approx(own, abs=1e-12)
        compared += 1
    assert compared >= 2


def test_an_interrupted_evolution_goes_on_with_what_it_has_scored(evolved, tmp_path, capsys, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(evolved, run)
    record = run / "derive/evolution.jsonl"
    lines = record.read_text().splitlines()
    record.write_text("\n".join(lines[:5]) + "\n")  # as if killed after five candidates
    scored, score = [], InheritedScore.__call__
    monkeypatch.setattr(InheritedScore, "__call__", lambda self, *each: scored.append(each) or score(self, *each))
    architecture = (run / "architecture.json").read_text()
    (run / "architecture.json").unlink()
    code, said = in_process(capsys, "derive", run)
    assert code == 0, said
    assert record.read_text().splitlines() == lines
    assert len(scored) == sum(json.loads(line)["score"] >= 0 for line in lines[5:])
    assert (run / "architecture.json").read_text() == architecture


def test_the_report_and_the_doctor_tell_of_the_candidates(evolved, capsys):
    html = (evolved / "report.html").read_text()
    count = len(scored_candidates(RunDirectory.open(evolved)))
    assert f"The {count} networks that evolution tried with the supernet's weights" in html.replace("&#39;", "'")
    _, said = in_process(capsys, "doctor", evolved)
    words = " ".join(said.split())
    assert "With the supernet's weights" in words and "never moved" not in words and "few architecture" not in words


def test_renewed_statistics_are_the_mean_over_the_batches():
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    norm(torch.randn(8, 3, 4, 4) * 5)  # other statistics before
    batches = [{"image": torch.randn(8, 3, 4, 4) + index} for index in range(3)]

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.dropout = norm, nn.Dropout(0.5)

        def forward(self, inputs):
            return self.dropout(self.norm(inputs["image"]))

    network = Network()
    recalibrate_batch_norm(network, batches)
    images = [batch["image"] for batch in batches]
    expected = torch.stack([image.mean((0, 2, 3)) for image in images]).mean(0)
    variance = torch.stack([image.transpose(0, 1).flatten(1).var(1) for image in images]).mean(0)
    torch.testing.assert_close(norm.running_mean, expected)
    torch.testing.assert_close(norm.running_var, variance)
    assert norm.momentum == 0.1 and not any(module.training for module in network.modules())


def test_a_run_without_a_supernet_and_impossible_numbers_are_refused(finished, tmp_path, capsys):
    shutil.copytree(finished[0], tmp_path / "run")
    (tmp_path / "run/search/supernet.pt").unlink()
    code, said = in_process(capsys, "derive", tmp_path / "run", "--set", "derivation.method=evolution")
    assert code == 2 and "supernet.pt" in said
    with pytest.raises(ConfigError, match="population may not exceed evaluations"):
        parse_experiment({"name": "a", "derivation": {"method": "evolution", "evaluations": 5, "population": 6}})


def test_a_differentiable_search_can_be_derived_so_too(finished, tmp_path, capsys):
    shutil.copytree(finished[0], tmp_path / "run")
    sets = ("derivation.method=evolution", "derivation.evaluations=5", "derivation.population=3")
    code, said = in_process(capsys, "derive", tmp_path / "run", *(word for each in sets for word in ("--set", each)))
    assert code == 0, said
    lines = scored_candidates(RunDirectory.open(tmp_path / "run"))
    assert lines and all(0 <= line["score"] <= 1 for line in lines)


def test_every_epoch_scores_what_its_shares_would_derive_and_the_search_does_not_notice(finished, tmp_path):
    whole = RunDirectory.open(finished[0])
    epochs = read_history(whole / "search/history.jsonl")
    assert epochs and all(0 <= epoch["derived_macro_f1"] <= 1 for epoch in epochs)
    shutil.copytree(whole.path, tmp_path / "run")
    done = forked("search", tmp_path / "run", "--set", "search.score_derived=false")
    assert done.returncode == 0, done.stdout + done.stderr
    again = read_history(tmp_path / "run/search/history.jsonl")
    assert (tmp_path / "run/search/shares.json").read_text() == (whole / "search/shares.json").read_text()
    assert again == [{key: epoch[key] for key in epoch if key != "derived_macro_f1"} for epoch in epochs]
    # the last epoch's score is that of the supernet that was kept, for the network that was derived
    data = PreparedData.load(whole)
    score = InheritedScore(whole, data)
    architecture = Architecture.load(whole / "architecture.json")
    assert score(architecture, load_weights(whole / "search/supernet.pt")) == epochs[-1]["derived_macro_f1"]


def test_the_mean_of_the_shares_is_what_a_reader_would_compute():
    weights = {
        "normal_edge_0_1": {"skip": 0.5, "zero": 0.3, "conv": 0.2},
        "normal_edge_0_2": {"skip": 0.1, "zero": 0.1, "conv": 0.8},
        "fusion": {"a": 0.9, "b": 0.1},
    }
    found = weight_statistics(weights, {"skip": frozenset({"skip"}), "zero": frozenset({"zero"})})
    edges = [list(own.values()) for label, own in weights.items() if "edge" in label]
    assert found == pytest.approx({
        "alpha_entropy": stats.entropy(edges, axis=1).mean(), "alpha_gap": (0.2 + 0.7) / 2,
        "skip_share": 0.3, "zero_share": 0.2,
    })  # fmt: skip
    assert weight_statistics({"fusion": {"a": 1.0}}, {}) == {}
