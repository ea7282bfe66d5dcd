"""Successive halving, alone and as a way to derive."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bioautoml_nni.architecture import Architecture
from bioautoml_nni.architecture.weights import record_weights, sample_architecture, uniform_weights
from bioautoml_nni.config.load import changed
from bioautoml_nni.derivation.halving import halving
from bioautoml_nni.report.build import halving_table
from bioautoml_nni.runs.directory import RunDirectory
from bioautoml_nni.stages.derive import derive


@given(st.lists(st.floats(0, 1), min_size=1, max_size=17, unique=True), st.integers(1, 5))
def test_with_scores_that_do_not_change_the_best_wins(values, first):
    trained = []

    def score(number, epochs):
        trained.append((number, epochs))
        return values[number]

    winner, rounds = halving(len(values), first, score)
    assert winner == int(np.argmax(values))
    assert len(rounds) == int(np.ceil(np.log2(len(values)))) if len(values) > 1 else not rounds
    assert [entry["epochs"] for entry in rounds] == [first * 2**n for n in range(len(rounds))]
    assert len(trained) == len(set(trained)) <= 2 * len(values) + len(rounds)


def test_a_late_bloomer_in_the_better_half_wins():
    late = {0: (0.5, 0.6, 0.9), 1: (0.6, 0.7, 0.8), 2: (0.4, 0.9, 0.9), 3: (0.3, 1.0, 1.0)}
    winner, rounds = halving(4, 4, lambda number, epochs: late[number][{4: 0, 8: 1, 16: 2}[epochs]])
    assert winner == 1 and [sorted(entry["scores"]) for entry in rounds] == [["0", "1", "2", "3"], ["0", "1"]]


def copied(finished, tmp_path, **changes):
    run = tmp_path / "copy"
    shutil.copytree(finished[0], run)
    opened = RunDirectory.open(run)
    values = {f"derivation.{key}": value for key, value in changes.items()}
    opened.experiment = changed(opened.experiment, {"training.epochs": 3, **values}, "test")
    opened._save_experiment()
    return opened


@pytest.mark.parametrize("proposals", ["sampled", "random"])
def test_candidates_are_trained_and_the_best_is_derived(proposals, finished, tmp_path):
    method = {"method": "successive_halving", "candidates": 3, "first_epochs": 1, "proposals": proposals}
    run = copied(finished, tmp_path, **method)
    before = json.loads((finished[0] / "architecture.json").read_text())
    with run.stage("derive"):
        derive(run, Console(quiet=True))
    record = json.loads((run / "derive/halving.json").read_text())
    assert [entry["epochs"] for entry in record["rounds"]] == [1, 2]
    assert len(record["rounds"][0]["scores"]) == 3 and len(record["rounds"][1]["scores"]) == 2
    last = record["rounds"][-1]["scores"]
    assert last[str(record["winner"])] == max(last.values())
    architecture = Architecture.load(run / "architecture.json")
    chosen = record["candidates"][record["winner"]]
    assert json.loads(architecture.decisions()) == [chosen["cells"], chosen["choices"]]
    assert chosen["parameters"] == architecture.sparsity.network.parameters
    assert len({json.dumps(entry["cells"]) + json.dumps(entry["choices"]) for entry in record["candidates"]}) == 3
    if proposals == "sampled":
        strongest = json.loads(Architecture.model_validate(before).decisions())
        assert [record["candidates"][0]["cells"], record["candidates"][0]["choices"]] == strongest
        assert all(edge.operation_share < 1 for cell in architecture.cells.values() for edge in cell.edges)
    shown = halving_table(run)
    assert shown["epochs"] == [1, 2] and shown["rows"][0]["kept"] and not any(row["kept"] for row in shown["rows"][1:])
    assert [row["scores"][1] is None for row in shown["rows"]] == [False, False, True]
    histories = [run / f"derive/candidate-{number}/history.jsonl" for number in range(3)]
    stamps = [path.stat().st_mtime_ns for path in histories]
    derive(run, Console(quiet=True))  # nothing is trained twice
    assert [path.stat().st_mtime_ns for path in histories] == stamps
    assert not list((run / "derive").rglob("*.ckpt"))


def test_draws_follow_the_shares():
    from bioautoml_nni.architecture import topology_of
    from bioautoml_nni.search_spaces import MultimodalSpace

    topology = topology_of(MultimodalSpace, {"num_classes": 3, "modalities": ("image",), "cells": 2})
    weights = uniform_weights(topology)
    label = "reduction_edge_0_1"
    weights[label] = dict.fromkeys(topology.operations, 0.0) | {"conv_1x1": 0.75, "zero": 0.25}
    rng = np.random.default_rng(0)
    drawn = [sample_architecture(topology, weights, rng) for _ in range(2000)]
    assert np.mean([entry[label]["conv_1x1"] for entry in drawn]) == pytest.approx(0.75, abs=0.03)
    others = [max(entry["reduction_edge_0_2"], key=entry["reduction_edge_0_2"].get) for entry in drawn]
    assert min(others.count(name) for name in topology.operations) > 140


def test_shares_of_the_search_replace_certain_ones():
    from bioautoml_nni.architecture import derive as derive_architecture
    from bioautoml_nni.architecture import topology_of
    from bioautoml_nni.architecture.schema import SpaceRecord
    from bioautoml_nni.search_spaces import MultimodalSpace

    topology = topology_of(MultimodalSpace, {"num_classes": 3, "modalities": ("image",), "cells": 2})
    weights = uniform_weights(topology)
    certain = sample_architecture(topology, weights, np.random.default_rng(4))
    drawn = derive_architecture(topology, certain, SpaceRecord(name="multimodal"))
    told = record_weights(drawn, topology, weights)
    assert told.decisions() == drawn.decisions()
    for edge in told.cells["reduction"].edges:
        assert edge.operation_share == edge.zero_share == pytest.approx(0.1)
        assert edge.input_share == pytest.approx(1 / edge.target)
