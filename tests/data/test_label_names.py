"""Spellings of one label: what is left out of a name, and what never is."""

import pytest
from damage import tries
from hypothesis import given
from hypothesis import strategies as st

from bioautoml_nni.data.label_names import (
    WAYS,
    key_of,
    merged,
    twins,
    ways_between,
    without_authors,
    without_qualifiers,
)

AUTHORS = {
    "Apis mellifera Linnaeus, 1758": "Apis mellifera",
    "Apis mellifera L.": "Apis mellifera",
    "Apis mellifera (Linnaeus, 1758)": "Apis mellifera",
    "Apis mellifera carnica Pollmann, 1879": "Apis mellifera carnica",
    "Apis_mellifera_Linnaeus,_1758": "Apis_mellifera",
    "Bombus (Pyrobombus) pratorum (Linnaeus, 1761)": "Bombus (Pyrobombus) pratorum",
    "Osmia bicornis de Geer 1773": "Osmia bicornis",
    "Carabus auratus subsp. honnoratii Dejean, 1826": "Carabus auratus subsp. honnoratii",
    "Lucilia sericata Meigen & Wiedemann": "Lucilia sericata",
    "Lucilia sericata auct. nec Meigen, 1826": "Lucilia sericata",
    "Vanessa atalanta d'Orbigny, 1840": "Vanessa atalanta",
    "Apis Linnaeus, 1758": "Apis",
}
NO_AUTHORS = [
    "Apis mellifera", "Apis", "Red Admiral", "red admiral", "Bombus sp. A", "Bombus sp. 1", "Apis mellifera worker",
    "NA", "007", "Diptera Brachycera", "Apis mellifera 12", "bee Linnaeus 1758", "Culex pipiens form 3", "", "Käfer",
]  # fmt: skip
QUALIFIERS = {
    "Apis cf. mellifera": "Apis mellifera", "Apis aff. mellifera": "Apis mellifera", "Bombus sp.": "Bombus",
    "Bombus spp": "Bombus", "Bombus_sp.": "Bombus", "Bombus indet.": "Bombus", "Bombus sp. A": "Bombus sp. A",
    "sp.": "sp.", "Apis cf.": "Apis cf.", "Lasius nr. niger": "Lasius niger", "Espresso": "Espresso",
}  # fmt: skip


@pytest.mark.parametrize(("name", "left"), [*AUTHORS.items(), *((name, name) for name in NO_AUTHORS)])
def test_authors_are_known_by_their_place_and_capitals(name, left):
    assert without_authors(name) == left


@pytest.mark.parametrize(("name", "left"), QUALIFIERS.items())
def test_qualifiers_are_left_out_and_morphospecies_are_not(name, left):
    assert without_qualifiers(name) == left


def test_twins_are_named_with_the_ways_in_which_they_differ():
    groups = [
        (["Apis mellifera", "apis mellifera"], ["case"]),
        (["Apis mellifera", "Apis  mellifera ", "Apis_mellifera"], ["spaces"]),
        (["ﬁg wasp", "fig wasp"], ["unicode"]),
        (["Mücke", "Mu\u0308cke"], ["unicode"]),
        (["Apis mellifera", "Apis mellifera L."], ["authors"]),
        (["Bombus", "Bombus sp."], ["qualifiers"]),
        (["Apis mellifera", "APIS_MELLIFERA"], ["case", "spaces"]),
        (["Apis mellifera", "Apis cf. mellifera Linnaeus, 1758"], ["authors", "qualifiers"]),
    ]
    for names, ways in groups:
        counts = {name: 9 - place for place, name in enumerate(names)}
        assert twins(counts) == [names] and ways_between(names) == ways
        assert len(set(merged(counts, ways).values())) == 1
    assert not twins(dict.fromkeys(["007", "7", "7.0", "NA", "nan", "Bombus sp. A", "Bombus sp. B", "Bombus"], 1))


@tries(200)
@given(st.dictionaries(st.text(max_size=20), st.integers(1, 9), min_size=1, max_size=6), st.sets(st.sampled_from(WAYS)))
def test_merging_is_settled_after_once(counts, ways):
    names = merged(counts, ways)
    assert set(names) == set(counts)
    for name, chosen in names.items():
        assert key_of(chosen, ways) == key_of(name, ways)
    again = merged(dict.fromkeys(names.values(), 1), ways)
    assert all(name == chosen for name, chosen in again.items())
    if not ways:
        assert all(name == chosen for name, chosen in names.items())
