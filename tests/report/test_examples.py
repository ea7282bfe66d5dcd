"""Which specimens stand for the cells of a confusion matrix."""

from __future__ import annotations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from bioautoml_nni.report.examples import choose_examples, choose_for_cells

CLASSES = st.sampled_from(["ant", "bee", "cicada", "dragonfly"])
ANSWERS = st.lists(st.tuples(CLASSES, CLASSES, st.floats(0, 1)), min_size=1, max_size=60)


@given(ANSWERS, st.integers(0, 40))
@settings(max_examples=60)
def test_every_error_has_an_example_before_any_has_two(rows, wanted):
    answers = pd.DataFrame(rows, columns=["label", "predicted", "confidence"])
    answers["right"] = answers["label"] == answers["predicted"]
    chosen = choose_for_cells(answers, wanted)
    assert len(chosen) == min(wanted, len(answers))
    errors = set(map(tuple, answers.loc[~answers["right"], ["label", "predicted"]].to_numpy()))
    shown = chosen.loc[~chosen["right"], ["label", "predicted"]].value_counts()
    if wanted >= len(errors):
        assert errors == set(shown.index)
    if len(shown) < len(errors):
        assert (shown == 1).all() and not chosen["right"].any()


def test_the_surest_of_a_cell_come_first_and_the_fullest_cells():
    rows = [("ant", "bee", 0.5), ("ant", "bee", 0.9), ("bee", "ant", 0.8), ("ant", "ant", 1.0)]
    answers = pd.DataFrame(rows, columns=["label", "predicted", "confidence"])
    answers["right"] = answers["label"] == answers["predicted"]
    chosen = choose_for_cells(answers, 4)
    assert chosen["confidence"].tolist() == [0.9, 0.8, 1.0, 0.5]


def test_right_and_wrong_show_the_surest_and_unsure_the_least_sure_of_every_class():
    rows = [("ant", kind, confidence) for kind in ("right", "wrong", "unsure") for confidence in (0.5, 0.9, 0.7)]
    rows += [("bee", "unsure", 0.1), ("bee", "unsure", 0.2)]
    answers = pd.DataFrame(rows, columns=["label", "kind", "confidence"])
    chosen = choose_examples(answers, 9)
    shown = {kind: found["confidence"].tolist() for kind, found in chosen.groupby("kind")}
    assert shown == {"right": [0.9, 0.7, 0.5], "wrong": [0.9, 0.7, 0.5], "unsure": [0.1, 0.5, 0.2]}
