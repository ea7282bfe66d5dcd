"""Spaces in NNI's own forms, each of one thing that may be open, and those of its hub, small; see nni_spaces.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nni
import torch
from nni.nas.hub import pytorch as hub
from nni.nas.nn.pytorch import (
    Cell,
    InputChoice,
    LayerChoice,
    ModelSpace,
    MutableBatchNorm2d,
    MutableConv2d,
    MutableLayerNorm,
    MutableLinear,
    Repeat,
)
from torch import nn

WIDTH = 8
CLASSES = 10
Body = Callable[[nn.Module], Callable[[torch.Tensor], torch.Tensor]]


def conv(kernel: int = 3, width: int = WIDTH) -> nn.Module:
    return nn.Conv2d(width, width, kernel, padding=kernel // 2)


class Small(ModelSpace):
    """A convolution, a body that a function makes, and a linear layer."""

    def __init__(self, make: Body) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.parts = nn.Module()
        self.body = make(self.parts)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.body(self.parts, self.stem(images))
        return self.head(features.mean((2, 3)))


SPACES: dict[str, Callable[[], ModelSpace]] = {}


def space(make: Any) -> Any:
    """Register a space: a function that sets parts and returns what is computed with them."""
    name = make.__name__

    def built() -> ModelSpace:
        return type(name, (Small,), {"__init__": lambda self: Small.__init__(self, make)})()

    SPACES[name] = built
    return make


def two(label: str = "a") -> LayerChoice:
    return LayerChoice({"c1": conv(1), "c3": conv(3)}, label=label)


@space
def layer_choice(p: Any) -> Any:
    p.a = two()
    return lambda p, x: p.a(x)


@space
def layer_choice_as_list(p: Any) -> Any:
    p.a = LayerChoice([conv(1), conv(3), nn.Identity()], label="a")
    return lambda p, x: p.a(x)


@space
def shared_label(p: Any) -> Any:
    p.a, p.b = two("same"), two("same")
    return lambda p, x: p.b(p.a(x))


@space
def nested_layer_choice(p: Any) -> Any:
    p.a = LayerChoice({"in": two("inner"), "id": nn.Identity()}, label="outer")
    return lambda p, x: p.a(x)


@space
def nested_in_sequential(p: Any) -> Any:
    p.a = LayerChoice({"in": nn.Sequential(two("inner"), nn.ReLU()), "id": nn.Identity()}, label="outer")
    return lambda p, x: p.a(x)


class Pair(nn.Module):
    def __init__(self, kernel: int, form: Any) -> None:
        super().__init__()
        self.layer, self.form = conv(kernel), form

    def forward(self, x: torch.Tensor) -> Any:
        return self.form(x, self.layer(x))


@space
def tuple_outputs(p: Any) -> Any:
    p.a = LayerChoice([Pair(1, lambda x, y: (x, y)), Pair(3, lambda x, y: (x, y))], label="a")
    return lambda p, x: sum(p.a(x))


@space
def dictionary_outputs(p: Any) -> Any:
    p.a = LayerChoice([Pair(k, lambda x, y: {"x": x, "y": y}) for k in (1, 3)], label="a")
    return lambda p, x: sum(p.a(x).values())


@space
def nested_outputs(p: Any) -> Any:
    p.a = LayerChoice([Pair(k, lambda x, y: {"x": [x, (y, x)]}) for k in (1, 3)], label="a")
    return lambda p, x: p.a(x)["x"][0] + p.a(x)["x"][1][0]


class TwoArguments(nn.Module):
    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.layer = conv(kernel)

    def forward(self, x: torch.Tensor, *, scale: float) -> torch.Tensor:
        return scale * self.layer(x)


@space
def keyword_arguments(p: Any) -> Any:
    p.a = LayerChoice([TwoArguments(1), TwoArguments(3)], label="a")
    return lambda p, x: p.a(x, scale=0.5)


@space
def called_zero(p: Any) -> Any:
    p.a = LayerChoice({"zero": conv(1), "skip_connect": conv(3)}, label="a")
    return lambda p, x: p.a(x)


def input_choice(chosen: int | None, reduction: str) -> Body:
    def make(p: Any) -> Any:
        p.c = nn.ModuleList([conv(1), conv(3), nn.Identity()])
        p.i = InputChoice(3, n_chosen=chosen, reduction=reduction, label="i")
        p.after = nn.Conv2d((chosen or 1) * WIDTH if reduction == "concat" else WIDTH, WIDTH, 1)
        return lambda p, x: p.after(p.i([layer(x) for layer in p.c]))

    make.__name__ = f"input_choice_{chosen or 'any'}_{reduction}"
    return make


for inputs in (input_choice(1, "sum"), input_choice(2, "sum"), input_choice(2, "mean"), input_choice(2, "concat")):
    space(inputs)
space(input_choice(None, "sum"))


@space
def input_choice_as_list(p: Any) -> Any:
    p.c = nn.ModuleList([conv(1), conv(3)])
    p.i = InputChoice(2, n_chosen=2, reduction="none", label="i")
    return lambda p, x: sum(p.i([layer(x) for layer in p.c]))


@space
def layers_and_inputs(p: Any) -> Any:
    p.a, p.b = two("a"), two("b")
    p.i = InputChoice(2, label="i")
    return lambda p, x: p.i([p.a(x), p.b(x)])


@space
def repeat(p: Any) -> Any:
    p.r = Repeat(conv(), (1, 3), label="depth")
    return lambda p, x: p.r(x)


@space
def repeat_from_zero(p: Any) -> Any:
    p.r = Repeat(conv(), (0, 2), label="depth")
    return lambda p, x: p.r(x)


@space
def repeat_of_choices(p: Any) -> Any:
    p.r = Repeat(lambda index: two(f"layer{index}"), nni.choice("depth", [1, 3]))
    return lambda p, x: p.r(x)


@space
def open_channels(p: Any) -> Any:
    width = nni.choice("width", [4, 8])
    p.a, p.b = MutableConv2d(WIDTH, width, 3, padding=1), MutableConv2d(width, WIDTH, 1)
    return lambda p, x: p.b(p.a(x))


@space
def open_channels_without_bias(p: Any) -> Any:
    width = nni.choice("width", [4, 8])
    p.a, p.n = MutableConv2d(WIDTH, width, 3, padding=1, bias=False), MutableBatchNorm2d(width)
    p.b = MutableConv2d(width, WIDTH, 1, bias=False)
    return lambda p, x: p.b(p.n(p.a(x)))


@space
def norm_without_weights(p: Any) -> Any:
    width = nni.choice("width", [4, 8])
    p.a, p.n = MutableConv2d(WIDTH, width, 1), MutableBatchNorm2d(width, affine=False)
    p.b = MutableConv2d(width, WIDTH, 1)
    return lambda p, x: p.b(p.n(p.a(x)))


@space
def open_kernel(p: Any) -> Any:
    kernel = nni.choice("kernel", [1, 3, 5])
    p.a = MutableConv2d(WIDTH, WIDTH, kernel, padding=kernel // 2)
    return lambda p, x: p.a(x)


@space
def tuples_of_the_same_size(p: Any) -> Any:
    p.a = MutableConv2d(WIDTH, WIDTH, nni.choice("kernel", [(1, 3), (3, 1), (3, 3)]), padding="same")
    return lambda p, x: p.a(x)


@space
def kernels_as_tuples(p: Any) -> Any:
    p.a = MutableConv2d(
        WIDTH, WIDTH, nni.choice("kernel", [(1, 3), (3, 1), (3, 3)]), padding=nni.choice("padding", [(0, 1), (1, 1)])
    )
    return lambda p, x: torch.nn.functional.adaptive_avg_pool2d(p.a(x), 4)


@space
def open_stride(p: Any) -> Any:
    p.a = MutableConv2d(WIDTH, WIDTH, 3, stride=nni.choice("stride", [1, 2]), padding=1)
    return lambda p, x: p.a(x)


@space
def open_features(p: Any) -> Any:
    width = nni.choice("width", [6, 12])
    p.a, p.b = MutableLinear(WIDTH, width), MutableLinear(width, WIDTH, bias=False)
    return lambda p, x: p.b(p.a(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


@space
def open_layer_norm(p: Any) -> Any:
    width = nni.choice("width", [6, 12])
    p.a, p.n, p.b = MutableLinear(WIDTH, width), MutableLayerNorm(width), MutableLinear(width, WIDTH)
    return lambda p, x: p.b(p.n(p.a(x.permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)


@space
def expression_of_choices(p: Any) -> Any:
    width = nni.choice("width", [2, 4]) * 2
    p.a, p.b = MutableConv2d(WIDTH, width, 1), MutableConv2d(width, WIDTH, 1)
    return lambda p, x: p.b(p.a(x))


@space
def continuous(p: Any) -> Any:
    p.a = two()
    p.space_only = MutableConv2d(WIDTH, WIDTH, 1)
    p.drop = MutableBatchNorm2d(WIDTH, momentum=nni.uniform("momentum", 0.1, 0.5))
    return lambda p, x: p.drop(p.a(x))


def make_cell(p: Any, **arguments: Any) -> Any:
    p.cell = Cell(label="cell", num_nodes=3, num_ops_per_node=2, num_predecessors=2, **arguments)
    p.after = nn.LazyConv2d(WIDTH, 1)
    return lambda p, x: p.after(p.cell(x, x))


@space
def cell(p: Any) -> Any:
    return make_cell(p, op_candidates={"c1": conv(1), "c3": conv(3)})


@space
def cell_with_factories(p: Any) -> Any:
    return make_cell(p, op_candidates={"c1": lambda i, k, j: conv(1), "c3": lambda i, k, j: conv(3)})


@space
def cell_with_loose_ends(p: Any) -> Any:
    return make_cell(p, op_candidates=[conv(1), conv(3)], merge_op="loose_end")


HUB: dict[str, Callable[[], ModelSpace]] = {
    "hub NasBench101": lambda: hub.NasBench101(8, 2, 1, num_labels=CLASSES),
    "hub NasBench201": lambda: hub.NasBench201(8, 1, num_labels=CLASSES),
    "hub NASNet": lambda: hub.NASNet(width=4, num_cells=3),
    "hub ENAS": lambda: hub.ENAS(width=4, num_cells=3),
    "hub AmoebaNet": lambda: hub.AmoebaNet(width=4, num_cells=3),
    "hub PNAS": lambda: hub.PNAS(width=4, num_cells=3),
    "hub DARTS": lambda: hub.DARTS(width=4, num_cells=3),
    "hub DARTS, open width and depth": lambda: hub.DARTS(width=(4, 8), num_cells=(3, 6)),
    "hub ProxylessNAS": lambda: hub.ProxylessNAS(num_labels=CLASSES, width_mult=0.25),
    "hub MobileNetV3Space": lambda: hub.MobileNetV3Space(
        num_labels=CLASSES,
        base_widths=(8, 8, 8, 8, 16, 16, 16, 16, 32),
        width_multipliers=(0.5, 1.0),
        expand_ratios=(1.0, 2.0),
    ),
    "hub ShuffleNetSpace": lambda: hub.ShuffleNetSpace(num_labels=CLASSES),
    "hub ShuffleNetSpace, open channels": lambda: hub.ShuffleNetSpace(num_labels=CLASSES, channel_search=True),
    "hub AutoFormer": lambda: hub.AutoFormer((24, 48), (2.0, 3.0), (3, 6), (1, 2), img_size=32, num_labels=CLASSES),
}
SPACES.update(HUB)
