"""Features that a student learns from its teacher: against the formula, and what is kept of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from bioautoml_nni.config.schema import DistillationConfig
from bioautoml_nni.training.distillation import Answer, Distillation, KnownLogits
from bioautoml_nni.training.mixing import Mix
from bioautoml_nni.training.teacher_features import ClassifierInput, FeatureProjection, Standard, feature_loss
from bioautoml_nni.training.top_logits import Answers
from bioautoml_nni.utils.errors import DataError, PluginError


class Network(nn.Module):
    """A body of three features and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 3)
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2))

    def forward(self, batch: Tensor) -> Tensor:
        return self.classifier(self.body(batch))


@given(arrays(np.float32, (9, 4), elements=st.floats(-1000, 1000, width=32)))
def test_features_are_standardised_as_scikit_learn_does(values: np.ndarray) -> None:
    found = Standard.of(values)(torch.from_numpy(values)).numpy()
    expected = StandardScaler().fit_transform(values.astype(float))
    varies = values.std(0, dtype=float) > 1e-5 * np.abs(values).max(0)
    np.testing.assert_allclose(found[:, varies], expected[:, varies], atol=2e-2)
    assert np.isfinite(found).all()


def test_a_feature_that_does_not_vary_is_left_alone() -> None:
    found = Standard.of(np.array([[0.1, 1], [0.1, 3]], np.float32))
    assert found.std.tolist() == [1, 1] and found(torch.tensor([[0.1, 1]])).tolist() == [[0, -1]]


def test_the_loss_is_the_share_of_the_variance_that_is_not_explained() -> None:
    torch.manual_seed(0)
    wanted = torch.randn(500, 6)
    wanted = (wanted - wanted.mean(0)) / wanted.std(0, correction=0)
    assert float(feature_loss(torch.zeros_like(wanted), wanted)) == pytest.approx(1, abs=1e-5)
    assert float(feature_loss(wanted, wanted)) == 0
    explained = wanted.clone()
    explained[:, :3] = 0
    assert float(feature_loss(explained, wanted)) == pytest.approx(0.5, abs=1e-5)


def test_a_projection_reads_what_the_classifier_gets_and_is_no_part_of_the_network() -> None:
    network = Network()
    names = set(network.state_dict())
    projection = FeatureProjection(network, 5)
    batch = torch.randn(7, 4)
    network(batch)
    found = projection()
    torch.testing.assert_close(found, projection.linear(network.body(batch)))
    found.sum().backward()
    assert network.body.weight.grad is not None and network.classifier[1].weight.grad is None
    assert set(network.state_dict()) == names and found.shape == (7, 5)
    assert {name for name, _ in projection.named_parameters()} == {"linear.weight", "linear.bias"}
    with pytest.raises(PluginError, match="does not use its classifier; set features to 0"):
        projection()  # they are given once


def test_networks_without_such_a_classifier_are_told_so() -> None:
    with pytest.raises(PluginError, match="runs/big: Linear has no module called classifier"):
        ClassifierInput(nn.Linear(2, 2), "runs/big")
    convolutional = Network()
    convolutional.classifier = nn.Sequential(nn.Conv2d(3, 2, 1))
    with pytest.raises(PluginError, match="the classifier of Network has no linear layer that says how many features"):
        FeatureProjection(convolutional, 5)


class Says:
    """A teacher of fixed answers, about plain images or about the very ones that the student sees."""

    def __init__(self, logits: Tensor, features: Tensor | None, of_mixed: bool) -> None:
        self.said = Answer(logits, features, of_mixed)

    @property
    def feature_width(self) -> int | None:
        return None if self.said.features is None else self.said.features.shape[1]

    def batch(self, rows: np.ndarray, view: int) -> dict[str, Tensor]:
        return {"teacher": self.said.logits[rows]}

    def answer(self, inputs: Mapping[str, Tensor]) -> Answer:
        return self.said


@pytest.mark.parametrize("of_mixed", [False, True])
def test_all_losses_are_added_with_their_weights(of_mixed: bool) -> None:
    torch.manual_seed(1)
    logits, answers, features, own = (torch.randn(5, size, dtype=torch.float64) for size in (3, 3, 4, 4))
    mix = Mix(torch.tensor([4, 0, 1, 2, 3]), 0.7)
    losses = {}
    for weight in (0.0, 0.25):
        settings = DistillationConfig(teacher="runs/other", weight=0.6, features=weight)
        distillation = Distillation(settings, Says(answers, features, of_mixed), lambda value: value)
        assert distillation.feature_width == (4 if weight else None)
        projected = (lambda: own) if weight else None
        losses[weight] = distillation(torch.tensor(2.0), logits, {"teacher": answers}, mix, projected)
    squares = ((own - features) ** 2).mean(dim=1).numpy()
    of_partner = ((own - features[mix.partner]) ** 2).mean(dim=1).numpy()
    wanted = squares.mean() if of_mixed else (0.7 * squares + 0.3 * of_partner).mean()
    assert float(losses[0.25] - losses[0.0]) == pytest.approx(0.25 * wanted, rel=1e-5)
    settings = DistillationConfig(teacher="runs/other", features=1.0)
    silent = Distillation(settings, Says(answers, features, of_mixed), lambda value: value)
    assert float(silent(torch.tensor(2.0), logits, {}, mix, lambda: own)) == 2, "a batch that nobody teaches"


def test_the_gradient_by_mixed_features_is_that_of_the_mixture() -> None:
    torch.manual_seed(2)
    own, features = torch.randn(6, 3).requires_grad_(), torch.randn(6, 3)
    mix = Mix(torch.randperm(6), 0.8)
    (found,) = torch.autograd.grad(mix.blend(lambda wanted: feature_loss(own, wanted), features), own)
    (expected,) = torch.autograd.grad(feature_loss(own, 0.8 * features + 0.2 * features[mix.partner]), own)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("top_k", [None, 2])
def test_features_are_kept_beside_logits_and_standardised_by_the_training_split(top_k: int | None) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(5, 3, (2, 8, 4)).astype(np.float32)
    features[:, 6:] += 100  # not of the training split
    learned = np.arange(8) < 6
    found = Answers(2, 8, 3, top_k, 2.0, learned)
    for view in range(2):
        found.put(view, np.arange(8), rng.normal(size=(8, 3)).astype(np.float32))
        found.put_features(view, np.arange(4), features[view, :4])
        found.put_features(view, np.arange(8) >= 4, features[view, 4:])
    teacher = found.teacher()
    assert teacher.feature_width == 4 and found.arrays()["features"].dtype == np.float16
    batch = teacher.batch(np.array([1, 7]), 1)
    scaler = StandardScaler().fit(features[0, :6])
    np.testing.assert_allclose(batch["teacher_features"], scaler.transform(features[1, [1, 7]]), atol=2e-2)
    assert teacher.answer(batch).features is batch["teacher_features"]


def test_features_that_half_precision_cannot_hold_are_refused() -> None:
    for value in (np.nan, 1e6):
        found = Answers(1, 2, 3, None, 2.0, np.ones(2, bool))
        with pytest.raises(DataError, match="not finite, or larger than 65,504; set features to 0"):
            found.put_features(0, np.arange(2), np.full((2, 4), value, np.float32))


def test_a_teacher_that_was_not_asked_for_features_gives_none() -> None:
    teacher = KnownLogits(np.zeros((1, 2, 3), np.float32))
    assert teacher.feature_width is None and set(teacher.batch(np.array([0]), 0)) == {"teacher"}
