"""Blocks give what the whole matrix gives, and classes by the thousand are drawn so that they can be read."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax
from sklearn.metrics import confusion_matrix, roc_auc_score, top_k_accuracy_score

from bioautoml_nni.evaluation import areas
from bioautoml_nni.evaluation import probabilities as module
from bioautoml_nni.evaluation.areas import areas_under_curves
from bioautoml_nni.evaluation.calibration import negative_log_likelihood, prediction_sets
from bioautoml_nni.evaluation.confusion import confusion_pairs, drawable, most_confused, named_pairs
from bioautoml_nni.evaluation.metrics import classification_metrics, per_class_table
from bioautoml_nni.evaluation.probabilities import Probabilities
from bioautoml_nni.runtime.decisions import in_prediction_set


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 60), st.integers(2, 12), st.sampled_from([0.3, 1.0, 4.0]), st.booleans())
def test_blocks_of_any_size_give_what_the_whole_matrix_gives(seed, rows, classes, temperature, ties):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes)).astype(np.float32)
    logits = logits.round(0) if ties else logits
    target, member = rng.integers(classes, size=rows), rng.permutation(np.arange(classes) % 3 % classes)
    member = np.unique(member, return_inverse=True)[1]
    whole = softmax(logits.astype(np.float64) / temperature, axis=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.row_blocks, "__defaults__", (int(rng.integers(1, 40)),))
        found = Probabilities(logits, temperature)
        assert (found.predicted == whole.argmax(axis=1)).all() and (found.confidence == whole.max(axis=1)).all()
        assert (found.at(target) == whole[np.arange(rows), target]).all()
        np.testing.assert_allclose(found.column(0), whole[:, 0], rtol=1e-13)
        sums = np.stack([whole[:, member == number].sum(axis=1) for number in range(member.max() + 1)], axis=1)
        np.testing.assert_allclose(np.take_along_axis(sums, found.summed(member)[:, None], 1)[:, 0], sums.max(axis=1))
        expected = -log_softmax(logits.astype(np.float64) / temperature, axis=1)[np.arange(rows), target].mean()
        assert negative_log_likelihood(logits, target, temperature) == pytest.approx(expected, rel=1e-13)
        for k in range(1, classes):
            reference = top_k_accuracy_score(target, logits, k=k, labels=np.arange(classes)) if classes > 2 else None
            assert reference is None or (found.places(target) < k).mean() == pytest.approx(reference)
        sets = prediction_sets(found, target, 0.2)
        assert sets["mean_size"] == pytest.approx(in_prediction_set(whole, 0.2).sum(axis=1).mean())
        assert sets == prediction_sets(whole, target, 0.2)
        assert classification_metrics(target, found) == classification_metrics(target, whole)


@settings(max_examples=30)
@given(
    st.integers(0, 2**31), st.integers(12, 300), st.integers(1, 9), st.sampled_from([None, 1.0, 3.0]),
    st.sampled_from(["none", "some", "nearly all"]),
)  # fmt: skip
def test_areas_by_ranks_are_those_of_scikit_learn(seed, rows, classes, temperature, ties):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(rows, classes)).astype(np.float32) * 8
    values = {"none": values, "some": values.round(0), "nearly all": (values > 12) * 800.0}[ties]  # 800: exp is zero
    values = softmax(values, axis=1) if temperature is None else values
    target = np.minimum(rng.integers(classes, size=rows), rng.integers(classes, size=rows))
    found = Probabilities(values, temperature)
    support = np.bincount(target, minlength=classes)
    expected = [
        roc_auc_score(target == label, found.column(label)) if 10 <= count < rows else np.nan
        for label, count in enumerate(support.tolist())
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(areas, "BLOCK", int(rng.integers(1, 4 * rows)))  # of one column, and of several
        np.testing.assert_allclose(areas_under_curves(target, found), expected, rtol=0, atol=1e-12)


def test_areas_of_many_classes_are_not_computed_one_by_one(monkeypatch):
    asked = []
    columns = Probabilities.columns
    monkeypatch.setattr(Probabilities, "columns", lambda self, labels: asked.append(labels) or columns(self, labels))
    target = np.repeat(np.arange(300), 10)
    found = areas_under_curves(target, Probabilities(np.eye(300, dtype=np.float32)[target], 1.0))
    assert (found == 1).all() and len(asked) == 1


def test_areas_come_from_columns_alone():
    rng = np.random.default_rng(0)
    target, logits = rng.integers(3, size=90), rng.normal(size=(90, 5)).astype(np.float32)
    whole = softmax(logits.astype(np.float64), axis=1)
    names, counts = list("abcde"), np.ones(5)
    by_columns = per_class_table(target, Probabilities(logits, 1.0), names, counts)
    pd.testing.assert_frame_equal(by_columns, per_class_table(target, whole, names, counts))
    assert by_columns["auc"].notna().tolist() == [True, True, True, False, False]


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.integers(1, 80), st.integers(1, 9))
def test_pairs_are_the_confusion_matrix(seed, rows, classes):
    rng = np.random.default_rng(seed)
    target, predicted = rng.integers(classes, size=(2, rows))
    matrix = confusion_matrix(target, predicted, labels=np.arange(classes))
    pairs = confusion_pairs(target, predicted, classes)
    assert (pairs["specimens"] > 0).all() and pairs["specimens"].sum() == rows
    again = np.zeros((classes, classes), int)
    again[pairs["true"], pairs["predicted"]] = pairs["specimens"]
    assert (again == matrix).all()
    named = named_pairs(pairs, [f"c{n}" for n in range(classes)])
    assert named["specimens"].is_monotonic_decreasing and len(named) == len(pairs)
    drawn, names, what = drawable(target, predicted, [f"c{n}" for n in range(classes)], {})
    assert (drawn == matrix).all() and what == "class" and len(names) == classes


def test_classes_by_the_thousand_are_put_together():
    rng = np.random.default_rng(0)
    classes = [f"species {n}" for n in range(2000)]
    taxa = {"genus": [f"g{n // 2}" for n in range(2000)], "order": [f"o{n // 100}" for n in range(2000)]}
    target = rng.integers(2000, size=5000)
    predicted = np.where(rng.random(5000) < 0.5, target, rng.integers(2000, size=5000))
    predicted[:20], target[:20] = 7, 1901
    matrix, names, what = drawable(target, predicted, classes, taxa)
    assert what == "order" and len(names) == 20 and matrix.sum() == 5000
    order = np.array([int(name[1:]) for name in names])
    assert matrix[np.flatnonzero(order == 19)[0], np.flatnonzero(order == 0)[0]] >= 20
    matrix, names, what = drawable(target, predicted, classes, {"genus": taxa["genus"]})
    assert what == "class of the worst pairs" and len(names) <= 31 and matrix.sum() == 5000
    assert {"species 7", "species 1901"} <= set(names) and names[-1].endswith("others")
    assert most_confused(target, predicted, classes, 1)[0]["specimens"] >= 20
