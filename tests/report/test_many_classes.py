"""A report of thousands of classes: what it shows of them fits a page, and the rest is in the page's list."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from jinja2 import Environment

from bioautoml_nni.evaluation.areas import areas_under_curves
from bioautoml_nni.evaluation.probabilities import Probabilities
from bioautoml_nni.report import figures
from bioautoml_nni.report.figures import Scored, confusion, roc_chart
from bioautoml_nni.report.page import page_environment
from bioautoml_nni.report.tables import class_texts

CLASSES = [f"species {n}" for n in range(3000)]
ORDERS = [f"order {n // 150}" for n in range(3000)]


def answers(count: int = 6000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = rng.integers(3000, size=count)
    return target, np.where(rng.random(count) < 0.5, target, rng.integers(3000, size=count))


def test_the_matrix_is_drawn_by_order_or_by_the_worst_pairs():
    target, predicted = answers()
    names = [[CLASSES[index] for index in indices] for indices in (target, predicted)]
    found = confusion(*names, CLASSES, {"order": ORDERS})
    assert found.rows == "order" and found.absent == []
    cells = re.findall(r'data-true="order (\d+)" data-predicted="order (\d+)" data-count="(\d+)"', found.chart)
    assert sum(int(count) for _, _, count in cells) == len(target)
    right = sum(int(count) for true, answer, count in cells if true == answer)
    assert right == (target // 150 == predicted // 150).sum()
    assert confusion(*names, CLASSES, {}).rows == "class of the worst pairs"
    few = confusion(["species 7", "species 9"], ["species 9", "species 9"], CLASSES[:12], {})
    assert few.rows == "class" and len(few.absent) == 10 and few.chart.count('class="cell') == 2


def many_scored() -> Scored:
    rng = np.random.default_rng(1)
    target = np.repeat(np.arange(40), 12)
    logits = rng.normal(size=(480, 40)).astype(np.float32)
    logits[np.arange(480), target] += np.arange(40)[target] / 10
    scores = Probabilities(logits, 1.0)
    return Scored(scores, scores, target, CLASSES[:40])


def drawn(chart) -> list[int]:
    found = re.findall(r'<li class="[^"]*" data-series="\d+"><svg.*?</svg>species (\d+) ', str(chart))
    return [int(name) for name in found]


def test_only_the_smallest_and_the_largest_areas_are_drawn():
    names = drawn(roc_chart(many_scored()))
    assert len(names) == 16 and np.mean(names[:8]) < np.mean(names[8:])


def test_areas_that_the_evaluation_has_kept_are_not_computed_again(monkeypatch):
    scored = many_scored()
    kept = areas_under_curves(scored.target, scored.probabilities)
    computed = roc_chart(scored)
    monkeypatch.setattr(figures, "areas_under_curves", lambda *given: pytest.fail("they are kept"))
    assert roc_chart(scored, kept) == computed
    assert drawn(roc_chart(scored, np.arange(40) / 40)) == [*range(8), *range(32, 40)]


@pytest.mark.parametrize("kept", [np.full(40, np.nan), np.full(3, 0.5)])
def test_areas_that_are_missing_are_computed(kept):
    scored = many_scored()
    assert roc_chart(scored, kept) == roc_chart(scored)


def test_further_classes_stand_in_a_list_that_no_name_can_break_out_of():
    table = pd.DataFrame(
        {"class": ["</script><b>x", "a"], "train": [1200, 3], "test": [10, 0], "precision": [0.5, 0.0],
         "recall": [1.0, 0.0], "f1": [2 / 3, 0.0], "auc": [np.nan, np.nan]}
    )  # fmt: skip
    texts = class_texts(table)
    assert texts[0][0] == "</script><b>x" and texts[0][5:] == ["0.667", "–"] and texts[1][3:] == ["–"] * 4
    environment: Environment = page_environment()
    written = environment.from_string("{{ rows | tojson }}").render(rows=texts)
    assert "<" not in written and json.loads(written) == texts
