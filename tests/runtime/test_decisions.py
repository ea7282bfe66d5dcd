import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bioautoml_nni.runtime import Decisions
from bioautoml_nni.runtime.decisions import best_first
from bioautoml_nni.runtime.name_lists import joined_names, names_apart
from bioautoml_nni.utils.errors import DataError

CLASSES = pd.DataFrame(
    {
        "index": range(4),
        "name": ["Apis", "Bombus", "Vespa", "Musca"],
        "order": ["Hymenoptera", "Hymenoptera", "Hymenoptera", "Diptera"],
        "family": ["Apidae", "Apidae", "Vespidae", "Muscidae"],
    }
)


def test_an_unsure_answer_rolls_up_to_the_finest_rank_that_is_sure():
    probabilities = np.array(
        [[0.9, 0.05, 0.03, 0.02], [0.5, 0.4, 0.05, 0.05], [0.4, 0.3, 0.25, 0.05], [0.3, 0.2, 0.1, 0.4]]
    )
    answers = Decisions(CLASSES, "genus", threshold=0.8).answers(probabilities)
    assert answers["prediction"].tolist() == ["Apis", "Apidae", "Hymenoptera", ""]
    assert answers["rank"].tolist() == ["genus", "family", "order", ""]
    assert answers["confidence"].round(6).tolist() == [0.9, 0.9, 0.95, 0.4]


def test_a_species_list_leaves_only_what_can_occur():
    probabilities = np.array([[0.6, 0.1, 0.2, 0.1], [1.0, 0.0, 0.0, 0.0]])
    answers = Decisions(CLASSES, "genus", species_list=["Vespa", "Musca"]).answers(probabilities)
    assert answers["prediction"].tolist() == ["Vespa", "Vespa"]
    assert answers["confidence"].tolist() == [pytest.approx(2 / 3, abs=1e-6), 0.5]
    assert "label_3" not in answers


def test_an_unknown_name_in_the_list_is_named():
    with pytest.raises(DataError, match="Homo"):
        Decisions(CLASSES, "genus", species_list=["Homo", "Apis"])


def test_prediction_sets_hold_what_reaches_the_level_and_are_never_empty():
    probabilities = np.array([[0.5, 0.3, 0.15, 0.05], [0.25, 0.25, 0.25, 0.25]])
    answers = Decisions(CLASSES, "genus", level=0.3).answers(probabilities)
    assert answers["set"].tolist() == ["Apis|Bombus", "Apis"]


def test_a_specimen_without_an_image_has_an_empty_row():
    answers = Decisions(CLASSES, "genus", level=0.1).answers(np.array([[np.nan] * 4, [0.7, 0.1, 0.1, 0.1]]))
    assert answers.loc[0, ["prediction", "rank", "label_1", "set"]].tolist() == [""] * 4
    assert np.isnan(answers.loc[0, "confidence"]) and answers.loc[1, "prediction"] == "Apis"


@given(arrays(np.float64, (3, 4), elements=st.floats(0.001, 1)), st.floats(0, 1))
def test_confidence_reaches_the_threshold_or_there_is_no_answer(weights, threshold):
    probabilities = weights / weights.sum(1, keepdims=True)
    answers = Decisions(CLASSES, "genus", threshold=threshold).answers(probabilities)
    sure = answers["prediction"] != ""
    assert (answers.loc[sure, "confidence"] >= threshold - 1e-6).all()
    assert (answers.loc[~sure, "confidence"] <= threshold + 1e-6).all()
    best = [f"probability_{place}" for place in range(1, 5)]
    assert np.allclose(answers[best].sum(axis=1), 1, atol=1e-5)


def test_what_reaches_the_threshold_exactly_is_sure():
    probabilities = np.array([[0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25]])
    answers = Decisions(CLASSES, "genus", threshold=0.5).answers(probabilities)
    assert answers["prediction"].tolist() == ["Apis", "Apidae"]
    assert answers["confidence"].tolist() == [0.5, 0.5]


def test_the_best_classes_stand_beside_their_probabilities_with_six_digits():
    answers = Decisions(CLASSES, "genus", species_list=["Musca", "Vespa", "Apis"]).answers(
        np.array([[0.1, 0.9, 0.2, 0.3]]) / 1.5
    )
    row = answers.iloc[0]
    assert [row[f"label_{place}"] for place in (1, 2, 3)] == ["Musca", "Vespa", "Apis"]
    assert [row[f"probability_{place}"] for place in (1, 2, 3)] == [0.5, 0.333333, 0.166667]
    of_places = {f"{what}_{place}" for what in ("label", "probability") for place in (1, 2, 3)}
    assert row["confidence"] == 0.5 and set(answers) == {"prediction", "rank", "confidence"} | of_places
    third = Decisions(CLASSES, "genus").answers(np.full((1, 4), 1.0) / [3, 6, 4, 4])
    assert third.loc[0, "confidence"] == 0.333333


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Apis", "Homo"], "species list: Homo is not a class of this model; see classes.csv for its names."),
        (
            [f"X{number}" for number in range(7)],
            "species list: X0, X1, X2, X3, X4 are not classes of this model; see classes.csv for its names.",
        ),
        ([], "species list: names no class at all."),
    ],
)
def test_a_list_that_cannot_be_used_is_refused_in_a_sentence(names, said):
    with pytest.raises(DataError) as caught:
        Decisions(CLASSES, "genus", species_list=names)
    assert str(caught.value) == said


def test_a_specimen_whose_classes_cannot_occur_is_any_of_those_that_can():
    with np.errstate(all="raise"):
        answers = Decisions(CLASSES, "genus", species_list=["Vespa", "Musca"]).answers(np.array([[1.0, 0.0, 0.0, 0.0]]))
    assert answers.loc[0, ["probability_1", "probability_2"]].tolist() == [0.5, 0.5]


def test_an_answer_is_a_class_or_a_coarser_taxon():
    assert Decisions(CLASSES, "genus").taxa() == [
        "Apis", "Bombus", "Vespa", "Musca", "Apidae", "Vespidae", "Muscidae", "Hymenoptera", "Diptera",
    ]  # fmt: skip


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan"), "0.5"])
def test_a_threshold_that_is_not_a_probability_is_refused(threshold):
    with pytest.raises(DataError) as caught:
        Decisions(CLASSES, "genus", threshold=threshold)
    assert str(caught.value) == f"threshold {threshold!r}: must be a probability from 0 to 1."


def test_the_least_and_the_largest_threshold_are_probabilities():
    probabilities = np.array([[1.0, 0.0, 0.0, 0.0], [0.4, 0.3, 0.3, 0.0]])
    assert Decisions(CLASSES, "genus", threshold=0.0).answers(probabilities)["prediction"].tolist() == ["Apis", "Apis"]
    answers = Decisions(CLASSES, "genus", threshold=1.0).answers(probabilities)
    assert answers["prediction"].tolist() == ["Apis", "Hymenoptera"]


def test_the_best_classes_keep_their_probabilities_beside_an_answer_of_a_coarser_rank():
    row = Decisions(CLASSES, "genus", threshold=0.8).answers(np.array([[0.5, 0.4, 0.05, 0.05]])).iloc[0]
    assert (row["prediction"], row["confidence"]) == ("Apidae", 0.9)
    assert (row["label_1"], row["probability_1"], row["probability_2"]) == ("Apis", 0.5, 0.4)


def test_five_of_many_classes_are_told_and_the_first_of_equals_comes_first():
    classes = pd.DataFrame({"index": range(6), "name": list("abcdef")})
    answers = Decisions(classes, "species").answers(np.full((1, 6), 1 / 6))
    assert [answers.loc[0, f"label_{place}"] for place in range(1, 6)] == list("abcde") and "label_6" not in answers


def test_a_specimen_without_an_image_takes_no_part_in_a_species_list():
    answers = Decisions(CLASSES, "genus", threshold=0.9, species_list=["Vespa"], level=0.5).answers(
        np.array([[np.nan] * 4, [0.0, 0.0, np.inf, 0.0], [0.7, 0.1, 0.1, 0.1]])
    )
    assert answers["prediction"].tolist() == ["", "", "Vespa"] and answers["set"].tolist() == ["", "", "Vespa"]
    assert answers["confidence"].isna().tolist() == [True, True, False]


@given(arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.sampled_from([0.0, 0.1, 0.2, 0.3])))
def test_the_best_classes_are_those_of_a_stable_sort(values):
    for count in range(1, values.shape[1] + 1):
        np.testing.assert_array_equal(best_first(values, count), np.argsort(-values, axis=1, kind="stable")[:, :count])


@given(st.lists(st.text("a|\\b", min_size=1, max_size=5), min_size=1, max_size=4))
def test_names_of_a_set_come_out_as_they_went_in(names):
    assert names_apart(joined_names(names)) == names


def test_a_set_of_plain_names_is_written_as_before():
    assert joined_names(["Apis", "Bombus"]) == "Apis|Bombus" and names_apart("Apis|Bo\\mbus|") == [
        "Apis",
        "Bo\\mbus",
        "",
    ]
