import numpy as np
import pytest
from sklearn import metrics as sk

from bioautoml_nni.evaluation.intervals import bootstrap, intervals, scores_of_counts


def labels(rows: int = 400, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.integers(classes, size=rows)
    predicted = np.where(rng.random(rows) < 0.7, target, rng.integers(classes + 1, size=rows))
    return target, predicted


def test_scores_of_counts_are_those_of_scikit_learn():
    target, predicted = labels()
    counts = [np.bincount(part, minlength=6) for part in (target, predicted, target[target == predicted])]
    accuracy, balanced, macro = scores_of_counts(*counts)
    assert accuracy == pytest.approx(sk.accuracy_score(target, predicted))
    assert balanced == pytest.approx(sk.recall_score(target, predicted, average="macro", labels=np.unique(target)))
    assert macro == pytest.approx(sk.f1_score(target, predicted, average="macro"))


def test_an_interval_of_single_specimens_is_the_binomial_one():
    """The standard error of an accuracy has a closed form."""
    target, predicted = labels(2000)
    accuracy = (target == predicted).mean()
    low, high = intervals(target, predicted, None)["accuracy"]
    assert low < accuracy < high
    assert (high - low) / (2 * 1.96) == pytest.approx(np.sqrt(accuracy * (1 - accuracy) / 2000), rel=0.1)


def test_whole_groups_are_drawn():
    """Ten copies of every specimen add no knowledge: with the copies as groups the interval stays as wide."""
    target, predicted = labels(150)
    groups = np.tile(np.arange(150), 10)
    single = np.diff(intervals(target, predicted, None)["macro_f1"])
    grouped = np.diff(intervals(np.tile(target, 10), np.tile(predicted, 10), groups)["macro_f1"])
    alone = np.diff(intervals(np.tile(target, 10), np.tile(predicted, 10), None)["macro_f1"])
    assert grouped == pytest.approx(single, rel=0.15) and alone < 0.5 * single


def test_the_same_seed_draws_the_same():
    target, predicted = labels()
    first, again = (bootstrap(target, predicted, None, resamples=20, seed=3) for _ in range(2))
    assert (first == again).all() and (first != bootstrap(target, predicted, None, resamples=20, seed=4)).any()
