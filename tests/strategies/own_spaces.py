"""Spaces as users of NNI write them: what test_own_spaces.py searches and freezes."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import nni
import torch
from nni.mutable import MutableExpression
from nni.nas.nn.pytorch import (
    Cell,
    InputChoice,
    LayerChoice,
    MutableBatchNorm2d,
    MutableConv2d,
    MutableLayerNorm,
    MutableLinear,
    Repeat,
)
from test_nni_spaces import spaces_of_nni
from torch import nn

WIDTH, conv, two = spaces_of_nni.WIDTH, spaces_of_nni.conv, spaces_of_nni.two
SPACES = {}


def space(make):
    """Register a space: a function that sets parts and returns what is computed with them."""

    def built():
        init = {"__init__": lambda self: spaces_of_nni.Small.__init__(self, make)}
        made = type(make.__name__, (spaces_of_nni.Small,), init)()
        if "Lazy" in str(made):
            made(torch.zeros(2, 3, 8, 8))
        return made

    SPACES[make.__name__] = built
    return make


# Choices within choices, and labels.


@space
def three_deep(p):
    inner = LayerChoice([conv(1), conv(3)], label="third")
    p.a = LayerChoice(
        {"in": LayerChoice({"in": inner, "id": nn.Identity()}, label="second"), "c": conv(3)}, label="first"
    )
    return lambda p, x: p.a(x)


@space
def one_label_inside_both_candidates(p):
    p.a = LayerChoice({"x": two("in"), "y": nn.Sequential(two("in"), nn.Tanh())}, label="out")
    return lambda p, x: p.a(x)


@space
def a_choice_that_is_used_twice(p):
    p.a, p.m = two("a"), nn.Module()
    p.m.again = p.a
    return lambda p, x: p.m.again(p.a(x))


@space
def a_layer_in_two_candidates(p):
    layer = conv(3)
    p.a = LayerChoice({"x": layer, "y": nn.Sequential(layer, nn.ReLU())}, label="a")
    return lambda p, x: p.a(x)


@space
def one_candidate(p):
    p.a, p.i = LayerChoice([conv(3)], label="a"), InputChoice(1, label="i")
    return lambda p, x: p.i([p.a(x)])


# What candidates give and are.


class Named(NamedTuple):
    features: torch.Tensor
    other: Any


class Giving(nn.Module):
    def __init__(self, kernel, form):
        super().__init__()
        self.layer, self.form = conv(kernel), form

    def forward(self, x):
        return self.form(self.layer(x))


def giving(form):
    return LayerChoice([Giving(kernel, form) for kernel in (1, 3)], label="a")


@space
def named_tuples(p):
    p.a = giving(lambda y: Named(y, {"none": None, "more": [y, (y,)]}))
    return lambda p, x: p.a(x).features + p.a(x).other["more"][1][0]


@space
def ordered_dictionaries(p):
    p.a = giving(lambda y: OrderedDict(y=y, none=None))
    return lambda p, x: p.a(x)["y"]


class Attributes(OrderedDict):
    """A dictionary whose keys are attributes, as those of large language models' outputs."""

    def __setitem__(self, key, value):
        super().__setitem__(key, value)
        setattr(self, key, value)


@dataclass(frozen=True)
class Record:
    features: torch.Tensor
    kind: str


@space
def records_and_attributes(p):
    p.a = giving(lambda y: (Record(y, "conv"), Attributes(y=y)))
    return lambda p, x: p.a(x)[0].features + p.a(x)[1].y


@space
def constants_beside_tensors(p):
    p.a = giving(lambda y: {"y": y, "kind": "conv", "flag": True, "size": y.shape, "scale": 2, "dtype": torch.float32})

    def use(p, x):
        found = p.a(x)
        assert found["kind"] == "conv" and found["flag"] is True and type(found["scale"]) is int
        return found["y"].view(found["size"]) * found["scale"]

    return use


@space
def masks_and_positions(p):
    p.a = giving(lambda y: (y, y > 0, y.argmax(1, keepdim=True)))
    return lambda p, x: p.a(x)[0] * p.a(x)[1] * p.a(x)[2]


@space
def recurrent(p):
    p.a = LayerChoice([nn.LSTM(WIDTH, WIDTH, batch_first=True, bias=bias) for bias in (True, False)], label="a")
    return lambda p, x: p.a(x.flatten(2).transpose(1, 2))[0].transpose(1, 2).reshape(x.shape)


@space
def attention(p):
    p.a = LayerChoice([nn.MultiheadAttention(WIDTH, heads, batch_first=True) for heads in (1, 2)], label="a")

    def use(p, x):
        tokens = x.flatten(2).transpose(1, 2)
        return p.a(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2).reshape(x.shape)

    return use


@space
def buffers_dropout_and_no_parameters(p):
    p.a = LayerChoice({"norm": nn.BatchNorm2d(WIDTH), "drop": nn.Dropout(0.3), "max": nn.MaxPool2d(3, 1, 1)}, label="a")
    return lambda p, x: p.a(x)


@space
def names_that_say_something_else(p):
    p.a = LayerChoice({"none": conv(3), "skip": conv(1), "zero": nn.ReLU(), "identity": conv(1)}, label="a")
    return lambda p, x: p.a(x)


# Inputs, repetitions, cells.


def inputs(chosen, reduction):
    def make(p):
        p.c = nn.ModuleList([conv(1), conv(3), nn.Identity(), conv(5)])
        p.i = InputChoice(4, n_chosen=chosen, reduction=reduction, label="i")
        p.after = nn.LazyConv2d(WIDTH, 1)
        return lambda p, x: p.after(p.i([layer(x) for layer in p.c]))

    make.__name__ = f"{chosen}_inputs_{reduction}"
    return space(make)


for each in ((3, "concat"), (3, "mean"), (4, "sum"), (1, "concat")):
    inputs(*each)


@space
def repeated_list(p):
    p.r = Repeat([conv(1), nn.Sequential(conv(3), nn.ReLU()), two("last")], (1, 3), label="depth")
    return lambda p, x: p.r(x)


@space
def repeated_by_expressions(p):
    depth = nni.choice("depth", [0, 1, 2])
    p.r, p.q = Repeat(lambda index: conv(), depth + 1), Repeat(lambda index: conv(1), depth * 2)
    return lambda p, x: p.q(p.r(x))


@space
def repeated_within_repeated(p):
    def block(index):
        return LayerChoice({"r": Repeat(conv(1), (1, 2), label=f"in{index}"), "c": conv(3)}, label=f"c{index}")

    p.r = Repeat(block, (1, 2), label="depth")
    return lambda p, x: p.r(x)


@space
def cell_with_processors(p):
    p.cell = Cell(
        [conv(1), conv(3)], 2, 1, 1, "all", lambda states: [2 * state for state in states],
        lambda states, given: states + 1, concat_dim=2, label="c",
    )  # fmt: skip
    return lambda p, x: p.cell(x)


@space
def choices_in_a_cell_of_factories(p):
    p.cell = Cell({"a": lambda node, k, source: two(f"in{node}"), "b": lambda *place: conv()}, 2, 1, 1, label="c")
    p.after = nn.LazyConv2d(WIDTH, 1)
    return lambda p, x: p.after(p.cell(x))


# Open arguments.


@space
def depthwise(p):
    width, kernel = nni.choice("width", [4, 8]), nni.choice("kernel", [3, 5])
    p.a, p.n = MutableConv2d(WIDTH, width, 1, bias=False), MutableBatchNorm2d(width)
    p.d, p.b = MutableConv2d(width, width, kernel, padding=kernel // 2, groups=width), MutableConv2d(width, WIDTH, 1)
    return lambda p, x: p.b(p.d(p.n(p.a(x))))


def widths(name, make_width):
    def make(p):
        width = make_width()
        p.a, p.b = MutableConv2d(WIDTH, width, 3, padding=1), MutableConv2d(width, WIDTH, 1)
        return lambda p, x: p.b(p.a(x))

    make.__name__ = name
    return space(make)


widths("rounded_width", lambda: round(WIDTH * nni.choice("share", [0.5, 0.75, 1.0])))
widths("conditional_width", lambda: MutableExpression.condition(nni.choice("wide", [0, 1]) > 0, 8, 4))
widths("named_width", lambda: MutableExpression.switch_case(nni.choice("size", ["s", "l"]), {"s": 4, "l": 8}))
widths("width_of_two_choices", lambda: nni.choice("a", [2, 4]) + nni.choice("b", [2, 4]))


@space
def normalised_width(p):
    width = nni.choice("width", [4, 6, 12])
    p.a, p.n, p.b = MutableLinear(WIDTH, width), MutableLayerNorm(width), MutableLinear(width, WIDTH, bias=False)
    return lambda p, x: p.b(p.n(p.a(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)


@space
def padding_same(p):
    p.a = MutableConv2d(WIDTH, WIDTH, nni.choice("kernel", [1, 3, 5]), padding="same", dilation=2)
    return lambda p, x: p.a(x)
