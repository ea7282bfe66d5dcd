import pytest
import torch
from torch.nn import functional

from bioautoml_nni.nni_engine import named_architecture_parameters
from bioautoml_nni.registry import plugins
from bioautoml_nni.search_spaces import MultimodalSpace
from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.supernet import MixedOperation
from bioautoml_nni.utils.errors import ConfigError


def supernet(k: int, **arguments):
    torch.manual_seed(0)
    space = MultimodalSpace(3, modalities=["image"], channels=8, cells=3)
    return AlternatingDARTS(partial_channels=k, **arguments).mutate_model(space).double()


def edges(model) -> list[MixedOperation]:
    return [module for module in model.modules() if isinstance(module, MixedOperation)]


@pytest.mark.parametrize("form", ["fast", "plain"])
@pytest.mark.parametrize("stride", [1, 2])
def test_one_kth_is_mixed_and_the_rest_passes_by(form, stride):
    """Against the definition, written out with the candidates themselves."""
    model = supernet(4, mixed_operation=form).eval()
    edge = next(edge for edge in edges(model) if edge[edge.names[0]].stride == stride)
    channels = edge[edge.names[0]].channels * 4
    features = torch.randn(2, channels, 16, 16, dtype=torch.float64)
    found = edge(features)
    weights = torch.softmax(edge._arch_alpha, -1)
    quarter = channels // 4
    mixed = sum(share * edge[name](features[:, :quarter]) for share, name in zip(weights, edge.names, strict=True))
    rest = features[:, quarter:] if stride == 1 else functional.max_pool2d(features[:, quarter:], 2)
    together = torch.cat([mixed, rest], dim=1)
    for channel in range(channels):  # shuffled: groups of a quarter become every fourth channel
        source = channel % 4 * quarter + channel // 4
        torch.testing.assert_close(found[:, channel], together[:, source])


def test_the_search_is_smaller_and_every_alpha_has_a_gradient():
    whole, partial = supernet(1), supernet(4)
    sizes = [sum(p.numel() for edge in edges(model) for p in edge.parameters()) for model in (whole, partial)]
    assert sizes[1] < 0.3 * sizes[0]
    partial(torch.randn(2, 3, 32, 32, dtype=torch.float64)).square().sum().backward()
    gradients = {label: p.grad for label, p in named_architecture_parameters(partial).items() if "_edge_" in label}
    assert len(gradients) == 6 and all(g is not None and g.abs().sum() > 0 for g in gradients.values())


def test_odd_sizes_keep_their_shape():
    images = torch.randn(2, 3, 50, 38, dtype=torch.float64)
    assert supernet(2).eval()(images).shape == supernet(1).eval()(images).shape == (2, 3)


def test_channels_that_k_does_not_divide_are_refused():
    with pytest.raises(ConfigError, match="partial_channels: 3 does not divide the 8 channels"):
        supernet(3)
    with pytest.raises(ValueError, match="at least 1"):
        AlternatingDARTS(partial_channels=0)


def test_it_is_a_row_of_comparisons():
    assert plugins("methods")["partial_channels"].target().settings(0) == {"strategy.partial_channels": 4}
