"""The benchmark with a known optimum: its table is whole, and derived architectures are found in it."""

import importlib.util
import itertools
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).parents[2] / "benchmarks/tiny_space.py"


@pytest.fixture(scope="module")
def tiny():
    specification = importlib.util.spec_from_file_location("tiny_space", FILE)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_table_has_every_architecture_once(tiny):
    lines = tiny.read_table()
    found = sorted((*(line[edge] for edge in tiny.EDGES), line["seed"]) for line in lines)
    wanted = sorted((*operations, "0") for operations in itertools.product(tiny.OPERATIONS, repeat=3))
    assert found == wanted
    assert all(0.1 < float(line["accuracy"]) < 1 for line in lines)


def test_whatever_is_derived_stands_in_the_table(tiny):
    from bioautoml_nni.architecture import derive
    from bioautoml_nni.architecture.schema import SpaceRecord
    from bioautoml_nni.architecture.weights import sample_architecture, uniform_weights

    known, topology, rng = tiny.scores(), tiny.topology(), np.random.default_rng(0)
    assert 150 < len(known) < 216, "architectures with dead parts are one network"
    for _ in range(200):
        weights = sample_architecture(topology, uniform_weights(topology), rng)
        assert tiny.key_of(derive(topology, weights, SpaceRecord(name="multimodal"))) in known


def test_parameters_of_the_table_are_those_of_the_networks(tiny):
    for line in tiny.read_table()[::40]:
        architecture = tiny.architecture_of(tuple(line[edge] for edge in tiny.EDGES))
        network = tiny.MultimodalSpace.build(
            architecture, num_classes=len(tiny.ORDERS), modalities=("image",), **tiny.SPACE
        )
        assert sum(parameter.numel() for parameter in network.parameters()) == int(line["parameters"])
