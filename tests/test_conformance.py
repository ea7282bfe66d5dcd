"""The suites of `bioautoml_nni.testing` over every registered plug-in, and over broken ones."""

from importlib.metadata import PackageNotFoundError, distribution

import pytest
import torch
from conftest import write_table
from torch import nn

from bioautoml_nni import testing
from bioautoml_nni.losses._base import Loss
from bioautoml_nni.registry import KINDS, get, plugins
from bioautoml_nni.search_spaces.encoders.efficientnet_lite import EfficientNetLite0
from bioautoml_nni.search_spaces.operations._base import Operation
from bioautoml_nni.strategies.relaxations._base import Relaxation

ARGUMENTS = {
    ("search_spaces", "timm"): {"encoder": "resnet10t"},
    ("search_spaces", "multimodal"): {"channels": 4},
    ("encoders", "timm"): {"argument": "test_resnet@random"},
    ("methods", "timm"): {"argument": "resnet10t"},
    ("methods", "timm_probe"): {"argument": "resnet10t"},
    ("methods", "with"): {"argument": "training.epochs=3"},
}


def is_installed(package: str) -> bool:
    try:
        return bool(distribution(package))
    except PackageNotFoundError:
        return False


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS if kind != "sources" for name in plugins(kind)]
)
def test_our_own_keep_the_contract(kind, name):
    """The suite asserts; that it can fail, the broken parts below show."""
    package = getattr(get(kind, name).target, "package", None)
    if package and not is_installed(package):
        pytest.skip(f"{package}, an optional extra, is not installed")
    testing.check(kind, name, **ARGUMENTS.get((kind, name), {}))


def test_the_table_source_keeps_the_contract(tmp_path):
    """The suite asserts here too."""
    write_table(tmp_path, rows=12)
    testing.check("sources", "csv", root=tmp_path, table="metadata.csv", image="image", label="label")


def test_a_kind_without_a_suite_is_refused_with_those_that_have_one():
    with pytest.raises(ValueError, match="no suite for 'schedule'; suites: ") as caught:
        testing.check("schedule", "odd_even")
    assert set(str(caught.value).partition("suites: ")[2].split(", ")) == set(KINDS)


class Shifted(Operation):
    """An operation whose faster form adds one."""

    def forward(self, features):
        return features[:, :, :: self.stride, :: self.stride]

    def add_to(self, mixture, weight):
        mixture.add(weight * self(mixture.features) + 1)


class Unpadded(Operation):
    """An operation that loses the border."""

    def __init__(self, channels, stride):
        super().__init__(channels, stride)
        self.layer = nn.Conv2d(channels, channels, 3, stride)

    def forward(self, features):
        return self.layer(features)


class Centred(Operation):
    """An operation that mixes the rows of a batch."""

    def forward(self, features):
        return (features - features.mean(0, keepdim=True))[:, :, :: self.stride, :: self.stride]


class AnyStride(nn.Module):
    """An operation that takes every stride."""

    def __init__(self, channels, stride):
        super().__init__()
        self.stride = stride

    def forward(self, features):
        return features[:, :, :: self.stride, :: self.stride]


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (Shifted, r"add_to\(\) adds something else"),
        (Unpadded, r"gives shape \(3, 8, 14, 14\), not \(3, 8, 16, 16\)"),
        (Centred, "rows of a batch influence each other"),
        (AnyStride, "must refuse a stride"),
    ],
)
def test_broken_operations_are_told_what_is_wrong(operation, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_operation(operation)


class Uncut(EfficientNetLite0):
    """An encoder that gives the whole network whatever the stage."""

    def build(self, stage=None, drop_path=0.0):
        return super().build(None, drop_path)


class Boastful(EfficientNetLite0):
    """An encoder that declares fewer parameters than it has."""

    parameters = 1000


@pytest.mark.parametrize(
    ("encoder", "message"),
    [(Uncut, "stage 0: has 16 channels"), (Boastful, "declares parameters 1000, its network has 3371008")],
)
def test_broken_encoders_are_told_what_is_wrong(encoder, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_encoder(encoder)


class Sum(Loss):
    """Cross-entropy of the last row alone."""

    def forward(self, logits, target):
        return nn.functional.cross_entropy(logits[-1:], target[-1:])


class Blind(nn.Module):
    """A fusion that looks at the image alone."""

    def __init__(self, image_features, metadata_features, features):
        super().__init__()
        self.layer = nn.Linear(image_features, features)

    def forward(self, embeddings):
        return self.layer(embeddings[0])


class Restless(Relaxation):
    """A relaxation with new noise at every call."""

    def weights(self, label, alpha, training):
        return torch.softmax(alpha + torch.randn_like(alpha), -1)


@pytest.mark.parametrize(
    ("suite", "part", "message"),
    [
        (testing.check_loss, Sum, "depends on the order of the batch"),
        (testing.check_fusion, Blind, "the metadata embedding has no influence"),
        (testing.check_relaxation, Restless, "cells of one label differ"),
    ],
)
def test_other_broken_parts_are_told_what_is_wrong(suite, part, message):
    with pytest.raises(AssertionError, match=message):
        suite(part)
