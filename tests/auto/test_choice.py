"""The rule of one standard error, and greedy ensembles."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import f1_score, log_loss

from bioautoml_nni.auto.choice import Scored, choose, resampled_macro_f1
from bioautoml_nni.auto.ensemble import by_macro_f1, cross_fitted, mix, promising, select, weigh

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


def test_a_model_without_images_is_no_smaller_form_of_one_that_reads_them():
    seeing = scored("seeing", answers(0.8, 1), 1000)
    blind = dataclasses.replace(
        seeing, name="blind", macro_f1=seeing.macro_f1 - 0.001, resampled=seeing.resampled[::-1], parameters=10.0,
        images=False,
    )  # fmt: skip
    choice = choose([seeing, blind], "specimens")
    assert choice.winner == "seeing" and choice.within == ("seeing",)
    assert choice.reason.endswith("Without reading images, blind scored no differently.")
    best = dataclasses.replace(blind, macro_f1=seeing.macro_f1 + 0.001)
    assert choose([seeing, best], "specimens").winner == "blind"
    assert choose([dataclasses.replace(seeing, images=False), blind], "specimens").winner == "blind"


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


def test_weights_by_likelihood_are_never_below_the_best_member_in_macro_f1():
    for first in (0.55, 0.6, 0.8):
        members = [answers(first, 0), *(answers(0.6, seed) for seed in range(1, 4))]
        weights = weigh(members, TARGET)
        best = max(f1_score(TARGET, values.argmax(1), average="macro") for values in members)
        assert f1_score(TARGET, mix(members, weights).argmax(1), average="macro") >= best
        assert weights.sum() == pytest.approx(1)
    assert (weigh(members, TARGET, lambda weights: bool((weights > 0).sum() == 1)) > 0).sum() == 1


def test_equally_good_candidates_get_about_equal_weights():
    weights = weigh([answers(0.6, seed) for seed in range(3)], TARGET)
    assert weights.min() >= 1 / 6 and weights.max() <= 2 / 3


def test_candidates_that_are_clearly_worse_are_no_members():
    members = [answers(0.9, 0), answers(0.89, 1), answers(0.5, 2)]
    assert promising(members, TARGET, GROUPS) == [0, 1]


def test_scores_of_a_mean_are_those_of_scikit_learn():
    probabilities = answers(0.6, 0)
    score, likelihood = by_macro_f1(probabilities, TARGET)
    assert score == pytest.approx(f1_score(TARGET, probabilities.argmax(1), average="macro"))
    assert likelihood == pytest.approx(-log_loss(TARGET, probabilities))


def test_of_about_equally_small_candidates_that_are_not_told_apart_the_likeliest_wins():
    probabilities = answers(0.8, 1)
    probe, both = scored("probe", probabilities, 1000), scored("both", probabilities, 1050)
    taken = choose([dataclasses.replace(probe, log_loss=0.9), dataclasses.replace(both, log_loss=0.8)], "specimens")
    assert taken.winner == "both" and "a larger log-loss" in taken.reason
    larger = dataclasses.replace(both, log_loss=0.8, parameters=1300)
    assert choose([dataclasses.replace(probe, log_loss=0.9), larger], "specimens").winner == "probe"


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

    monkeypatch.setattr("bioautoml_nni.auto.ensemble.weigh", remember)
    members = [answers(0.6, 0), answers(0.6, 1)]
    assert np.array_equal(cross_fitted(members, TARGET, GROUPS), members[0])
    assert seen == [240] * 5
    assert cross_fitted(members, TARGET, np.zeros(300)) is None
