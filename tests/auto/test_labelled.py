"""Labels beside answers are read as training read them."""

import pandas as pd
import pytest

from bioautoml_nni.auto.labelled import scores_on
from bioautoml_nni.config.schema import DataConfig
from bioautoml_nni.data.classes import with_classes
from bioautoml_nni.data.manifest import ID, IMAGE, LABEL, Manifest


def test_spellings_synonyms_and_rare_labels_are_the_classes_that_training_made_of_them(tmp_path):
    pd.DataFrame({"synonym": ["Apis ligustica"], "accepted": ["Apis mellifera"]}).to_csv(
        tmp_path / "s.csv", index=False
    )
    written = ["Apis mellifera", "APIS MELLIFERA", "Bombus terrestris", "Vespa crabro"]
    table = pd.DataFrame({ID: list("0123"), IMAGE: "", LABEL: written})
    settings = DataConfig(source="csv", root=tmp_path, labels={"merge": ["case"], "synonyms": "s.csv"})
    naming = with_classes(Manifest(table, tmp_path, {}, "species"), settings).naming.joining(["Vespa crabro"], "other")
    classes = ["Apis mellifera", "Bombus terrestris", "other"]
    labels = pd.Series(["apis MELLIFERA", "Apis ligustica", " Bombus terrestris ", "vespa crabro", None], dtype=object)
    named = ["Apis mellifera", "Apis mellifera", "Bombus terrestris", "other", "other"]
    answers = pd.DataFrame({"prediction": named, "error": ""})
    found = scores_on(labels, answers, classes, naming)
    assert found["accuracy"] == found["macro_f1"] == 1 and found["left_out"] == 1
    with pytest.warns(UserWarning, match="2 of the labels were not learned"):
        assert scores_on(labels[:2], answers[:2], classes)["accuracy"] == 0
