"""What the author of a space sets of a layer with open arguments is there in the supernet."""

import nni
import pytest
import torch
from nni.nas.nn.pytorch import MutableBatchNorm2d, MutableConv2d, MutableLinear, MutableMultiheadAttention
from test_agreement import BOTH, WIDTH
from test_own_spaces import Own
from torch import nn
from torch.nn.utils import parametrizations

from bioautoml_nni.strategies import AlternatingDARTS
from bioautoml_nni.utils.errors import ConfigError, PluginError


def layers(p, values=(8, 4)):
    width = nni.choice("width", list(values))
    p.a, p.n, p.b = MutableConv2d(WIDTH, width, 3, padding=1), MutableBatchNorm2d(width), MutableConv2d(width, WIDTH, 1)
    return lambda p, x: p.b(p.n(p.a(x)))


@pytest.mark.parametrize("strategy", BOTH)
def test_what_was_set_is_kept_and_nothing_else_is_touched(strategy, caplog):
    space = Own(layers)
    nn.init.normal_(space.parts.a.weight)
    nn.init.zeros_(space.parts.n.weight)
    space.parts.b.weight = nn.Parameter(torch.full((WIDTH, 8, 1, 1), 2.0), requires_grad=False)
    space.double()
    given = space.parts.a.weight.clone()
    torch.manual_seed(3)
    model = strategy().mutate_model(space)
    assert torch.equal(model.parts.a.weight, given)
    assert not model.parts.n.weight.any() and bool((model.parts.n.running_var == 1).all())
    assert bool((model.parts.b.weight == 2).all()) and not model.parts.b.weight.requires_grad
    assert model.parts.b.bias.requires_grad and model.parts.a.weight.dtype is torch.float64
    assert "List the largest value first" not in caplog.text


def test_of_a_first_value_that_is_not_the_largest_a_part_is_set_and_said(caplog):
    space = Own(lambda p: layers(p, (4, 8)))
    nn.init.constant_(space.parts.a.bias, 0.5)
    nn.init.normal_(space.parts.b.weight)
    given = space.parts.b.weight.clone()
    model = AlternatingDARTS().mutate_model(space)
    assert model.parts.a.bias.tolist() == [0.5] * 8
    assert torch.equal(model.parts.b.weight[:, :4], given)
    assert "1 layers with open arguments were initialised or loaded for the first value" in caplog.text
    assert "(parts.b)" in caplog.text


def test_of_attention_all_that_fits_is_kept():
    def attention(p):
        width = nni.choice("embed", [8, 4])
        p.i, p.a, p.o = MutableLinear(WIDTH, width), MutableMultiheadAttention(width, 2), MutableLinear(width, WIDTH)
        return lambda p, x: p.o(p.a(*[p.i(x.flatten(2).transpose(1, 2))] * 3)[0]).transpose(1, 2).reshape(x.shape)

    space = Own(attention)
    nn.init.normal_(space.parts.a.in_proj_weight)
    given = space.parts.a.in_proj_weight.clone()
    assert torch.equal(AlternatingDARTS().mutate_model(space).parts.a.in_proj_weight, given)


def test_untouched_layers_start_as_torch_starts_them(caplog):
    torch.manual_seed(1)
    model = AlternatingDARTS().mutate_model(Own(lambda p: layers(p, (4, 8))))
    bound = 1 / (WIDTH * 9) ** 0.5  # of its uniform distribution
    assert 0.9 * bound < model.parts.a.weight.abs().max() <= bound
    assert "first value" not in caplog.text


def normed(p):
    use = layers(p)
    parametrizations.spectral_norm(p.a)
    return use


def hooked(p):
    use = layers(p)
    p.a.register_forward_hook(lambda module, args, output: 2 * output)
    return use


def tied(p):
    use = layers(p)
    p.c = MutableConv2d(WIDTH, WIDTH, 3, padding=1)
    p.c.weight = p.a.weight
    return lambda p, x: use(p, p.c(x))


def opened_bias(p):
    p.a = MutableConv2d(WIDTH, WIDTH, 1, bias=nni.choice("bias", [True, False]))
    return lambda p, x: p.a(x)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (normed, "choice 'width' .* at parts.a. cannot be searched: its parametrization, such as a weight norm"),
        (hooked, "choice 'width' .* at parts.a. cannot be searched: its forward hooks belong to one shape"),
        (tied, "choice 'width' .* at parts.a. cannot be searched: it shares a parameter with another layer"),
        (opened_bias, "choice 'bias' .* cannot be searched: its bias cannot be open; make a LayerChoice"),
    ],
)
@pytest.mark.parametrize("strategy", BOTH)
def test_what_a_stand_in_cannot_have_is_refused(strategy, make, sentence):
    with pytest.raises(PluginError, match=sentence):
        strategy().mutate_model(Own(make))


@pytest.mark.parametrize("name", ["expected_cost", "zero_one"])
def test_a_regulariser_of_layers_is_refused_where_there_are_none(name):
    with pytest.raises(ConfigError, match="strategy.regularisers: .* is about choices of layers"):
        AlternatingDARTS(regularisers=[name]).mutate_model(Own(layers))
