import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from bioautoml_nni.evaluation.calibration import (
    accuracy_thresholds,
    calibrated,
    conformal_levels,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    prediction_sets,
    reliability,
    risk_by_coverage,
)


def drawn(rows=4000, classes=5, sharpness=1.0, seed=0):
    """Logits whose softmax, divided by `sharpness`, is the true distribution of the target."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (rows, classes))
    true = calibrated(logits, 1.0)
    target = np.array([rng.choice(classes, p=row) for row in true])
    return logits * sharpness, target


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_over_and_underconfidence(sharpness):
    logits, target = drawn(sharpness=sharpness)
    temperature = fit_temperature(logits, target)
    assert temperature == pytest.approx(sharpness, rel=0.1)
    around = [negative_log_likelihood(logits, target, temperature * factor) for factor in (0.97, 1.0, 1.03)]
    assert min(around) == around[1]


def test_log_likelihood_is_cross_entropy():
    logits, target = drawn(50)
    expected = torch.nn.functional.cross_entropy(torch.tensor(logits), torch.tensor(target)).item()
    assert negative_log_likelihood(logits, target) == pytest.approx(expected, abs=1e-12)


def test_calibration_error_equals_torchmetrics():
    logits, target = drawn(500, sharpness=2.0)
    probabilities = calibrated(logits, 1.0)
    expected = multiclass_calibration_error(torch.tensor(probabilities), torch.tensor(target), 5, n_bins=15)
    assert expected_calibration_error(probabilities, target) == pytest.approx(float(expected), abs=1e-6)


def test_thresholds_hold_what_they_promise_and_keep_as_many_as_they_can():
    logits, target = drawn(600)
    probabilities = calibrated(logits, 1.0)
    confidence, right = probabilities.max(1), probabilities.argmax(1) == target
    for row in accuracy_thresholds(probabilities, target, [0.8, 0.9, 1.01]):
        if row["threshold"] is None:
            assert row["accuracy"] > 1 and row["coverage"] == 0
            continue
        kept = confidence >= row["threshold"]
        assert right[kept].mean() >= row["accuracy"] and kept.mean() == pytest.approx(row["coverage"])
        lower = [value for value in confidence if value < row["threshold"]]
        assert all(right[confidence >= value].mean() < row["accuracy"] for value in lower)


def test_prediction_sets_cover_new_specimens_as_often_as_they_say():
    logits, target = drawn(6000, seed=1)
    probabilities = calibrated(logits, 1.0)
    levels = conformal_levels(probabilities[:3000], target[:3000], [0.8, 0.95])
    for coverage, level in levels.items():
        inside = probabilities[3000:][np.arange(3000), target[3000:]] >= level
        assert inside.mean() == pytest.approx(float(coverage), abs=0.025)


def test_too_few_specimens_for_a_coverage_give_sets_of_every_class():
    probabilities = calibrated(np.array([[2.0, 0.0], [0.0, 1.0]]), 1.0)
    levels = conformal_levels(probabilities, np.array([0, 1]), [0.5, 0.9])
    assert levels["0.9"] == 0.0
    assert levels["0.5"] == pytest.approx(1 / (1 + math.exp(-1)))  # the second smallest score is the third specimen's


def test_the_bins_of_the_reliability_diagram_hold_every_specimen():
    logits, target = drawn()
    bins = reliability(calibrated(logits, 1.0), target)
    assert sum(row["count"] for row in bins) == len(target)
    big = [row for row in bins if row["count"] > 300]
    assert len(big) >= 4 and all(abs(row["confidence"] - row["accuracy"]) < 0.06 for row in big)


def test_the_risk_at_full_coverage_is_the_error_and_sure_answers_are_better():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    assert risk_by_coverage(probabilities, np.array([0, 0, 0, 1])).tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4])
    logits, target = drawn()
    risks = risk_by_coverage(calibrated(logits, 1.0), target)
    assert risks[-1] == pytest.approx((logits.argmax(1) != target).mean()) and risks[len(risks) // 4] < risks[-1] / 2


def test_prediction_sets_are_counted_as_by_hand():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.3, 0.3, 0.4], [0.5, 0.45, 0.05]])
    target = np.array([0, 2, 0, 1])
    # At 0.35: {0}, {0, 1}, {2}, {0, 1}; the truth is in the first and the last.
    assert prediction_sets(probabilities, target, 0.35) == {"level": 0.35, "held": 0.5, "mean_size": 1.5}
    # Nothing reaches 0.9, so each set has the likeliest class alone.
    assert prediction_sets(probabilities, target, 0.9) == {"level": 0.9, "held": 0.25, "mean_size": 1.0}
    assert prediction_sets(probabilities, target, 0.0)["held"] == 1.0


def test_fitted_levels_hold_their_promise_on_new_specimens():
    rng = np.random.default_rng(3)
    probabilities = rng.dirichlet(np.ones(6) * 0.4, 8000)
    target = np.array([rng.choice(6, p=row) for row in probabilities])
    for coverage, level in conformal_levels(probabilities[:4000], target[:4000], (0.8, 0.9, 0.95)).items():
        assert prediction_sets(probabilities[4000:], target[4000:], level)["held"] == pytest.approx(
            float(coverage), abs=0.02
        )
