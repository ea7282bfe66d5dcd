"""Coarser ranks and confused pairs, against a tree that is walked by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from bioautoml_nni.data.manifest import LABEL
from bioautoml_nni.evaluation.confusion import most_confused
from bioautoml_nni.evaluation.taxonomy import by_rank
from bioautoml_nni.runs.taxonomy import coarser_taxa

CLASSES = ["Apis mellifera", "Bombus lucorum", "Musca domestica", "Carabus auratus"]
TABLE = pd.DataFrame(
    {
        LABEL: [name for name in CLASSES for _ in range(3)],
        "Order": ["Hymenoptera"] * 6 + ["Diptera"] * 3 + ["Coleoptera"] * 3,
        "family": ["Apidae"] * 3 + [None, "Apidae", "Apidae"] + ["Muscidae"] * 3 + ["Carabidae"] * 3,
        "genus": [name.split()[0] for name in CLASSES for _ in range(3)],
        "phylum": ["Arthropoda"] * 11 + ["Annelida"],
        "scientific_name": ["x"] * 12,
    }
)


def test_coarser_taxa_are_those_that_all_agree_on_and_that_join():
    found = coarser_taxa(TABLE, CLASSES, "species")
    assert found == {
        "order": ["Hymenoptera", "Hymenoptera", "Diptera", "Coleoptera"],
        "family": ["Apidae", "Apidae", "Muscidae", "Carabidae"],
    }  # every genus has one species, and a beetle is said to be a worm
    assert coarser_taxa(TABLE, CLASSES, "family") == {"order": found["order"]}


def test_probabilities_are_summed_up_the_tree():
    taxa = {"order": coarser_taxa(TABLE, CLASSES, "species")["order"]}
    rng = np.random.default_rng(0)
    probabilities, target = rng.dirichlet(np.ones(4), 200), rng.integers(0, 4, 200)
    sums = [{"Hymenoptera": p[0] + p[1], "Diptera": p[2], "Coleoptera": p[3]} for p in probabilities]
    answers = [max(own, key=own.get) for own in sums]
    truth = [taxa["order"][index] for index in target]
    scores = by_rank(target, probabilities, taxa)["order"]
    assert scores["classes"] == 3
    assert scores["accuracy"] == pytest.approx(accuracy_score(truth, answers))
    assert scores["macro_f1"] == pytest.approx(f1_score(truth, answers, average="macro"))
    assert by_rank(target, probabilities, {"class": ["Insecta"] * 4}) == {}


def test_two_bees_together_beat_the_fly():
    taxa = {"order": ["Hymenoptera", "Hymenoptera", "Diptera", "Coleoptera"]}
    probabilities = np.array([[0.3, 0.3, 0.4, 0.0]])
    assert probabilities.argmax() == 2
    assert by_rank(np.array([0]), probabilities, taxa)["order"]["accuracy"] == 1


def test_confused_pairs_are_counted_both_ways():
    rng = np.random.default_rng(1)
    target, predicted = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    matrix = confusion_matrix(target, predicted)
    pairs = most_confused(target, predicted, list("abcd"))
    assert len(pairs) == 6
    counts = [pair["specimens"] for pair in pairs]
    assert counts == sorted(counts, reverse=True) and sum(counts) == matrix.sum() - matrix.trace()
    for pair in pairs:
        first, second = "abcd".index(pair["first"]), "abcd".index(pair["second"])
        assert pair["first_taken_for_second"] == matrix[first, second]
        assert pair["second_taken_for_first"] == matrix[second, first]
    assert most_confused(target, target, list("abcd")) == []
    assert most_confused(target, predicted, list("abcd"), most=2) == pairs[:2]
