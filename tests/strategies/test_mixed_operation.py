"""The fast form of the mixed operation against the plain one and NNI's own, in float64, in the layout in use."""

import copy
from functools import partial

import pytest
import torch
from nni.nas.strategy import DARTS

from bioautoml_nni.kernels import norm_relu, operators, passes
from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.registry import plugins
from bioautoml_nni.search_spaces import MultimodalSpace, cell
from bioautoml_nni.search_spaces.operations import pooling
from bioautoml_nni.search_spaces.operations._base import Operation
from bioautoml_nni.strategies import AlternatingDARTS

RELAXATIONS = list(plugins("relaxations"))
LEAST = 20
"""Fewer gradients and statistics than this would mean that nothing was compared."""
ARGUMENTS = {"modalities": ("image",), "channels": 8, "cells": 4, "dropout": 0.0}


def supernets(relaxation="softmax", quick="fast", **arguments):
    """Plain and fast supernets with equal weights and alphas that differ from each other."""
    torch.manual_seed(0)
    space = MultimodalSpace(5, **{**ARGUMENTS, **arguments}).double()
    made = []
    for form in ("plain", quick):
        strategy = AlternatingDARTS(relaxation=relaxation, mixed_operation=form)
        network = strategy.mutate_model(copy.deepcopy(space)).double().train()
        for label, parameter in named_architecture_parameters(network).items():
            generator = torch.Generator().manual_seed(sum(map(ord, label)))
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        made.append((strategy, network))
    return made


def results(strategy, network, images, labels, frozen=()):
    """Loss, all gradients by name and running statistics of one pass."""
    strategy.relaxation.start_step(0.5)
    torch.manual_seed(7)  # Gumbel noise
    for name, parameter in network.named_parameters():
        parameter.grad = None
        parameter.requires_grad_(not any(part in name for part in frozen))
    loss = torch.nn.functional.cross_entropy(network(images), labels)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}
    return loss.detach(), gradients, dict(network.named_buffers())


def compare(ours, theirs, tolerance=1e-10):
    """Assert equality and return the number of gradients and statistics that were compared."""
    torch.testing.assert_close(ours[0], theirs[0], rtol=tolerance, atol=tolerance)
    for mine, other in zip(ours[1:], theirs[1:], strict=True):
        assert set(mine) == set(other)
        for name in mine:
            torch.testing.assert_close(mine[name], other[name], rtol=tolerance, atol=tolerance, msg=name)
    return len(ours[1]) + len(ours[2])


@pytest.mark.parametrize("relaxation", RELAXATIONS)
@pytest.mark.parametrize("size", [(32, 32), (34, 20)])
@pytest.mark.parametrize("compiled", [True, False])
def test_fast_equals_plain_in_loss_gradients_and_statistics(relaxation, size, compiled, monkeypatch):
    if not compiled:  # as on a GPU
        for module in (passes, cell, norm_relu, pooling):
            monkeypatch.setattr(module, "usable", lambda features: False)
    plain, fast = supernets(relaxation)
    images = torch.randn(3, 3, *size, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2])
    assert compare(results(*fast, images, labels), results(*plain, images, labels)) > LEAST


def test_fast_equals_plain_in_a_torch_that_lacks_the_operators(monkeypatch):
    for module in (passes, cell, norm_relu, pooling):
        monkeypatch.setattr(module, "usable", lambda features: False)
    monkeypatch.setattr(operators, "known", lambda name: None)
    plain, fast = supernets()
    images, labels = torch.randn(3, 3, 16, 16, dtype=torch.float64), torch.tensor([0, 1, 2])
    assert compare(results(*fast, images, labels), results(*plain, images, labels)) > LEAST


@pytest.mark.parametrize("cell_sharing", ["kind", "none"])
def test_fast_equals_nni_over_a_trajectory_of_twelve_steps(cell_sharing):
    """Alternating updates of alphas and weights, the other group frozen on our side only; maps of 16 x 16 and more."""
    torch.manual_seed(0)
    space = MultimodalSpace(5, **{**ARGUMENTS, "cells": 3}, cell_sharing=cell_sharing).double()
    networks = [DARTS().mutate_model(copy.deepcopy(space)), AlternatingDARTS().mutate_model(copy.deepcopy(space))]
    optimizers, losses = [], [[], []]
    for network in networks:
        network.double().train()
        alphas = named_architecture_parameters(network)
        for label, parameter in alphas.items():
            generator = torch.Generator().manual_seed(sum(map(ord, label)))
            parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        known = {id(parameter) for parameter in alphas.values()}
        weights = [parameter for parameter in network.parameters() if id(parameter) not in known]
        optimizers.append(
            [
                (list(alphas.values()), torch.optim.Adam(alphas.values(), 0.01)),
                (weights, torch.optim.SGD(weights, 0.02)),
            ]
        )
    generator = torch.Generator().manual_seed(3)
    for step in range(12):
        images = torch.randn(4, 3, 64, 64, generator=generator, dtype=torch.float64)
        labels = torch.randint(0, 5, (4,), generator=generator)
        for number, network in enumerate(networks):
            if number == 1:
                for group, (parameters, _) in enumerate(optimizers[1]):
                    for parameter in parameters:
                        parameter.requires_grad_(group == step % 2)
            optimizer = optimizers[number][step % 2][1]
            network.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(images), labels)
            loss.backward()
            optimizer.step()
            losses[number].append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-10)
    theirs, ours = (named_architecture_parameters(network) for network in networks)
    for label in theirs:
        torch.testing.assert_close(ours[label], theirs[label], rtol=1e-8, atol=1e-10)


def test_checkpoints_of_both_forms_are_interchangeable():
    (_, plain), (_, fast) = supernets()
    assert list(plain.state_dict()) == list(fast.state_dict())
    fast.load_state_dict(plain.state_dict())


def test_an_operation_without_a_fast_form_takes_part_as_it_is():
    plain, fast = supernets(operations=["sep_conv_3x3", "skip_connect"])
    for _, network in (plain, fast):
        for module in network.modules():
            if hasattr(module, "names") and "sep_conv_3x3" in module.names:
                for name in ("sep_conv_3x3", "skip_connect"):
                    module[name].add_to = partial(Operation.add_to, module[name])
    images, labels = torch.randn(2, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 1])
    assert compare(results(*fast, images, labels), results(*plain, images, labels)) > LEAST


def test_other_names_of_the_form_are_refused():
    with pytest.raises(ValueError, match="fast or plain"):
        AlternatingDARTS(mixed_operation="slow")


@pytest.mark.parametrize("form", ["plain", "fast"])
def test_checkpointed_cells_give_the_same_gradients_and_statistics(form):
    torch.manual_seed(0)
    space = MultimodalSpace(5, **ARGUMENTS).double()
    images, labels = torch.randn(3, 3, 32, 32, dtype=torch.float64), torch.tensor([0, 1, 2])
    found = []
    for checkpointed in (False, True):
        strategy = AlternatingDARTS(mixed_operation=form, checkpoint_cells=checkpointed)
        network = strategy.mutate_model(copy.deepcopy(space)).double().train()
        found.append(results(strategy, network, images, labels))
    assert compare(found[1], found[0]) > LEAST


def test_checkpointed_cells_keep_less_for_the_backward_pass():
    kept = []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        network = AlternatingDARTS(checkpoint_cells=checkpointed).mutate_model(MultimodalSpace(5, **ARGUMENTS)).train()
        storages = {}

        def remember(tensor, storages=storages):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
            network(torch.randn(4, 3, 64, 64)).sum()
        kept.append(sum(storages.values()))
    assert kept[1] < 0.5 * kept[0]
