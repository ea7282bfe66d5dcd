"""Spaces as users write them after NNI's tutorials, open layers between code of their own: for test_agreement.py."""

import nni
import torch
from nni.mutable import MutableExpression
from nni.nas.nn.pytorch import (
    InputChoice,
    LayerChoice,
    MutableBatchNorm2d,
    MutableConv2d,
    MutableLayerNorm,
    MutableLinear,
    MutableMultiheadAttention,
    Repeat,
)
from own_spaces import WIDTH, two
from torch import nn
from torch.nn import functional

SPACES = {}
UNMIXED = {}
"""What paths alone can search."""


def space(make):
    SPACES[make.__name__] = make
    return make


def unmixed(make):
    UNMIXED[make.__name__] = make
    return make


def unfold(x):
    return x.flatten(2).transpose(1, 2)


def fold(tokens, x):
    return tokens.transpose(1, 2).reshape(x.shape)


@space
def flattened(p):
    width, features = nni.choice("width", [2, 4]), nni.choice("features", [8, 16])
    p.a, p.f, p.g = MutableConv2d(WIDTH, width, 1), MutableLinear(width * 16, features), MutableLinear(features, WIDTH)
    return lambda p, x: p.g(p.f(functional.adaptive_avg_pool2d(p.a(x), 4).flatten(1)).relu())[:, :, None, None]


@space
def residual(p):
    width = nni.choice("width", [4, 8])
    p.s, p.a = MutableConv2d(WIDTH, width, 1), MutableConv2d(width, width, 3, padding=1)
    p.n, p.b = MutableBatchNorm2d(width), MutableConv2d(width, WIDTH, 1)

    def use(p, x):
        x = p.s(x)
        return p.b((x + p.n(p.a(x))).relu())

    return use


@space
def fixed_before_open(p):
    """As a dense net: what is fixed comes first, so that the open width ends at the same place."""
    growth = nni.choice("growth", [2, 4])
    p.a, p.n = MutableConv2d(WIDTH, growth, 3, padding=1), MutableBatchNorm2d(WIDTH + growth)
    p.b = MutableConv2d(WIDTH + growth, WIDTH, 1)
    return lambda p, x: p.b(p.n(torch.cat([x, p.a(x)], 1)).relu())


@space
def a_sum_that_a_layer_gives(p):
    width = nni.choice("width", [2, 4]) + 3
    p.a, p.b = MutableConv2d(WIDTH, width, 1), MutableConv2d(width, WIDTH, 1)
    return lambda p, x: p.b(p.a(x))


@space
def squeeze_and_excite(p):
    width = nni.choice("width", [4, 8])
    squeezed = MutableExpression.max(2, width // 4)
    p.a, p.b = MutableConv2d(WIDTH, width, 1), MutableConv2d(width, WIDTH, 1)
    p.s, p.e = MutableConv2d(width, squeezed, 1), MutableConv2d(squeezed, width, 1)

    def use(p, x):
        x = p.a(x)
        return p.b(x * p.e(p.s(x.mean((2, 3), keepdim=True)).relu()).sigmoid())

    return use


class Inverted(nn.Module):
    def __init__(self, name):
        super().__init__()
        hidden, kernel = WIDTH * nni.choice(f"{name}_ratio", [1, 2]), nni.choice(f"{name}_kernel", [3, 5])
        self.layers = nn.Sequential(
            MutableConv2d(WIDTH, hidden, 1, bias=False), MutableBatchNorm2d(hidden), nn.ReLU6(),
            MutableConv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=False),
            MutableBatchNorm2d(hidden), nn.ReLU6(), MutableConv2d(hidden, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH),
        )  # fmt: skip

    def forward(self, x):
        return x + self.layers(x)


@space
def inverted_in_a_choice(p):
    p.a = LayerChoice({"block": Inverted("one"), "skip": nn.Identity()}, label="kind")
    return lambda p, x: p.a(x)


@space
def inverted_and_repeated(p):
    p.r = Repeat(lambda index: Inverted(f"block{index}"), (1, 2), label="depth")
    return lambda p, x: p.r(x)


@space
def inputs_of_open_width(p):
    width = nni.choice("width", [4, 8])
    p.a, p.b, p.c = (MutableConv2d(WIDTH, width, size, padding=size // 2) for size in (1, 3, 5))
    p.i, p.out = InputChoice(3, n_chosen=2, label="i"), MutableConv2d(width, WIDTH, 1)
    return lambda p, x: p.out(p.i([p.a(x), p.b(x), p.c(x)]))


@space
def transformer(p):
    width, hidden = nni.choice("embed", [4, 8]), nni.choice("hidden", [8, 16])
    p.i, p.n, p.o = MutableLinear(WIDTH, width), MutableLayerNorm(width), MutableLinear(width, WIDTH)
    p.a = MutableMultiheadAttention(width, 2, batch_first=True)
    p.f, p.g = MutableLinear(width, hidden), MutableLinear(hidden, width)

    def use(p, x):
        tokens = p.n(p.i(unfold(x)))
        tokens = tokens + p.a(tokens, tokens, tokens, need_weights=False)[0]
        return fold(p.o(tokens + p.g(functional.gelu(p.f(tokens)))), x)

    return use


@space
def reflected_kernels(p):
    kernel = nni.choice("kernel", [1, 3, 5])
    p.a = MutableConv2d(WIDTH, WIDTH, kernel, padding=kernel // 2, padding_mode="reflect")
    return lambda p, x: p.a(x)


@space
def attention_of_open_keys(p):
    width, keys = nni.choice("embed", [4, 8]), nni.choice("key_size", [2, 6])
    p.q, p.k, p.o = MutableLinear(WIDTH, width), MutableLinear(WIDTH, keys), MutableLinear(width, WIDTH)
    p.a = MutableMultiheadAttention(width, 2, kdim=keys, vdim=keys, batch_first=True)

    def use(p, x):
        tokens = unfold(x)
        found, weights = p.a(p.q(tokens), p.k(tokens), p.k(tokens))
        return fold(p.o(found) + weights.mean(), x)

    return use


@space
def strided_and_dilated_kernels(p):
    kernel = nni.choice("kernel", [5, 3])
    p.a = MutableConv2d(WIDTH, WIDTH, kernel, stride=2, dilation=2, padding=(kernel // 2) * 2)
    return lambda p, x: p.a(x)


@space
def one_layer_at_two_places(p):
    width = nni.choice("width", [4, 8])
    p.a, p.b = MutableConv2d(WIDTH, width, 1), MutableConv2d(width, WIDTH, 1)
    p.again = nn.ModuleList([p.a, p.b])
    return lambda p, x: p.again[1](p.again[0](p.b(p.a(x))))


@space
def depths_in_another_order(p):
    p.r = Repeat(lambda index: two(f"l{index}"), nni.choice("depth", [3, 1]))
    return lambda p, x: p.r(x)


@unmixed
def any_groups(p):
    p.a = MutableConv2d(WIDTH, WIDTH, 3, padding=1, groups=nni.choice("groups", [1, 2, 4]))
    return lambda p, x: p.a(x)


@unmixed
def open_padding(p):
    p.a = MutableConv2d(WIDTH, WIDTH, 3, padding=nni.choice("padding", [0, 1]))
    return lambda p, x: p.a(x)


@unmixed
def reflected_without_padding(p):
    kernel = nni.choice("kernel", [1, 3])
    p.a = MutableConv2d(
        WIDTH, WIDTH, kernel, padding=kernel // 2, stride=nni.choice("s", [1, 2]), padding_mode="reflect"
    )
    return lambda p, x: p.a(x)


@unmixed
def kernels_without_padding(p):
    p.a = MutableConv2d(WIDTH, WIDTH, nni.choice("kernel", [1, 3]))
    return lambda p, x: p.a(x)


@unmixed
def kernels_and_paddings(p):
    """Two choices, of which some pairs keep the size."""
    p.a = MutableConv2d(WIDTH, WIDTH, nni.choice("kernel", [3, 5]), padding=nni.choice("padding", [1, 2]))
    return lambda p, x: p.a(x)


@unmixed
def open_before_fixed(p):
    """What stands behind an open width has another place in the supernet than in the derived network."""
    growth = nni.choice("growth", [2, 4])
    p.a, p.b = MutableConv2d(WIDTH, growth, 3, padding=1), MutableConv2d(growth + WIDTH, WIDTH, 1)
    return lambda p, x: p.b(torch.cat([p.a(x), x], 1))


@unmixed
def open_heads(p):
    p.a = MutableMultiheadAttention(WIDTH, nni.choice("heads", [1, 2]), batch_first=True)
    return lambda p, x: fold(p.a(unfold(x), unfold(x), unfold(x), need_weights=False)[0], x)
