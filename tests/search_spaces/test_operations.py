import pytest
import torch

from bioautoml_nni.kernels.mixture import Mixture
from bioautoml_nni.registry import plugins
from bioautoml_nni.search_spaces.operations._shared import Shared

OPERATIONS = plugins("operations")


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(2, 8, 16, 16), (1, 6, 7, 5)])
def test_shape_is_kept_or_halved(name, stride, shape):
    operation = OPERATIONS[name].target(shape[1], stride)
    features = torch.randn(shape, requires_grad=True)
    result = operation(features)
    assert result.shape == (*shape[:2], -(-shape[2] // stride), -(-shape[3] // stride))
    if "zero" in OPERATIONS[name].capabilities:
        assert not result.any()
    else:
        result.sum().backward()
        assert features.grad is not None and torch.isfinite(features.grad).all()


@pytest.mark.parametrize("name", OPERATIONS)
def test_other_strides_are_refused(name):
    with pytest.raises(ValueError, match="stride must be 1 or 2"):
        OPERATIONS[name].target(8, 3)


def test_parameter_free_operations_have_no_parameters():
    for plugin in OPERATIONS.values():
        parameters = sum(p.numel() for p in plugin.target(8, 1).parameters())
        assert (parameters == 0) == bool({"parameter_free", "skip"} & set(plugin.capabilities)), plugin.name


def test_skip_is_the_identity():
    features = torch.randn(1, 4, 5, 5)
    assert OPERATIONS["skip_connect"].target(4, 1)(features) is features


def test_squeeze_excitation_follows_its_formula():
    operation = OPERATIONS["squeeze_excitation"].target(8, 1)
    features = torch.randn(2, 8, 4, 4)
    pooled = features.mean((2, 3))
    hidden = torch.relu(pooled @ operation.squeeze.weight[:, :, 0, 0].T + operation.squeeze.bias)
    gate = torch.sigmoid(hidden @ operation.excite.weight[:, :, 0, 0].T + operation.excite.bias)
    torch.testing.assert_close(operation(features), features * gate[:, :, None, None])


def test_dilated_convolutions_reach_as_far_as_they_should():
    for name, reach in (("dil_conv_3x3", 2), ("dil_conv_5x5", 4)):
        operation = OPERATIONS[name].target(1, 1).layers[0]
        torch.nn.init.ones_(operation.weight)
        impulse = torch.zeros(1, 1, 21, 21)
        impulse[0, 0, 10, 10] = 1
        touched = operation(impulse)[0, 0].nonzero()
        assert touched.min() == 10 - reach and touched.max() == 10 + reach


@pytest.mark.parametrize("name", OPERATIONS)
def test_no_1x1_convolution_has_a_stride(name):
    """torch 2.15 corrupts memory in their backward pass (channels_last, CPU); the input is sliced instead."""
    convolutions = [m for m in OPERATIONS[name].target(8, 2).modules() if isinstance(m, torch.nn.Conv2d)]
    assert all(convolution.stride == (1, 1) for convolution in convolutions if convolution.kernel_size == (1, 1))


def test_a_strided_1x1_convolution_is_the_sliced_one():
    operation = OPERATIONS["conv_1x1"].target(8, 2)
    features = torch.randn(2, 8, 9, 9)
    strided = torch.nn.functional.conv2d(features, operation.layers[0].weight, stride=2)
    torch.testing.assert_close(operation(features), operation.layers[1:](strided))


@pytest.mark.parametrize("name", ["dil_conv_3x3", "dil_conv_5x5"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(2, 6, 16, 16), (1, 4, 18, 10), (1, 4, 7, 12), (1, 4, 9, 9)])
def test_dilated_convolutions_on_grids_equal_the_declared_ones(name, stride, shape):
    operation = OPERATIONS[name].target(shape[1], stride).double()
    convolution = operation.layers[0]
    inputs = [torch.randn(shape, dtype=torch.float64).to(memory_format=torch.channels_last) for _ in range(2)]
    inputs[1] = inputs[0].clone()
    found = []
    for features, function in zip(inputs, (operation.convolved, convolution), strict=True):
        features.requires_grad_()
        convolution.weight.grad = None
        result = function(features)
        (result * torch.arange(result.numel(), dtype=torch.float64).view_as(result).cos()).sum().backward()
        found.append((result, features.grad, convolution.weight.grad))
    for ours, declared in zip(*found, strict=True):
        torch.testing.assert_close(ours, declared, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("stride", [1, 2])
def test_the_forms_for_supernets_equal_forward(name, stride):
    operation = OPERATIONS[name].target(8, stride).double().train()
    features, weight = torch.randn(3, 8, 10, 10, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64)
    expected = 0.3 * operation(features)
    for before in (None, torch.ones_like(expected)):  # as the first term, and added to others
        mixture = Mixture(features)
        if before is not None:
            mixture.add(before.clone())
        operation.add_to(mixture, weight)
        sums = expected if before is None else before + expected
        torch.testing.assert_close(mixture.result(), sums, rtol=1e-10, atol=1e-12)


def test_an_empty_mixture_is_refused():
    with pytest.raises(ValueError, match="no candidate has added anything"):
        Mixture(torch.zeros(1, 2, 3, 3)).result()


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"zero"}))
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("stride", [1, 2])
def test_written_out_gradients_equal_those_of_autograd(name, training, stride):
    torch.manual_seed(0)
    operation = OPERATIONS[name].target(8, stride).double().train(training)
    inputs = torch.randn(3, 8, 12, 10, dtype=torch.float64).to(memory_format=torch.channels_last)
    found = []
    for form in ("declared", "written out"):
        features, weight = inputs.clone().requires_grad_(), torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        operation.zero_grad()
        if form != "declared":
            mixture = Mixture(features)
            mixture.add(torch.zeros_like(operation(inputs)))
            operation.add_to(mixture, weight)
            result = mixture.result()
        else:
            result = weight * operation(features)
        (result * torch.arange(result.numel(), dtype=torch.float64).view_as(result).cos()).sum().backward()
        own = [parameter.grad.clone() for parameter in operation.parameters()]
        found.append([result, features.grad, weight.grad, *own])
    for declared, own in zip(*found, strict=True):
        torch.testing.assert_close(own, declared, rtol=1e-9, atol=1e-10)


def test_a_single_value_of_a_channel_is_refused_in_training_as_torch_does():
    operation, features = OPERATIONS["conv_1x1"].target(4, 1), torch.ones(1, 4, 1, 1)
    with pytest.raises(ValueError, match="more than one value|more than 1 value"):
        operation.train()(features)
    mixture = Mixture(features)
    operation.add_to(mixture, torch.tensor(0.5))
    with pytest.raises(ValueError, match="more than one value"):
        mixture.result()


def test_shared_work_is_done_once_for_one_feature_map_and_anew_for_another():
    calls = []
    shared = Shared(lambda features: calls.append(1) or features * 2)
    first, second = torch.ones(2), torch.ones(2)
    assert shared(first) is shared(first) and len(calls) == 1
    shared(second)
    assert len(calls) == 2
    with torch.no_grad():
        shared(second)  # a result without a graph is another one
    assert len(calls) == 3
    with torch.inference_mode():
        assert shared(torch.ones(2) * 3).tolist() == [6, 6]
    calls.pop()
    second.add_(1)
    assert shared(second).tolist() == [4, 4] and len(calls) == 4
    del second
    assert shared(torch.zeros(2)).tolist() == [0, 0]
