"""Mixup, CutMix and distillation, each against its formula."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax

from bioautoml_nni.losses.cross_entropy import CrossEntropy
from bioautoml_nni.training.distillation import distillation_loss
from bioautoml_nni.training.mixing import Mix, Mixing

# Mixing


@given(st.integers(0, 2**31), st.floats(0.05, 4))
@settings(max_examples=40)
def test_mixup_averages_with_the_larger_share_for_the_specimen_itself(seed, alpha):
    torch.manual_seed(seed)
    images = torch.randn(6, 3, 8, 8)
    mixed, mix = Mixing(alpha, 0)(images)
    assert 0.5 <= mix.share <= 1 and sorted(mix.partner.tolist()) == list(range(6))
    torch.testing.assert_close(mixed, mix.share * images + (1 - mix.share) * images[mix.partner])


@given(st.integers(0, 2**31), st.floats(0.05, 4), st.integers(5, 17), st.integers(5, 17))
@settings(max_examples=60)
def test_cutmix_pastes_one_rectangle_and_counts_its_pixels(seed, alpha, height, width):
    torch.manual_seed(seed)
    images = torch.arange(1.0, 6).view(5, 1, 1, 1).expand(5, 3, height, width).clone()
    mixed, mix = Mixing(0, alpha)(images)
    for number, partner in enumerate(mix.partner.tolist()):
        own = mixed[number] == images[number]
        assert ((mixed[number] == images[partner]) | own).all()
        if partner != number:
            assert float(own.float().mean()) == pytest.approx(mix.share)
            rows, columns = (~own[0]).any(1).nonzero().flatten(), (~own[0]).any(0).nonzero().flatten()
            if len(rows):
                inside = ~own[0, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
                assert inside.all(), "the pasted part is one rectangle"
    largest = math.prod(round(0.5**0.5 * side + 0.5) / side for side in (height, width))
    assert mix.share >= 1 - largest, "a half, but for the rounding to whole pixels"


def test_with_both_chance_decides():
    torch.manual_seed(0)
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 1, 8, 8)
    kinds = [set(Mixing(1.0, 1.0)(images)[0].unique().tolist()) <= {0.0, 1.0, 2.0, 3.0} for _ in range(200)]
    assert 70 < sum(kinds) < 130, "CutMix keeps the pixels' values, mixup makes new ones"


def test_a_blended_loss_is_that_of_the_blended_labels():
    torch.manual_seed(0)
    logits, target = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0])
    mix = Mix(torch.tensor([4, 0, 1, 2, 3]), 0.7)
    loss = CrossEntropy([1, 1, 1])
    one_hot = torch.nn.functional.one_hot(target, 3).double()
    expected = torch.nn.functional.cross_entropy(logits, 0.7 * one_hot + 0.3 * one_hot[mix.partner])
    torch.testing.assert_close(mix.blend(lambda own: loss(logits, own), target), expected)


# Distillation


def test_distillation_is_the_divergence_from_the_teacher():
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 7, 4))
    wanted, given_ = softmax(teacher / 3, axis=1), softmax(student / 3, axis=1)
    expected = 9 * rel_entr(wanted, given_).sum(axis=1).mean()
    found = distillation_loss(torch.tensor(student), torch.tensor(teacher), 3.0)
    assert float(found) == pytest.approx(expected)
    assert float(distillation_loss(torch.tensor(student), torch.tensor(student + 5), 3.0)) == pytest.approx(0)


def test_at_a_high_temperature_it_compares_logits():
    """Hinton et al., section 2.1: then the gradient is (student - teacher) / K for logits of mean zero."""
    student = torch.tensor([[1.0, -2.0, 1.0], [0.5, 0.5, -1.0]], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[0.0, 1.0, -1.0], [2.0, -1.0, -1.0]], dtype=torch.float64)
    distillation_loss(student, teacher, 1e4).backward()
    torch.testing.assert_close(student.grad, (student.detach() - teacher) / 3 / 2, rtol=1e-3, atol=1e-4)
