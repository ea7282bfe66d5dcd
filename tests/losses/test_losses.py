import math

import pytest
import torch

from bioautoml_nni.losses.cross_entropy import CrossEntropy
from bioautoml_nni.losses.logit_adjusted import LogitAdjustedCrossEntropy
from bioautoml_nni.registry import plugins

COUNTS = [80, 15, 5]


def test_logit_adjustment_on_a_hand_computed_value():
    logits, target = torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([2])
    shifted = [value + math.log(count / 100) for value, count in zip([1.0, 2.0, 0.5], COUNTS, strict=True)]
    expected = -(shifted[2] - math.log(sum(math.exp(value) for value in shifted)))
    assert LogitAdjustedCrossEntropy(COUNTS)(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_tau_zero_is_plain_cross_entropy():
    logits, target = torch.randn(7, 3), torch.randint(0, 3, (7,))
    assert torch.equal(LogitAdjustedCrossEntropy(COUNTS, tau=0.0)(logits, target), CrossEntropy(COUNTS)(logits, target))


def test_natural_logits_put_the_prior_back():
    loss = LogitAdjustedCrossEntropy(COUNTS)
    probabilities = torch.softmax(loss.natural_logits(torch.zeros(1, 3)), dim=1)
    torch.testing.assert_close(probabilities, torch.tensor([[0.80, 0.15, 0.05]]))


@pytest.mark.parametrize("name", plugins("losses"))
def test_every_loss_is_a_finite_scalar_that_falls_with_the_right_answer(name):
    loss = plugins("losses")[name].target([3, 0, 9])
    wrong, right = torch.tensor([[5.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 5.0]])
    target = torch.tensor([2])
    assert loss(right, target).shape == ()
    assert torch.isfinite(loss(wrong, target))
    assert loss(right, target) < loss(wrong, target)
