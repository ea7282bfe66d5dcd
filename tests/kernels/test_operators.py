"""Operators of torch without a public name, and what stands in for them, against autograd in float64."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from bioautoml_nni.kernels import operators


@pytest.fixture(params=[True, False], ids=["operators", "fall-back"])
def there(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(operators, "known", lambda name: None)
    return request.param


def drawn(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def by_autograd(function, gradient, *inputs):
    leaves = [value.clone().requires_grad_() for value in inputs]
    return torch.autograd.grad(function(*leaves), leaves, gradient)


def assert_equal(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("training", [True, False])
def test_a_batch_norm_updates_its_statistics_and_has_the_gradients_of_torch(there, training):
    features, gradient, scale, shift = drawn(4, 3, 5, 6), drawn(4, 3, 5, 6), drawn(3) + 2, drawn(3)
    ours, theirs = (nn.BatchNorm2d(3).double() for _ in range(2))
    for norm in (ours, theirs):
        norm.running_mean.copy_(drawn(3))
        norm.running_var.copy_(drawn(3).exp())
    still = (None, None) if training else (ours.running_mean.clone(), ours.running_var.clone())
    result, kept, backend = operators.batch_norm(features, scale, shift, ours, 0.3, training)
    statistics = theirs.running_mean, theirs.running_var
    assert_equal(result, functional.batch_norm(features, *statistics, scale, shift, training, 0.3))
    assert_equal(ours.running_mean, theirs.running_mean)
    assert_equal(ours.running_var, theirs.running_var)
    assert (backend is not None) == there
    found = operators.batch_norm_gradients(gradient, features, scale, still, training, ours.eps, kept, backend)
    expected = by_autograd(
        lambda x, s, b: functional.batch_norm(x, *still, s, b, training), gradient, features, scale, shift
    )
    for one, other in zip(found, expected, strict=True):
        assert_equal(one, other)


def test_a_relu_passes_the_gradient_where_it_is_above_zero(there):
    values, gradient = torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([3.0, 4.0, 5.0])
    assert operators.relu_gradients(gradient, values.relu()).tolist() == [0.0, 0.0, 5.0]


@pytest.mark.parametrize(("groups", "stride", "dilation"), [(1, 1, 1), (2, 2, 1), (4, 1, 2)])
@pytest.mark.parametrize("wanted", [(True, False), (False, True)])
def test_a_convolution_has_the_gradients_of_torch(there, groups, stride, dilation, wanted):
    features, kernel = drawn(2, 4, 7, 9), drawn(8, 4 // groups, 3, 3)
    settings = ([stride] * 2, [dilation] * 2, [dilation] * 2, groups)

    def convolve(x, k):
        return functional.conv2d(x, k, None, *settings)

    gradient = drawn(*convolve(features, kernel).shape)
    found = operators.convolution_gradients(gradient, features, kernel, *settings, wanted)
    for asked, one, other in zip(wanted, found, by_autograd(convolve, gradient, features, kernel), strict=True):
        assert_equal(one, other) if asked else None


@pytest.mark.parametrize("stride", [1, 2])
def test_pools_have_the_gradients_of_torch(there, stride):
    features = drawn(2, 3, 7, 6)
    value, places = functional.max_pool2d(features, 3, stride, 1, return_indices=True)
    gradient = drawn(*value.shape)
    (expected,) = by_autograd(lambda x: functional.max_pool2d(x, 3, stride, 1), gradient, features)
    assert_equal(operators.maximum_pool_gradients(gradient, features, places, stride), expected)
    (expected,) = by_autograd(
        lambda x: functional.avg_pool2d(x, 3, stride, 1, count_include_pad=False), gradient, features
    )
    assert_equal(operators.average_pool_gradients(gradient, features, stride), expected)
