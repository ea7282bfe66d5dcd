"""The largest logits of a teacher of many classes against all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax

from bioautoml_nni.config.schema import DistillationConfig
from bioautoml_nni.training.distillation import LOGITS, Distillation, KnownLogits
from bioautoml_nni.training.top_logits import Answers, TopLogits, kept, top_of


def answers(logits: np.ndarray, top_k: int | None, temperature: float = 2.0) -> Answers:
    found = Answers(1, len(logits) + 1, logits.shape[1], top_k, temperature, np.arange(len(logits) + 1) < len(logits))
    for start in range(0, len(logits), 3):
        found.put(0, np.arange(start, min(start + 3, len(logits))), logits[start : start + 3])
    return found


@given(st.integers(2, 40), st.integers(1, 39), st.floats(1, 5), st.integers(0, 99))
def test_the_largest_keep_their_probabilities_and_the_others_share_the_rest(
    classes: int, top_k: int, temperature: float, seed: int
) -> None:
    top_k = min(top_k, classes - 1)
    logits = np.random.default_rng(seed).normal(0, 4, (5, classes)).astype(np.float32)
    teacher = answers(logits, top_k, temperature).teacher()
    assert isinstance(teacher, TopLogits)
    found = softmax(teacher.whole(np.arange(5)).astype(float) / temperature, axis=1)
    wanted = softmax(logits.astype(float) / temperature, axis=1)
    largest = np.argsort(-logits, axis=1)[:, :top_k]
    np.testing.assert_allclose(found.sum(1), 1)
    np.testing.assert_allclose(
        np.take_along_axis(found, largest, 1), np.take_along_axis(wanted, largest, 1), rtol=1e-4, atol=1e-7
    )
    np.put_along_axis(found, largest, np.nan, 1)
    np.put_along_axis(wanted, largest, np.nan, 1)
    np.testing.assert_allclose(np.nanmin(found, 1), np.nanmax(found, 1))
    np.testing.assert_allclose(np.nansum(found, 1), np.nansum(wanted, 1), rtol=1e-4, atol=1e-7)


def test_what_is_left_of_very_confident_answers_is_finite() -> None:
    logits = torch.full((1, 2000), -30.0)
    logits[0, 7] = 300.0
    values, classes, rest = top_of(logits, 1, 1.0)
    assert values.tolist() == [[300.0]] and classes.tolist() == [[7]]
    assert float(rest) == pytest.approx(-30.0, abs=1e-3)


@pytest.mark.parametrize(("classes", "setting", "wanted"), [
    (3, None, None), (1000, None, None), (1001, None, 64), (34_000, None, 64), (34_000, 200, 200), (1001, 1001, None),
    (17, 5, 5), (17, 64, None),
])  # fmt: skip
def test_how_many_are_kept(classes: int, setting: int | None, wanted: int | None) -> None:
    assert kept(DistillationConfig(teacher="runs/other", top_k=setting), classes) == wanted


def test_few_classes_are_kept_whole_bit_for_bit() -> None:
    logits = np.random.default_rng(0).normal(size=(7, 17)).astype(np.float32)
    teacher = answers(logits, None).teacher()
    assert isinstance(teacher, KnownLogits)
    assert teacher.values[0, :7].tobytes() == logits.tobytes() and np.isnan(teacher.values[0, 7]).all()


def test_a_loss_by_the_largest_is_near_that_by_all_and_exact_with_all_but_one() -> None:
    rng = np.random.default_rng(1)
    logits = (rng.normal(0, 1, (16, 1200)) + 12 * (rng.random((16, 1200)) < 0.01)).astype(np.float32)
    student = torch.from_numpy(rng.normal(0, 1, (16, 1200)).astype(np.float32)).requires_grad_()
    settings = DistillationConfig(teacher="runs/other", weight=1.0)

    def taught(top_k: int | None) -> tuple[float, torch.Tensor]:
        teacher = answers(logits, top_k, settings.temperature).teacher()
        batch = teacher.batch(np.arange(16), 0)
        assert batch[LOGITS].shape == (16, 1200)
        loss = Distillation(settings, teacher, lambda own: own)(torch.tensor(0.0), student, batch)
        return float(loss.detach()), torch.autograd.grad(loss, student)[0]

    whole, gradient = taught(None)
    almost, its = taught(1199)
    assert almost == pytest.approx(whole, rel=1e-4) and torch.allclose(its, gradient, rtol=1e-3, atol=1e-7)
    top, its = taught(64)
    assert top == pytest.approx(whole, rel=0.1)
    assert float(torch.cosine_similarity(its.flatten(), gradient.flatten(), 0)) > 0.98


def test_kept_bytes_are_those_of_the_arithmetic() -> None:
    found = Answers(2, 10, 5000, 64, 2.0, np.ones(10, bool))
    assert sum(values.nbytes for values in found.arrays().values()) == 2 * 10 * (8 * 64 + 4)
    teacher = found.teacher()
    assert isinstance(teacher, TopLogits) and teacher.count == 5000
    assert np.isnan(logsumexp(teacher.whole(np.array([3])), axis=1)).all()
