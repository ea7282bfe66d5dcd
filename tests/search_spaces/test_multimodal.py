import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nni.mutable import Sample
from nni.nas.nn.pytorch import InputChoice, LayerChoice
from nni.nas.space import model_context

from bioautoml_nni.architecture import Architecture, derive, topology_of
from bioautoml_nni.architecture.schema import SpaceRecord
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.search_spaces.cell import FixedCell, OutputProjection, _kept
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.utils.errors import ArchitectureError

METADATA = {"numeric_fields": [0, 0, 1], "categories": [4, 5], "category_fields": [2, 3], "fields": 4}
ARGUMENTS = {"num_classes": 5, "metadata": METADATA, "channels": 4, "cells": 4, "metadata_features": 6}
RECORD = SpaceRecord(name="multimodal")
LEAST = 20
"""Fewer results than this would mean that nothing was compared."""


def make_batch(rows: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randn(rows, 3, 24, 20, generator=generator),
        "numeric": torch.randn(rows, 3, generator=generator),
        "categorical": torch.randint(0, 4, (rows, 2), generator=generator),
        "mask": torch.ones(rows, 4),
    }


def random_architecture(space: MultimodalSpace, seed: int) -> Architecture:
    generator = torch.Generator().manual_seed(seed)
    shares = {}
    for label, mutable in space.simplify().items():
        weights = torch.softmax(3 * torch.randn(len(mutable.values), generator=generator), 0).tolist()
        shares[label] = dict(zip(mutable.values, weights, strict=True))
    return derive(topology_of(MultimodalSpace, space.args), shares, RECORD)


@pytest.mark.parametrize("modalities", [["image"], ["metadata"], ["image", "metadata"]])
def test_logits_for_every_set_of_modalities(modalities):
    arguments = {**ARGUMENTS, "modalities": modalities}
    assert MultimodalSpace(**arguments)(make_batch()).shape == (3, 5)
    assert topology_of(MultimodalSpace, arguments).empty == (modalities == ["metadata"])


def test_everything_open_is_an_nni_mutable():
    space = MultimodalSpace(**ARGUMENTS)
    layers = [module for module in space.modules() if type(module) is LayerChoice]
    inputs = [module for module in space.modules() if type(module) is InputChoice]
    assert len(layers) == 4 * 3 + 1 and len(inputs) == 4 * 2
    topology = topology_of(MultimodalSpace, ARGUMENTS)
    labels = {edge.label for cell in topology.cells.values() for edge in cell.edges}
    labels |= {label for cell in topology.cells.values() for label in cell.node_labels.values()}
    assert set(space.simplify()) == labels | set(topology.choices)


def test_cells_share_by_kind_or_not_at_all():
    shared, single = ({**ARGUMENTS, "cell_sharing": sharing} for sharing in ("kind", "none"))
    assert set(topology_of(MultimodalSpace, shared).cells) == {"normal", "reduction"}
    assert set(topology_of(MultimodalSpace, single).cells) == {"cell0", "cell1", "cell2", "cell3"}
    assert MultimodalSpace(**single)(make_batch()).shape == (3, 5)


def test_metadata_without_a_specification_is_refused():
    with pytest.raises(ValueError, match="no metadata specification"):
        MultimodalSpace(num_classes=3)


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000), nodes=st.integers(1, 3))
def test_fixed_network_equals_the_frozen_space(seed, nodes):
    """The compact network, the space frozen by NNI and the frozen supernet compute the same."""
    arguments = {**ARGUMENTS, "nodes": nodes}
    space = MultimodalSpace(**arguments)
    architecture = random_architecture(space, seed)
    sample: Sample = architecture.sample(topology_of(MultimodalSpace, arguments))
    supernet = AlternatingDARTS(seed=seed).mutate_model(space)
    fixed = MultimodalSpace.build(architecture, **arguments).eval()
    assert MultimodalSpace.inherit(fixed, supernet.state_dict()) == []
    frozen = supernet.freeze(sample).eval()
    batch = make_batch()
    torch.testing.assert_close(fixed(batch), frozen(batch), rtol=1e-5, atol=1e-6)
    with model_context(sample):
        fresh = MultimodalSpace(**arguments).eval()
    assert fresh(batch).shape == (3, 5)
    fresh.load_state_dict(frozen.state_dict())
    torch.testing.assert_close(fresh(batch), frozen(batch), rtol=1e-5, atol=1e-6)


@settings(max_examples=12)
@given(st.integers(0, 10_000))
def test_a_fixed_network_has_no_dead_code(seed):
    space = MultimodalSpace(**ARGUMENTS)
    network = MultimodalSpace.build(random_architecture(space, seed), **ARGUMENTS)
    network(make_batch()).square().sum().backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


def plain_node(cell: FixedCell, node: int, states: dict[int, torch.Tensor]) -> torch.Tensor:
    """What a node is, in torch's own operations."""
    total = torch.zeros(())
    for source in cell.incoming[node]:
        value = cell.edges[f"{source}_{node}"](states[source])
        if cell.drop_path and (source, node) in cell.droppable:
            value = value * _kept(value, cell.drop_path)
        total = total + value
    return total / cell.divisors[node]


def concatenated(project, states):
    return torch.nn.Sequential.forward(project, torch.cat(states, dim=1))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("drop_path", [0.0, 0.4])
def test_training_with_compiled_passes_equals_the_plain_sums(seed, drop_path, monkeypatch):
    space = MultimodalSpace(**ARGUMENTS)
    torch.manual_seed(seed)
    network = MultimodalSpace.build(random_architecture(space, seed), **{**ARGUMENTS, "dropout": 0.0}).double().train()
    batch = {name: value.double() if value.is_floating_point() else value for name, value in make_batch().items()}
    for cell in network.image_encoder.cells:
        cell.drop_path = drop_path
    found = []
    for plain in (False, True):
        if plain:
            monkeypatch.setattr(FixedCell, "_mixed", plain_node)
            monkeypatch.setattr(OutputProjection, "forward", concatenated)
        torch.manual_seed(seed)
        own = copy.deepcopy(network)
        logits = own(batch)
        logits.square().sum().backward()
        found.append([logits, *(parameter.grad for parameter in own.parameters()), *own.buffers()])
    assert len(found[0]) > LEAST
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-10)


def test_a_cell_s_projection_takes_float32_under_autocast_as_a_convolution_does():
    torch.manual_seed(0)
    project = OutputProjection(8, 6).train()
    states = [torch.randn(3, 4, 5, 6).to(memory_format=torch.channels_last).requires_grad_() for _ in range(2)]
    with torch.autocast("cpu", torch.bfloat16):
        result, expected = project(states), concatenated(project, states)
    torch.testing.assert_close(result, expected)
    result.float().square().sum().backward()
    assert all(torch.isfinite(state.grad).all() for state in states)


def test_the_fixed_network_may_be_larger_than_the_searched_one():
    space = MultimodalSpace(**ARGUMENTS)
    larger = MultimodalSpace.build(random_architecture(space, 0), **{**ARGUMENTS, "cells": 7, "channels": 6})
    assert larger(make_batch()).shape == (3, 5)
    assert len(larger.image_encoder.cells) == 7


def test_an_architecture_of_another_space_is_refused():
    architecture = random_architecture(MultimodalSpace(**ARGUMENTS, nodes=3), 0)
    with pytest.raises(ArchitectureError, match="has 3 nodes, not 2"):
        MultimodalSpace.build(architecture, **ARGUMENTS)


def test_hidden_metadata_is_the_same_as_missing_metadata():
    network = MultimodalSpace.build(
        random_architecture(MultimodalSpace(**ARGUMENTS), 0), **ARGUMENTS, metadata_dropout=1.0
    )
    encoder = network.metadata_encoder
    batch = make_batch()
    absent = {name: torch.zeros_like(batch[name]) for name in ("numeric", "categorical", "mask")}
    torch.testing.assert_close(encoder.train()(batch), encoder.eval()(absent))
    assert not torch.allclose(encoder.eval()(batch), encoder(absent))


def test_a_fixed_network_exports():
    network = MultimodalSpace.build(random_architecture(MultimodalSpace(**ARGUMENTS), 1), **ARGUMENTS).eval()
    batch = make_batch(2)
    program = torch.export.export(network, (batch,))
    torch.testing.assert_close(program.module()(batch), network(batch))
