"""Options ask candidates and the space what they are; what they are called counts for nothing."""

import pytest
import torch
from nni.nas.nn.pytorch import Cell, LayerChoice, ModelSpace
from test_alternating import make_evaluator, run
from torch import nn
from torch.nn import functional

from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.strategies.candidates import CannotNarrow, channels_of, has_capability, narrowed
from bioautoml_nni.strategies.supernet import MixedOperation, skips_of
from bioautoml_nni.utils.errors import ConfigError


def conv(kernel=3, channels=8, out=None):
    return nn.Conv2d(channels, out or channels, kernel, padding=kernel // 2)


class Foreign(ModelSpace):
    """A space of somebody else around the given layers, in order."""

    def __init__(self, *layers):
        super().__init__()
        self.stem, self.head = conv(3, 3, 8), nn.Linear(8, 3)
        self.layers = nn.Sequential(*[make() for make in layers])  # choices are made within a space

    def forward(self, images):
        return self.head(self.layers(self.stem(images)).mean((2, 3)))


class Shortcut(nn.Module):
    """A skip connection with a class of its own."""

    capabilities = ("skip",)

    def forward(self, x):
        return x


class Nothing(nn.Module):
    """A zero operation that must not be run."""

    capabilities = ("zero",)

    def forward(self, x):
        raise AssertionError("zero was computed")


class Custom(nn.Module):
    """A candidate that says nothing about itself."""

    def __init__(self):
        super().__init__()
        self.layer = conv()

    def forward(self, x):
        return self.layer(x)


class Narrow(Custom):
    """A candidate that offers a narrower form."""

    def __init__(self, channels=8):
        super().__init__()
        self.layer = conv(3, channels)

    def narrowed(self, k):
        return Narrow(self.layer.in_channels // k)


def choice(label="a", **candidates):
    def make():
        made = {name: own() if not isinstance(own, nn.Module) else own for name, own in candidates.items()}
        return LayerChoice(made or {"c3": conv(), "skip": Shortcut()}, label=label)

    return make


def searched(space, tmp_path, **options):
    strategy = AlternatingDARTS(**options)
    run(strategy, make_evaluator(epochs=2), space, tmp_path)
    return strategy.oneshot_module


def test_a_candidate_called_zero_is_run_and_trained(tmp_path):
    space = Foreign(choice(zero=conv(1), c3=conv()))
    before = space.layers[0]["zero"].weight.detach().clone()
    module = searched(space, tmp_path)
    assert not torch.equal(module.model.layers[0]["zero"].weight, before)


def test_what_says_that_it_is_zero_is_not_run():
    space = AlternatingDARTS().mutate_model(Foreign(choice(nothing=Nothing(), c3=conv())))
    assert space(torch.randn(2, 3, 8, 8)).shape == (2, 3)


def test_guards_count_what_says_that_it_is_a_skip(tmp_path):
    module = searched(Foreign(choice("op1"), choice("op2", own=nn.Identity())), tmp_path, max_skips=0)
    assert module.stopped.startswith("after epoch 1:")
    assert "choices of the space prefer a skip connection, more than max_skips=0" in module.stopped


def test_guards_ask_for_the_entropy_of_every_choice(tmp_path):
    stopped = searched(Foreign(choice("op1")), tmp_path, min_entropy=99).stopped
    assert stopped.startswith("after epoch 1:") and "min_entropy=99" in stopped
    assert searched(Foreign(choice("op1")), tmp_path / "free", min_entropy=0).stopped is None


def test_a_space_speaks_for_candidates_of_others(tmp_path):
    class Told(Foreign):
        """Says that its Custom candidates are skips."""

        def candidate_capabilities(self, label, name):
            return ("skip",) if name == "told" else None

    space = AlternatingDARTS(max_skips=3).mutate_model(Told(choice(told=Custom(), zero=conv())))
    assert skips_of(space) == {"a": {"told"}}


def test_edges_of_nni_s_own_cells_are_asked_too():
    made = {"skip_connect": lambda i, k, j: nn.Identity(), "c": lambda i, k, j: conv()}
    space = AlternatingDARTS(max_skips=1).mutate_model(Foreign(lambda: Cell(made, 2, 1, 1, label="n")))
    assert skips_of(space) == {f"n/{edge}": {"skip_connect"} for edge in ("1_0", "2_0", "2_1")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_skips": 1}, "strategy.max_skips: no candidate of this space says that it is a skip connection"),
        ({"regularisers": ["skip_dropout"]}, "strategy.regularisers: SkipDropout: no candidate of this space"),
        ({"partial_channels": 2}, "choice 'a' cannot be made partial: its candidate own .Custom. offers no narrowed"),
    ],
)
def test_options_are_refused_where_the_space_does_not_offer_what_they_need(options, message):
    with pytest.raises(ConfigError, match=message):
        AlternatingDARTS(**options).mutate_model(Foreign(choice(own=Custom(), skip_connect=conv())))


def test_partial_channels_are_refused_where_nothing_can_be_narrowed():
    with pytest.raises(ConfigError, match="no choice of this space can be made partial. Choice 'a': its candidate own"):
        AlternatingDARTS(partial_channels=2).mutate_model(Foreign(choice(own=Custom())))


def test_partial_channels_on_layers_of_torch_and_candidates_that_offer_it(tmp_path):
    space = Foreign(
        choice("a", c3=conv(), skip=nn.Identity(), pool=nn.MaxPool2d(3, 1, 1)),
        choice("b", n=Narrow(), s=nn.Sequential(conv(1), nn.BatchNorm2d(8), nn.ReLU())),
        choice("c", d=nn.Conv2d(8, 8, 3, 2, 1, groups=8), p=nn.AvgPool2d(2, ceil_mode=True)),
        choice("e", inner=choice("inner", c1=conv(1), c3=conv(3)), i=nn.Identity()),
    )
    strategy = AlternatingDARTS(partial_channels=4)
    model = strategy.mutate_model(space).double().eval()
    edges = {module.label: module for module in model.modules() if isinstance(module, MixedOperation)}
    assert {label: edge.partial_channels for label, edge in edges.items()} == dict.fromkeys("abce", 4) | {"inner": 1}
    features = torch.randn(2, 8, 7, 7, dtype=torch.float64)
    edge = edges["c"]
    weights = torch.softmax(edge._arch_alpha, -1)
    mixed = sum(share * edge[name](features[:, :2]) for share, name in zip(weights, edge.names, strict=True))
    rest = functional.max_pool2d(features[:, 2:], 2, ceil_mode=True)
    torch.testing.assert_close(edge(features), functional.channel_shuffle(torch.cat([mixed, rest], 1), 4))
    model(torch.randn(2, 3, 8, 8, dtype=torch.float64)).sum().backward()


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (conv(3, 8, 16), "takes 8 channels and gives 16"),
        (conv(3, 6), "4 does not divide the 6 channels"),
        (nn.Sequential(conv(), conv(3, 4)), "has layers of 4 and 8 channels"),
        (nn.Conv2d(8, 8, 3, groups=2), "has 2 groups"),
        (nn.GroupNorm(2, 8), r"offers no narrowed\(k\)"),
    ],
)
def test_candidates_that_cannot_be_narrowed_say_why(candidate, reason):
    with pytest.raises(CannotNarrow, match=reason):
        narrowed(candidate, 4)


def test_capabilities_come_from_the_space_first_then_from_the_candidate():
    assert has_capability(nn.Identity(), "skip") and not has_capability(nn.Identity(), "zero")
    assert not has_capability(nn.Identity(), "skip", told=())
    assert has_capability(conv(), "zero", told=["zero"])
    assert channels_of(nn.ReLU()) is None and channels_of(conv()) == 8
