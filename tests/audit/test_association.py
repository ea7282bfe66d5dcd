from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.audit.association import associate, encode


def by_hand(source, target):
    """The leave-one-out majority rule, row by row; a tie with another answer counts as wrong."""
    rows = [(s, t) for s, t in zip(source, target, strict=True) if s >= 0 and t >= 0]
    right = shared = 0
    answers = Counter()
    for position, (value, answer) in enumerate(rows):
        others = Counter(t for p, (s, t) in enumerate(rows) if s == value and p != position)
        if not others:
            continue
        shared += 1
        answers[answer] += 1
        rivals = [count for other, count in others.items() if other != answer]
        right += others[answer] > max(rivals, default=0)
    if not shared:
        return 0.0, 0.0, 0.0
    return right / shared, shared / len(source), max(answers.values()) / shared


codes = st.lists(st.tuples(st.integers(-1, 4), st.integers(-1, 3)), min_size=1, max_size=40)


@given(codes)
def test_it_is_the_rule_done_by_hand(pairs):
    source, target = (np.array(column, dtype=np.int32) for column in zip(*pairs, strict=True))
    found = associate(source, target)
    assert (found.accuracy, found.coverage, found.majority) == pytest.approx(by_hand(source, target))


def test_a_function_is_found_and_noise_is_not():
    rng = np.random.default_rng(0)
    fine = rng.integers(0, 20, 2000)
    coarse = fine // 4
    assert associate(fine, coarse).determines()
    assert not associate(coarse, fine).determines()
    assert not associate(fine, rng.integers(0, 5, 2000)).determines()
    assert abs(associate(fine, rng.integers(0, 2, 2000)).skill) < 0.2


def test_an_answer_that_is_nearly_always_the_same_is_no_skill():
    target = np.r_[np.zeros(995, int), np.ones(5, int)]
    found = associate(np.tile([0, 1], 500), target)
    assert found.accuracy > 0.99 and not found.determines()


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["a", None, "b", "a"]),
        pd.Series([1.0, np.nan, 2.0, 1.0]),
        pd.Series(["a", None, "b", "a"], dtype="category"),
        pd.Series([1, None, "b", 1], dtype=object),
    ],
)
def test_codes_are_equal_where_values_are_and_gaps_are_minus_one(column):
    first, gap, second, again = encode(column)
    assert first == again != second and gap == -1
