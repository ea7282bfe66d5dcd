"""A model takes along the rules that made labels into classes."""

import pandas as pd
import pytest

from bioautoml_nni.artifacts.exported import ExportRecord
from bioautoml_nni.data.naming import Naming, restore_naming
from bioautoml_nni.runtime.model import Model
from bioautoml_nni.utils.errors import DataError


def test_a_species_list_may_spell_names_as_training_did():
    model = Model.__new__(Model)
    model.classes = pd.DataFrame({"index": [0, 1], "name": ["Apis mellifera", "other"]})
    model.info = ExportRecord.model_construct(rank="species")
    model.naming = restore_naming(
        {
            "merge": ["case", "authors"],
            "synonyms": {"honey bee": "Apis mellifera"},
            "names": {"apis mellifera": "Apis mellifera", "vespa crabro": "other"},
        }
    )
    for names in (["APIS MELLIFERA", "other"], ["Honey Bee", "Vespa crabro"], ["Apis mellifera L.", "other"]):
        assert model.decisions(species_list=names).allowed.all()
    assert model.decisions(species_list=["honey bee"]).allowed.tolist() == [True, False]
    with pytest.raises(DataError, match="Bombus is not a class"):
        model.decisions(species_list=["Bombus"])
    assert restore_naming(model.naming.state()) == model.naming and restore_naming(None) == Naming()


@pytest.mark.parametrize("state", [[], {"merge": "case"}, {"merge": ["x"]}, {"merge": [], "synonyms": {"a": 1}}])
def test_rules_that_are_none_are_refused(state):
    with pytest.raises(ValueError, match="rules of labels"):
        restore_naming(state)
