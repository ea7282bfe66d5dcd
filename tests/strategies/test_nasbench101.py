"""NAS-Bench-101's cell: valid cells only, paths that equal their frozen networks, gradients of what was drawn."""

from itertools import combinations

import numpy as np
import pytest
import torch
from nni.nas.hub.pytorch import NasBench101

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.checkpointing import frozen_batch_norm
from bioautoml_nni.strategies.nasbench101 import MixedNasBench101, SampledNasBench101, strongest_edges
from bioautoml_nni.strategies.random_paths import RandomPaths

CELL = {"max_num_vertices": 5, "max_num_edges": 5}


def space(modules=1):
    torch.manual_seed(0)
    return NasBench101(6, 1, modules, num_labels=3, bn_eps=1e-2, **CELL)


def cells_of(supernet):
    return [module for module in supernet.modules() if isinstance(module, MixedNasBench101 | SampledNasBench101)]


def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_path_equals_its_frozen_network():
    """Widths, pruned vertices and the output's concatenation are NNI's own, which builds the frozen one."""
    supernet, kinds = RandomPaths().mutate_model(space(modules=2)), set()
    with torch.no_grad():
        for seed in range(12):
            sample = cells_of(supernet)[0].drawn(np.random.RandomState(seed))
            for cell in cells_of(supernet):
                cell.resample(memo=dict(sample))
            kinds.add(cells_of(supernet)[0].plan(sample).channels)
            frozen = supernet.freeze(sample)
            torch.testing.assert_close(supernet.eval()(images()), frozen.eval()(images()))
            torch.testing.assert_close(supernet.train()(images()), frozen.train()(images()))
    assert len(kinds) >= 4


def test_the_strongest_cell_of_a_mixed_supernet_equals_its_frozen_network():
    supernet = AlternatingDARTS().mutate_model(space(modules=2)).eval()
    for seed in range(4):
        with torch.no_grad():
            for alpha in named_architecture_parameters(supernet).values():
                alpha.copy_(torch.randn(alpha.shape, generator=torch.Generator().manual_seed(seed)))
            sample = cells_of(supernet)[0].export({})
            torch.testing.assert_close(supernet(images()), supernet.freeze(sample).eval()(images()))


@pytest.mark.parametrize("limit", [1, 2, 3, 6])
def test_the_strongest_edges_against_all_sets(limit):
    edges = [(s, t) for t in range(1, 4) for s in range(t)]
    for seed in range(20):
        odds = dict(zip(edges, np.random.default_rng(seed).normal(-0.3, 1, len(edges)), strict=True))
        joined = [
            some
            for size in range(1, limit + 1)
            for some in combinations(edges, size)
            if np.linalg.matrix_power(np.eye(4) + sum(unit(edge) for edge in some), 4)[0, 3]
        ]
        best = max(joined, key=lambda some: sum(odds[edge] for edge in some))
        assert strongest_edges(odds, 4, limit) == set(best)


def unit(edge):
    matrix = np.zeros((4, 4))
    matrix[edge] = 1
    return matrix


def test_what_is_drawn_is_valid_and_one_for_all_cells_of_a_label():
    supernet = AlternatingDARTS().mutate_model(space(modules=2)).train()
    first, second = cells_of(supernet)
    drawn = []
    for _ in range(20):
        supernet(images())
        assert first.sample is second.sample and first.constraint.check_contains(dict(first.sample)) is None
        drawn.append(str(first.sample))
    assert len(set(drawn)) > 10
    with torch.no_grad():
        for label, alpha in named_architecture_parameters(supernet).items():
            alpha.fill_(-40.0 if "input" in label else 0.0)  # hardly ever an edge: the strongest valid cell remains
    assert first.drawn()["cell/input1"] == [0] or first.constraint.check_contains(first.drawn()) is None


def test_gradients_reach_what_was_drawn_by_its_probability():
    supernet = AlternatingDARTS().mutate_model(space()).train()
    [cell] = cells_of(supernet)
    alphas, features = named_architecture_parameters(supernet), torch.randn(2, 6, 8, 8)
    torch.manual_seed(1)
    output = cell(features)
    output.sum().backward()
    count, plan = cell.constraint.num_nodes, cell.plan(cell.sample)
    chosen = count.values.index(cell.sample[count.label])
    odds = torch.softmax(alphas[count.label].detach(), -1)
    expected = output.detach().sum() * odds[chosen] * (torch.eye(len(odds))[chosen] - odds)
    torch.testing.assert_close(alphas[count.label].grad, expected)
    for target in range(1, len(plan.vertices)):
        reached = alphas[f"cell/input{plan.vertices[target]}"].grad != 0
        sources = {plan.vertices[source] for source in range(target) if plan.edges[source, target]}
        assert set(reached.nonzero().flatten().tolist()) <= sources and reached.any()


def test_architecture_steps_leave_the_shared_statistics_alone():
    supernet = AlternatingDARTS().mutate_model(space()).train()
    before = {name: value.clone() for name, value in supernet.named_buffers()}
    with frozen_batch_norm(supernet):
        for _ in range(5):
            supernet(images())
    assert all(torch.equal(value, before[name]) for name, value in supernet.named_buffers())
    for _ in range(5):
        supernet(images())
    moved = [name for name, value in supernet.named_buffers() if not torch.equal(value, before[name])]
    assert any("ops" in name and "running_mean" in name for name in moved)
