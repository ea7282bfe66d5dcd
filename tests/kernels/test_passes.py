"""The compiled passes against torch's own modules and autograd, in float64 where equality is asked for."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from bioautoml_nni.kernels import passes

SHAPES = [(8, 16, 32, 32), (4, 32, 16, 20), (3, 5, 7, 6), (2, 64, 1, 1), (6, 8, 2, 3)]
"""The first is worth two threads; others have few pixels, odd sizes, or channels that do not fill a register."""
POOLS = {
    "max": (passes.max_pool, lambda features: functional.max_pool2d(features, 3, 1, 1)),
    "average": (
        lambda features: (passes.average_pool(features), None),
        lambda features: functional.avg_pool2d(features, 3, 1, 1, count_include_pad=False),
    ),
}


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def maps(shape, count, dtype=torch.float64):
    torch.manual_seed(0)
    return [torch.randn(shape, dtype=dtype).to(memory_format=torch.channels_last) for _ in range(count)]


def assert_equal(ours, theirs, tolerance=1e-10):
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance, check_stride=False)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_norm_and_relu_equal_those_of_torch(shape, training, momentum, threads):
    features, gradient, total = maps(shape, 3)
    features.requires_grad_()
    theirs = nn.BatchNorm2d(shape[1], momentum=momentum).double().train(training)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    theirs.running_mean.normal_()
    theirs.num_batches_tracked.fill_(3)
    ours, weight = copy.deepcopy(theirs), torch.tensor(0.3, dtype=torch.float64)
    expected = total + weight * functional.relu(theirs(features))
    expected.backward(gradient)

    ours.num_batches_tracked.add_(int(training))
    plain = features.detach()
    result, vectors = passes.norm_relu(total.clone(), plain, weight, ours.weight, ours.bias, copy.deepcopy(ours))
    alone, _ = passes.norm_relu(None, plain, weight, ours.weight, ours.bias, ours)
    by_map, by_gamma, by_beta = passes.norm_relu_gradients(gradient, plain, vectors, training)
    assert_equal(result, expected.detach())
    assert_equal(alone, expected.detach() - total)
    assert_equal(by_map, features.grad)
    assert_equal(by_gamma * weight, theirs.weight.grad)
    assert_equal(by_beta * weight, theirs.bias.grad)
    for name, buffer in theirs.named_buffers():
        assert_equal(dict(ours.named_buffers())[name], buffer)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", POOLS)
def test_pooling_equals_that_of_torch(shape, name, threads):
    features, gradient, slope = maps(shape, 3)
    features, weight = (features * 4).round() / 4, torch.tensor(0.7, dtype=torch.float64)  # with ties
    ours, theirs = POOLS[name]
    features.requires_grad_()
    expected = theirs(features)
    (weight * expected).backward(gradient)
    features, wanted = features.detach(), features.grad
    value, extra = ours(features)
    arguments = (gradient, features, weight) if extra is None else (gradient, extra, features, weight)
    function = passes.average_pool_gradients if extra is None else passes.max_pool_gradients
    for before in (None, slope):
        by_map, by_weight = function(None if before is None else before.clone(), *arguments)
        assert_equal(value, expected.detach())
        assert_equal(by_map, wanted if before is None else before + wanted)
        assert_equal(by_weight, (gradient * expected.detach()).sum())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [3, 5, 7])
def test_the_gradient_by_a_depthwise_kernel_equals_that_of_torch(shape, size, threads):
    features, gradient = maps(shape, 2)
    kernel = torch.zeros(shape[1], 1, size, size, dtype=torch.float64, requires_grad=True)
    functional.conv2d(features, kernel, padding=size // 2, groups=shape[1]).backward(gradient)
    assert_equal(passes.depthwise_gradient(features, gradient, size), kernel.grad)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("factor_shape", ["scalar", "channels", "images"])
def test_the_gradients_of_a_scaling_equal_those_of_torch(shape, factor_shape, threads):
    features, gradient, slope = maps(shape, 3)
    sizes = {"scalar": (), "channels": (1, shape[1], 1, 1), "images": (*shape[:2], 1, 1)}[factor_shape]
    factor = torch.rand(sizes, dtype=torch.float64, requires_grad=True)
    features.requires_grad_()
    (features * factor).backward(gradient)
    for before in (None, slope):
        by_map, by_channel = passes.scaling_gradients(
            None if before is None else before.clone(), gradient, features.detach(), factor
        )
        assert_equal(by_map, features.grad if before is None else before + features.grad)
        assert_equal(by_channel.sum_to_size(sizes), factor.grad)


def test_what_is_not_a_number_is_passed_on():
    (features,) = maps((2, 4, 6, 6), 1)
    features[1, 2, 3, 3] = float("nan")
    norm, weight = nn.BatchNorm2d(4).double(), torch.tensor(1.0, dtype=torch.float64)
    result, _ = passes.norm_relu(None, features, weight, norm.weight, norm.bias, norm)
    assert result[:, 2].isnan().all() and not result[:, :2].isnan().any()
    value, _ = passes.max_pool(features)
    assert torch.equal(value.isnan(), functional.max_pool2d(features, 3, 1, 1).isnan())


def test_statistics_of_values_far_from_zero_are_exact_in_single_precision():
    torch.manual_seed(0)
    features = (1000 + torch.randn(32, 16, 32, 32)).to(memory_format=torch.channels_last)
    norm = nn.BatchNorm2d(16, momentum=1.0)
    passes.norm_relu(None, features, torch.tensor(1.0), norm.weight, norm.bias, norm)
    exact = features.double().permute(1, 0, 2, 3).flatten(1)
    torch.testing.assert_close(norm.running_mean.double(), exact.mean(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(norm.running_var.double(), exact.var(1), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    "features",
    [
        torch.zeros(2, 4, 3, 3),
        torch.zeros(2, 4, 3, 3, dtype=torch.bfloat16).to(memory_format=torch.channels_last),
        torch.zeros(2, 8, 6, 6).to(memory_format=torch.channels_last)[:, :4],
        torch.zeros(0, 4, 3, 3).to(memory_format=torch.channels_last),
        torch.zeros(2, 4),
    ],
    ids=["other layout", "other type", "with gaps", "empty", "no map"],
)
def test_other_tensors_are_left_to_torch(features):
    assert passes.usable(torch.zeros(2, 4, 3, 3).to(memory_format=torch.channels_last)), "one that is taken"
    assert not passes.usable(features)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [1, 2, 4, 5, 8])
def test_a_sum_of_maps_is_made_in_the_first(shape, count, threads):
    own = maps(shape, count)
    expected, others = sum(own), [features.clone() for features in own[1:]]
    result = passes.added(own)
    assert_equal(result, expected)
    assert result is own[0]
    for features, before in zip(own[1:], others, strict=True):
        assert_equal(features, before)


def test_a_sum_of_maps_of_other_types_and_layouts_is_that_of_torch():
    own = [torch.randn(2, 3, 4, 5, dtype=torch.float64) for _ in range(4)]
    own[1] = own[1].to(memory_format=torch.channels_last)
    own[2] = own[2].float()
    expected = sum(own)
    assert_equal(passes.added([own[0].clone(), *own[1:]]), expected)


def test_pixels_and_maps_are_the_same_memory():
    (features,) = maps((2, 3, 4, 5), 1)
    rows = passes.pixels(features)
    assert rows.shape == (40, 3) and rows.data_ptr() == features.data_ptr()
    back = passes.as_map(rows, features)
    assert back.data_ptr() == features.data_ptr() and passes.usable(back)
    assert_equal(back, features)
    assert torch.equal(rows[7], features[0, :, 1, 2])
