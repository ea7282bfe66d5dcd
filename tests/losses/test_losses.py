import math

import pytest
import torch

from bioautoml_nni.losses.class_balanced import ClassBalanced
from bioautoml_nni.losses.cross_entropy import CrossEntropy
from bioautoml_nni.losses.focal import Focal
from bioautoml_nni.losses.hierarchical import Hierarchical
from bioautoml_nni.losses.ldam import LDAM
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


def test_prior_logits_put_the_prior_back():
    loss = LogitAdjustedCrossEntropy(COUNTS)
    probabilities = torch.softmax(loss.prior_logits(torch.zeros(1, 3)), dim=1)
    torch.testing.assert_close(probabilities, torch.tensor([[0.80, 0.15, 0.05]]))


@pytest.mark.parametrize("name", plugins("losses"))
def test_every_loss_is_a_finite_scalar_that_falls_with_the_right_answer(name):
    loss = plugins("losses")[name].target([3, 0, 9])
    wrong, right = torch.tensor([[5.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 5.0]])
    target = torch.tensor([2])
    assert loss(right, target).shape == ()
    assert torch.isfinite(loss(wrong, target))
    assert loss(right, target) < loss(wrong, target)


def cross_entropy(logits, target):
    return math.log(sum(math.exp(value) for value in logits)) - logits[target]


ROWS, TARGETS = [[1.0, 2.0, 0.5], [0.2, -1.0, 0.4]], [2, 0]


def test_class_balanced_on_hand_computed_values():
    raw = [(1 - 0.9) / (1 - 0.9**count) for count in COUNTS]
    weights = [value / sum(raw) * 3 for value in raw]
    expected = sum(weights[t] * cross_entropy(row, t) for row, t in zip(ROWS, TARGETS, strict=True)) / 2
    found = ClassBalanced(COUNTS, beta=0.9)(torch.tensor(ROWS), torch.tensor(TARGETS))
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert weights[2] > weights[1] > weights[0]


def test_focal_on_hand_computed_values():
    losses = [cross_entropy(row, t) for row, t in zip(ROWS, TARGETS, strict=True)]
    expected = sum((1 - math.exp(-value)) ** 2 * value for value in losses) / 2
    assert Focal(COUNTS)(torch.tensor(ROWS), torch.tensor(TARGETS)).item() == pytest.approx(expected, rel=1e-5)


def test_ldam_on_hand_computed_values_before_and_after_the_deferral():
    margins = [0.5 * (count / 5) ** -0.25 for count in COUNTS]
    assert max(margins) == 0.5

    def one(row, target):
        shifted = [2 * (value - (margins[target] if index == target else 0)) for index, value in enumerate(row)]
        return cross_entropy(shifted, target)

    loss = LDAM(COUNTS, scale=2.0, defer=0.5, beta=0.9)
    found = loss(torch.tensor(ROWS), torch.tensor(TARGETS)).item()
    assert found == pytest.approx(sum(one(row, t) for row, t in zip(ROWS, TARGETS, strict=True)) / 2, rel=1e-5)
    loss.start_epoch(0.5)
    raw = [(1 - 0.9) / (1 - 0.9**count) for count in COUNTS]
    weights = [value / sum(raw) * 3 for value in raw]
    expected = sum(weights[t] * one(row, t) for row, t in zip(ROWS, TARGETS, strict=True)) / 2
    assert loss(torch.tensor(ROWS), torch.tensor(TARGETS)).item() == pytest.approx(expected, rel=1e-5)
    loss.eval()
    assert loss(torch.tensor(ROWS), torch.tensor(TARGETS)).item() == pytest.approx(found, rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "settings"), [(ClassBalanced, {"beta": 1.0}), (Focal, {"gamma": -1.0}), (LDAM, {"defer": 2.0})]
)
def test_settings_out_of_range_are_refused(loss, settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        loss(COUNTS, **settings)


@pytest.mark.parametrize(
    "plain", [ClassBalanced(COUNTS, beta=0.0), Focal(COUNTS, gamma=0.0), LDAM(COUNTS, 0.0, 1.0, 1.0)]
)
def test_without_their_effect_they_are_plain_cross_entropy(plain):
    logits, target = torch.randn(7, 3), torch.randint(0, 3, (7,))
    torch.testing.assert_close(plain(logits, target), CrossEntropy(COUNTS)(logits, target))


TREE = {"genus": ["Apis", "Apis", "Musca", "Bombus"], "order": ["Hymenoptera", "Hymenoptera", "Diptera", "Hymenoptera"]}


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_hierarchical_loss_sums_probabilities_up_the_tree(tau):
    counts = [8, 4, 2, 1]
    loss = Hierarchical(counts, coarse_weight=0.5, tau=tau)
    loss.set_taxonomy(TREE)
    logits, target = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 3, 0])
    prior = tau * torch.tensor(counts, dtype=torch.float64).div(sum(counts)).log()
    probabilities = torch.softmax(logits + prior, dim=1)
    expected = 0.0
    for row, label in zip(probabilities, target, strict=True):
        same = {rank: [names[other] == names[label] for other in range(4)] for rank, names in TREE.items()}
        sums = [row[label], *(row[torch.tensor(mask)].sum() for mask in same.values())]
        expected -= sum(w * math.log(p) for w, p in zip((1, 0.5, 0.25), sums, strict=True)) / 1.75 / len(target)
    assert loss(logits, target).item() == pytest.approx(expected, rel=1e-6)
    assert torch.equal(loss.prior_logits(logits.float()), logits.float() + loss.adjustment)


def test_without_a_tree_or_weight_it_is_cross_entropy_and_stays_finite_where_a_taxon_is_impossible():
    logits, target = torch.randn(5, 4), torch.randint(0, 4, (5,))
    plain = CrossEntropy([1] * 4)(logits, target)
    torch.testing.assert_close(Hierarchical([1] * 4, tau=0.0)(logits, target), plain)
    weightless = Hierarchical([1] * 4, coarse_weight=0.0, tau=0.0)
    weightless.set_taxonomy(TREE)
    torch.testing.assert_close(weightless(logits, target), plain)
    loss = Hierarchical([1] * 4)
    loss.set_taxonomy(TREE)
    sure = torch.tensor([[0.0, 0.0, 500.0, 0.0]], requires_grad=True)
    loss(sure, torch.tensor([0])).backward()
    assert torch.isfinite(sure.grad).all() and sure.grad[0, 0] < 0 < sure.grad[0, 2]


def test_a_mistake_within_the_genus_costs_less_than_one_of_another_order():
    loss = Hierarchical([1] * 4)
    loss.set_taxonomy(TREE)
    near, far = torch.tensor([[0.0, 5.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 5.0, 0.0]])
    assert loss(near, torch.tensor([0])) < loss(far, torch.tensor([0]))
