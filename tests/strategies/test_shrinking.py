"""Candidates that leave the search: which, when, and that the rest is the relaxed sum over those that stay."""

import pytest
import torch
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.shrinking import candidates_left, shrink
from bioautoml_nni.strategies.supernet import MixedOperation
from test_alternating import make_evaluator, run

from bioautoml_nni.nni_engine import named_architecture_parameters

METADATA = {"numeric_fields": [0, 0], "categories": [4], "category_fields": [1], "fields": 2}


def supernet(**settings):
    torch.manual_seed(0)
    space = MultimodalSpace(3, modalities=("image",), channels=4, cells=2, dropout=0.0)
    network = AlternatingDARTS(**settings).mutate_model(space)
    with torch.no_grad():
        for alpha in named_architecture_parameters(network).values():
            alpha.copy_(torch.randn(alpha.shape))
    return network


def edges(network):
    return [module for module in network.modules() if isinstance(module, MixedOperation)]


def test_parts_of_the_search_are_equally_long_and_warm_up_keeps_all():
    assert [candidates_left([5, 3], epoch, 12) for epoch in range(-2, 12)] == [None] * 6 + [5] * 4 + [3] * 4
    assert [candidates_left([], epoch, 3) for epoch in range(3)] == [None] * 3
    assert [candidates_left([4], epoch, 49) for epoch in (24, 25)] == [None, 4]


@pytest.mark.parametrize("form", ["fast", "plain"])
@pytest.mark.parametrize("relaxation", ["softmax", "sigmoid"])
def test_what_is_left_is_the_relaxed_sum_over_those_with_the_largest_shares(form, relaxation):
    network = supernet(mixed_operation=form, relaxation=relaxation).double().eval()
    edge = edges(network)[0]
    alpha = edge._arch_alpha
    before = alpha.detach().clone()
    best = before.topk(4).indices.tolist()
    features = torch.randn(2, 4, 16, 16, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    run_names = []
    for name in edge.names:
        edge[name].register_forward_hook(lambda *_, name=name: run_names.append(name))
    assert shrink(network, 4) and not shrink(network, 4), "it is told once"

    left = before[best]
    weights = torch.softmax(left, -1) if relaxation == "softmax" else torch.sigmoid(left)
    expected = sum(w * edge[edge.names[i]](features) for w, i in zip(weights, best, strict=True))
    run_names.clear()
    found = edge(features)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    assert set(run_names) <= {edge.names[i] for i in best}
    shares = edge.export_probs({})[edge.label]
    assert {name for name, share in shares.items() if share} == {edge.names[i] for i in best}
    assert sum(shares.values()) == pytest.approx(1)
    (slope,) = torch.autograd.grad(found.square().sum(), alpha)
    others = [i for i in range(len(before)) if i not in best]
    assert not slope[others].any() and slope[best].all()


def test_a_candidate_that_works_is_left_beside_zero():
    network = supernet()
    for edge in edges(network):
        with torch.no_grad():
            edge._arch_alpha[edge.names.index("none" if "none" in edge.names else "zero")] = 5.0
    shrink(network, 1)
    for edge in edges(network):
        [left] = set(edge.names) - edge.closed
        assert left not in ("none", "zero")


def test_fusions_stay_as_they_are():
    space = MultimodalSpace(3, metadata=METADATA, channels=4, cells=2)
    network = AlternatingDARTS().mutate_model(space)
    shrink(network, 2)
    closed = {str(module.label): len(module.closed) for module in edges(network)}
    assert closed.pop("fusion") == 0 and set(closed.values()) == {8}


def test_loaded_parameters_tell_what_is_closed():
    network, other = supernet(), supernet()
    shrink(network, 3)
    other.load_state_dict(network.state_dict())
    assert not any(edge.closed for edge in edges(other))
    assert shrink(other, None)
    assert [edge.closed for edge in edges(other)] == [edge.closed for edge in edges(network)]


def test_a_search_gets_smaller_as_it_goes_on(tmp_path):
    class Seen(AlternatingDARTS):
        counts = []

        def configure_oneshot_module(self, training_module):
            module = super().configure_oneshot_module(training_module)
            ordinary = module.on_train_epoch_end

            def look():
                self.counts.append({len(edge.names) - len(edge.closed) for edge in edges(module.model)})
                ordinary()

            module.on_train_epoch_end = look
            return module

    strategy = Seen(shrink_to=[5, 2], warmup_epochs=1, alpha_learning_rate=0.05)
    run(strategy, make_evaluator(epochs=4), tmp_path=tmp_path)
    assert strategy.counts == [{10}, {10}, {5}, {2}]
    shares = strategy.oneshot_module.export_probs()
    assert all(sum(share > 0 for share in own.values()) == 2 for label, own in shares.items() if "_edge_" in label)


@pytest.mark.parametrize("counts", [[3, 5], [2, 0]])
def test_other_numbers_are_refused(counts):
    with pytest.raises(ValueError, match="shrink_to"):
        AlternatingDARTS(shrink_to=counts)
