"""The rule of one standard error, and greedy ensembles."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from bioautoml_nni.auto.choice import Scored, choose, resampled_macro_f1
from bioautoml_nni.auto.ensemble import cross_fitted, mix, select

RNG = np.random.default_rng(0)
TARGET = RNG.integers(3, size=300)
GROUPS = np.repeat(np.arange(30), 10)


def answers(accuracy: float, seed: int) -> np.ndarray:
    """Probabilities (300, 3) that are right with a probability."""
    rng = np.random.default_rng(seed)
    right = rng.random(len(TARGET)) < accuracy
    named = np.where(right, TARGET, (TARGET + rng.integers(1, 3, len(TARGET))) % 3)
    return 0.2 * np.ones((len(TARGET), 3)) + 0.4 * np.eye(3)[named]


def scored(name: str, probabilities: np.ndarray, parameters: int) -> Scored:
    predicted = probabilities.argmax(1)
    score = f1_score(TARGET, predicted, average="macro")
    return Scored(name, score, resampled_macro_f1(TARGET, predicted, GROUPS), parameters, parameters, 1.0)


def test_within_one_standard_error_of_the_difference_the_smaller_model_wins():
    large = answers(0.8, 1)
    nearly = large.copy()
    right = large.argmax(1) == TARGET
    lost, gained = np.flatnonzero(right)[::60][:4], np.flatnonzero(~right)[::15][:3]
    nearly[lost] = nearly[lost][:, [1, 2, 0]]
    nearly[gained] = 0.2 + 0.4 * np.eye(3)[TARGET[gained]]
    choice = choose([scored("large", large, 1000), scored("small", nearly, 10)], "groups by event")
    assert choice.best == "large" and choice.winner == "small" and set(choice.within) == {"large", "small"}
    assert "within the standard error of the difference over groups by event" in choice.reason


def test_a_clearly_better_model_wins_whatever_its_size():
    choice = choose([scored("large", answers(0.9, 1), 1000), scored("small", answers(0.5, 2), 10)], "specimens")
    assert choice.winner == choice.best == "large" and "small, is" in choice.reason


def test_greedy_selection_is_never_below_its_best_member_where_it_selects():
    members = [answers(0.6, seed) for seed in range(4)]
    weights = select(members, TARGET)
    best = max(f1_score(TARGET, values.argmax(1), average="macro") for values in members)
    mixed = mix(members, weights)
    assert f1_score(TARGET, mixed.argmax(1), average="macro") >= best
    assert weights.sum() == pytest.approx(1) and np.allclose(mixed.sum(1), 1)


def test_greedy_selection_equals_an_exhaustive_search_for_two_rounds():
    members = [answers(0.6, seed) for seed in range(4)]
    first = max(range(4), key=lambda i: f1_score(TARGET, members[i].argmax(1), average="macro"))
    second = max(f1_score(TARGET, (members[first] + members[i]).argmax(1), average="macro") for i in range(4))
    found = f1_score(TARGET, mix(members, select(members, TARGET, rounds=2)).argmax(1), average="macro")
    assert found == pytest.approx(max(second, f1_score(TARGET, members[first].argmax(1), average="macro")))


def test_what_does_not_fit_the_device_is_not_added():
    members = [answers(0.6, 0), answers(0.6, 1), answers(0.9, 2)]
    weights = select(members, TARGET, lambda weights: bool(weights[2] == 0))
    assert weights[2] == 0 and weights.sum() == pytest.approx(1)
    assert select(members, TARGET, lambda weights: False).sum() == 0


def test_the_cross_fitted_score_uses_no_weights_that_saw_the_group(monkeypatch):
    seen = []

    def remember(probabilities, target, fits):
        seen.append(len(target))
        return np.array([1.0, 0.0])

    monkeypatch.setattr("bioautoml_nni.auto.ensemble.select", remember)
    members = [answers(0.6, 0), answers(0.6, 1)]
    assert np.array_equal(cross_fitted(members, TARGET, GROUPS), members[0])
    assert seen == [240] * 5
    assert cross_fitted(members, TARGET, np.zeros(300)) is None
