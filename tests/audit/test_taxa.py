"""Ranks above the label that are stated for nearly every class, and so for none."""

import pandas as pd
import pytest

from bioautoml_nni.audit.taxa import taxa_remarks
from bioautoml_nni.data.manifest import LABEL

TABLE = pd.DataFrame(
    {
        LABEL: ["Apis mellifera"] * 3 + ["Bombus terrestris"] * 2 + ["Vespa crabro"] * 2 + ["Vespula vulgaris"] * 2,
        "family": ["Apidae"] * 5 + ["Vespidae"] * 4,
        "Genus": ["Apis", "Apis", "Aphis", "Bombus", "Bombus", "Vespa", "Vespa", None, None],
        "tribe": ["Apini", "Bombini", None, None, None, None, None, None, None],
    }
)


def test_a_rank_that_contradicts_itself_is_told_with_an_example():
    remarks = taxa_remarks(TABLE, "species")
    assert [remark.level for remark in remarks] == ["note"]  # the tribe is not meant to say it
    assert remarks[0].text == (
        "Column 'Genus' states a taxon above the label, but 1 classes have several ('Apis mellifera': 'Apis' (2), "
        "'Aphis' (1)) and 1 have none ('Vespula vulgaris'): results are not rolled up by it. Correct it, or name a "
        "table of the classes and their taxa as data.labels.taxonomy."
    )


@pytest.mark.parametrize("rank", ["genus", "family"])
def test_ranks_at_or_below_the_label_are_not_asked(rank):
    assert taxa_remarks(TABLE, rank) == []
