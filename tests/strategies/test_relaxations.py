import pytest
import torch

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.registry import get, plugins
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.relaxations._base import annealed
from bioautoml_nni.strategies.supernet import MixedOperation


def relaxation(name, **arguments):
    return get("relaxations", name).target(**arguments)


@pytest.mark.parametrize("name", list(plugins("relaxations")))
def test_shares_are_a_distribution_and_weights_are_differentiable(name):
    part = relaxation(name)
    alpha = torch.tensor([0.3, -1.0, 2.0], requires_grad=True)
    assert float(part.probabilities(alpha).sum()) == pytest.approx(1, abs=1e-6)
    assert part.probabilities(alpha).argmax() == 2
    part.start_step(0.5)
    weights = part.weights("edge", alpha, training=True)
    (weights * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert weights.shape == (3,) and alpha.grad is not None and alpha.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["gumbel", "gumbel_hard"])
def test_noise_is_shared_by_a_label_within_a_step_and_new_in_the_next(name):
    part = relaxation(name)
    alpha = torch.zeros(5)
    part.start_step(0.9)
    assert torch.equal(part.weights("a", alpha, True), part.weights("a", alpha, True))
    first, other = part.gumbel("a", alpha), part.gumbel("b", alpha)
    part.start_step(0.9)
    assert not torch.equal(first, other) and not torch.equal(first, part.gumbel("a", alpha))


def test_the_sampled_candidate_follows_the_shares():
    """The Gumbel-max trick: the hard choice is distributed like softmax(alpha), whatever the temperature."""
    part = relaxation("gumbel_hard")
    alpha = torch.tensor([1.0, 0.0, -1.0])
    torch.manual_seed(0)
    counts = torch.zeros(3)
    for _ in range(4000):
        part.start_step(0.3)
        counts += part.weights("e", alpha, True).round()
    torch.testing.assert_close(counts / 4000, torch.softmax(alpha, -1), atol=0.03, rtol=0)


def test_the_temperature_falls_by_equal_factors():
    assert annealed(8, 0.5, 0) == 8 and annealed(8, 0.5, 1) == 0.5
    assert annealed(8, 0.5, 0.5) == pytest.approx(2)
    part = relaxation("gumbel", start=8, end=0.5)
    alpha = torch.tensor([1.0, 0.0])
    part.start_step(0.0)
    warm = part.weights("e", alpha, False)
    part.start_step(1.0)
    assert part.weights("e", alpha, False)[0] > warm[0] > 0.5


def supernet(name):
    torch.manual_seed(0)
    space = MultimodalSpace(num_classes=3, modalities=("image",), channels=4, cells=2, dropout=0.0)
    strategy = AlternatingDARTS(relaxation=name)
    return strategy.mutate_model(space), strategy.relaxation


def test_a_hard_relaxation_runs_one_candidate_per_edge():
    network, part = supernet("gumbel_hard")
    calls = []
    for module in network.modules():
        if isinstance(module, MixedOperation):
            for name in module.names:
                module[name].register_forward_hook(lambda *_, label=module.label: calls.append(label))
    part.start_step(0.5)
    network.train()(torch.randn(2, 3, 16, 16)).sum().backward()
    edges = [module.label for module in network.modules() if isinstance(module, MixedOperation)]
    assert sorted(calls) == sorted(edges)
    gradients = [alpha.grad for label, alpha in named_architecture_parameters(network).items() if "_edge_" in label]
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


@pytest.mark.parametrize("name", list(plugins("relaxations")))
def test_exported_shares_are_those_of_the_relaxation(name):
    network, part = supernet(name)
    alpha = named_architecture_parameters(network)["reduction_edge_0_1"]
    with torch.no_grad():
        alpha.copy_(torch.randn(alpha.shape))
    module = next(m for m in network.modules() if isinstance(m, MixedOperation) and m.label == "reduction_edge_0_1")
    weights = module.export_probs({})["reduction_edge_0_1"]
    assert list(weights.values()) == pytest.approx(part.probabilities(alpha).tolist(), abs=1e-6)
