"""A convolution in its fast forms against torch's own and autograd."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from bioautoml_nni.kernels.convolution import Convolution, mixed_channels
from bioautoml_nni.kernels.mixture import GradientAccumulator
from bioautoml_nni.kernels.passes import usable

MODULES = {
    "1x1": (nn.Conv2d(6, 4, 1, bias=False), None),
    "1x1 in groups": (nn.Conv2d(6, 4, 1, groups=2, bias=False), None),
    "1x1 with padding": (nn.Conv2d(6, 4, 1, padding=1, bias=False), None),
    "depth-wise 3x3": (nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False), None),
    "depth-wise 5x5": (nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False), None),
    "depth-wise, strided": (nn.Conv2d(6, 6, 5, stride=2, padding=2, groups=6, bias=False), None),
    "depth-wise without padding": (nn.Conv2d(6, 6, 3, groups=6, bias=False), None),
    "depth-wise, even kernel": (nn.Conv2d(6, 6, 4, padding=2, groups=6, bias=False), None),
    "depth-wise, more out than in": (nn.Conv2d(6, 12, 3, padding=1, groups=6, bias=False), None),
    "dilated": (nn.Conv2d(6, 6, 3, padding=2, dilation=2, bias=False), None),
    "dilated 5x5, strided, on a grid": (nn.Conv2d(6, 6, 5, stride=2, padding=4, dilation=2, bias=False), 1),
}


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_value_and_gradients_equal_those_of_torch(name, layout):
    torch.manual_seed(0)
    module, dilation = MODULES[name]
    kernel = module.double().weight.detach().requires_grad_()
    features = torch.randn(3, 6, 9, 10, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    ours = Convolution(module, dilation, dense=layout is torch.channels_last)
    function = module if dilation is None else partial(conv2d, weight=module.weight, padding=2)
    expected = function(features)
    gradient = torch.randn_like(expected).contiguous(memory_format=layout)
    by_features, by_kernel = torch.autograd.grad(expected, (features, module.weight), gradient)

    plain = features.detach()
    torch.testing.assert_close(ours(plain, kernel.detach()), expected)
    torch.testing.assert_close(ours.by_kernel(gradient, plain, kernel.detach()), by_kernel)
    torch.testing.assert_close(ours.by_features(gradient, plain, kernel.detach()), by_features)
    accumulated = GradientAccumulator(wanted=True)
    for _ in range(2):
        ours.add_by_features(accumulated, gradient, plain, kernel.detach())
    accumulated.add(plain.clone())
    torch.testing.assert_close(accumulated.total(), 2 * by_features + plain)


def test_forms_are_chosen_by_what_the_module_declares():
    chosen = {name: Convolution(*arguments, dense=True) for name, arguments in MODULES.items()}
    assert [name for name, own in chosen.items() if own.is_product] == ["1x1"]
    assert [name for name, own in chosen.items() if own.is_depthwise] == ["depth-wise 3x3", "depth-wise 5x5"]


def test_an_empty_accumulator_has_no_total():
    accumulated = GradientAccumulator(wanted=False)
    assert accumulated.total() is None and accumulated.first is None
    accumulated.first = torch.ones(1)
    accumulated.add(torch.ones(1))
    accumulated.first = accumulated.first * 2
    assert float(accumulated.total()) == 3


def test_channels_of_several_maps_are_mixed_as_if_they_were_concatenated():
    torch.manual_seed(0)
    states = [
        torch.randn(3, count, 5, 4, dtype=torch.float64).to(memory_format=torch.channels_last) for count in (2, 6)
    ]
    kernel = torch.randn(7, 8, 1, 1, dtype=torch.float64, requires_grad=True)
    states[0].requires_grad_()  # the other's gradient is not asked for
    expected = conv2d(torch.cat(states, dim=1), kernel)
    gradient = torch.randn_like(expected)
    wanted = torch.autograd.grad(expected, (kernel, states[0]), gradient)
    result = mixed_channels(states, kernel)
    torch.testing.assert_close(result, expected)
    assert usable(result)
    found = torch.autograd.grad(result, (kernel, states[0]), gradient, retain_graph=True)
    torch.testing.assert_close(found, wanted)
    (alone,) = torch.autograd.grad(result, (states[0],), gradient)
    torch.testing.assert_close(alone, wanted[1])
